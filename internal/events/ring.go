// Package events keeps the last log entries in memory, numbered without gaps,
// so that what the router logged can be asked for: an event is a log line.
package events

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// An Event is one log entry.
type Event struct {
	Seq    uint64         `json:"seq"` // contiguous, from 1
	Time   time.Time      `json:"time"`
	Level  string         `json:"level"`
	Logger string         `json:"logger,omitempty"`
	Event  string         `json:"event"`
	Fields map[string]any `json:"fields,omitempty"`
}

// A Ring is a zapcore.Core that keeps the last entries.
type Ring struct {
	zapcore.LevelEnabler
	with  []zapcore.Field
	store *store
}

// store is shared by a Ring and those made from it by With.
type store struct {
	mu   sync.Mutex // loggers have neither a Turn nor a Guard
	last []Event    // oldest first
	seq  uint64
	size int
}

// NewRing returns a Ring of the last size entries of at least level.
func NewRing(size int, level zapcore.LevelEnabler) *Ring {
	return &Ring{LevelEnabler: level, store: &store{size: size}}
}

// With implements zapcore.Core.
func (r *Ring) With(fields []zapcore.Field) zapcore.Core {
	next := *r
	next.with = append(slices.Clip(r.with), fields...)
	return &next
}

// Check implements zapcore.Core.
func (r *Ring) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if r.Enabled(e.Level) {
		return c.AddCore(e, r)
	}
	return c
}

// Write implements zapcore.Core.
func (r *Ring) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(r.with), fields...) {
		f.AddTo(enc)
	}
	for k, v := range enc.Fields {
		if d, ok := v.(time.Duration); ok {
			enc.Fields[k] = d.Seconds()
		}
	}
	r.store.add(Event{
		Time: e.Time, Level: e.Level.String(), Logger: e.LoggerName, Event: e.Message, Fields: enc.Fields,
	})
	return nil
}

// Sync implements zapcore.Core.
func (r *Ring) Sync() error { return nil }

func (s *store) add(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	e.Seq = s.seq
	if len(s.last) == s.size {
		s.last = slices.Delete(s.last, 0, 1)
	}
	s.last = append(s.last, e)
}

// Since returns the events after seq that are still there, oldest first.
func (r *Ring) Since(seq uint64) []Event {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	i := slices.IndexFunc(r.store.last, func(e Event) bool { return e.Seq > seq })
	if i < 0 {
		return nil
	}
	return slices.Clone(r.store.last[i:])
}
