package main

import (
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/events"
)

// eventsKept is how many events show events can tell of.
const eventsKept = 4096

// newLogger returns the daemon's logger, which writes to standard error, its
// level, which can be changed, and the ring of events that it fills as well.
func newLogger(c config.Log) (*zap.Logger, zap.AtomicLevel, *events.Ring) {
	level := zap.NewAtomicLevelAt(levelOf(c))
	ring := events.NewRing(eventsKept, zapcore.InfoLevel)
	out := zapcore.NewCore(encoder(c.Format), zapcore.Lock(os.Stderr), level)
	return zap.New(zapcore.NewTee(out, ring)), level, ring
}

// levelOf is the level as zap has it. Those of a configuration are zap's.
func levelOf(c config.Log) zapcore.Level {
	level, err := zapcore.ParseLevel(string(c.Level))
	if err != nil {
		return zapcore.InfoLevel
	}
	return level
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
