package main

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/events"
)

// eventsKept is how many events show events can tell of.
const eventsKept = 4096

// newLogger returns the daemon's logger, which writes to standard error, and the
// ring of events that it fills as well.
func newLogger(c config.Log) (*zap.Logger, *events.Ring, error) {
	level, err := zapcore.ParseLevel(string(c.Level))
	if err != nil {
		return nil, nil, fmt.Errorf("log level: %w", err)
	}
	ring := events.NewRing(eventsKept, zapcore.InfoLevel)
	out := zapcore.NewCore(encoder(c.Format), zapcore.Lock(os.Stderr), level)
	return zap.New(zapcore.NewTee(out, ring)), ring, nil
}

func encoder(f config.Format) zapcore.Encoder {
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey = "time", "event"
	e.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if f == config.FormatConsole {
		e.EncodeTime = zapcore.ISO8601TimeEncoder
		e.EncodeLevel = zapcore.CapitalLevelEncoder
		e.EncodeDuration = zapcore.StringDurationEncoder
		return zapcore.NewConsoleEncoder(e)
	}
	return zapcore.NewJSONEncoder(e)
}
