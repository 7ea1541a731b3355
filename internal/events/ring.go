// Package events keeps the last log entries in memory, numbered without gaps,
// so that what the router logged can be asked for: an event is a log line.
package events

import (
	"context"
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
	mu   sync.Mutex    // loggers have neither a Turn nor a Guard
	last []Event       // number n is at (n-1) modulo its length
	seq  uint64        // of the newest
	more chan struct{} // closed when there is one more
}

// NewRing returns a Ring of the last size entries of at least level.
func NewRing(size int, level zapcore.LevelEnabler) *Ring {
	return &Ring{LevelEnabler: level, store: &store{last: make([]Event, size), more: make(chan struct{})}}
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
	s.last[s.seq%uint64(len(s.last))] = e
	s.seq++
	s.last[(s.seq-1)%uint64(len(s.last))].Seq = s.seq
	close(s.more)
	s.more = make(chan struct{})
}

// since copies up to most events after seq that are still there, oldest first.
// When there are none, more is closed once there is one.
func (s *store) since(seq, most uint64) (found []Event, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := uint64(len(s.last))
	if s.seq > size {
		seq = max(seq, s.seq-size) // the rest is forgotten
	}
	for ; seq < s.seq && uint64(len(found)) < most; seq++ {
		found = append(found, s.last[seq%size])
	}
	return found, s.more
}

// Since returns the events after seq that are still there, oldest first.
func (r *Ring) Since(seq uint64) []Event {
	found, _ := r.store.since(seq, uint64(len(r.store.last)))
	return found
}

// Last is the number of the newest event; zero if there was none yet.
func (r *Ring) Last() uint64 {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return r.store.seq
}

// atOnce is how many events Next returns at most: they are copied while loggers
// wait.
const atOnce = 64

// Next waits for events after seq, and returns some of them in order. When ctx
// ends it returns what there is with the error. It owes a reader that is late
// nothing but the truth: first comes a Gap if there are events that it will
// never see.
func (r *Ring) Next(ctx context.Context, seq uint64) ([]Event, error) {
	for {
		found, more := r.store.since(seq, atOnce)
		if len(found) > 0 {
			if first := found[0]; first.Seq > seq+1 {
				found = slices.Insert(found, 0, gap(seq+1, first))
			}
			return found, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			found, _ := r.store.since(seq, atOnce)
			return found, ctx.Err()
		}
	}
}

// Gap is the name of an event that stands for others, which are lost: those from
// field first to field last. It was never logged, and has the number of the last
// one lost.
const Gap = "events lost"

func gap(first uint64, before Event) Event {
	return Event{
		Seq: before.Seq - 1, Time: before.Time, Level: zapcore.WarnLevel.String(), Event: Gap,
		Fields: map[string]any{"first": first, "last": before.Seq - 1},
	}
}
