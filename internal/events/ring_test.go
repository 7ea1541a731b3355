package events

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func seqs(all []Event) (out []uint64) {
	for _, e := range all {
		out = append(out, e.Seq)
	}
	return out
}

func TestRingKeepsTheLast(t *testing.T) {
	r := NewRing(3, zapcore.InfoLevel)
	log := zap.New(r)
	for range 5 {
		log.Info("interface attached")
	}
	log.Debug("not an event")
	for since, want := range map[uint64][]uint64{0: {3, 4, 5}, 3: {4, 5}, 4: {5}, 5: nil, 99: nil} {
		if got := seqs(r.Since(since)); !cmp.Equal(got, want) {
			t.Errorf("since %d: %v, want %v", since, got, want)
		}
	}
}

func TestEventHasItsFields(t *testing.T) {
	r := NewRing(8, zapcore.InfoLevel)
	log := zap.New(r).Named("ifmgr").With(zap.String("iface", "ppp0"))
	log.Warn("session closed", zap.Duration("took", 1500*time.Millisecond), zap.Error(errors.New("echo lost")))
	log.With(zap.Uint64("id", 7)).Info("interface detached")
	got := r.Since(0)
	if len(got) != 2 {
		t.Fatalf("%d events, want 2", len(got))
	}
	got[0].Time, got[1].Time = time.Time{}, time.Time{}
	want := []Event{
		{Seq: 1, Level: "warn", Logger: "ifmgr", Event: "session closed", Fields: map[string]any{
			"iface": "ppp0", "took": 1.5, "error": "echo lost",
		}},
		{Seq: 2, Level: "info", Logger: "ifmgr", Event: "interface detached", Fields: map[string]any{
			"iface": "ppp0", "id": uint64(7),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestNextWaits(t *testing.T) {
	r := NewRing(3, zapcore.InfoLevel)
	log := zap.New(r)
	got := make(chan []Event)
	go func() {
		all, err := r.Next(t.Context(), 0)
		if err != nil {
			t.Error(err)
		}
		got <- all
	}()
	log.Info("interface attached")
	if all := <-got; len(all) != 1 || all[0].Seq != 1 {
		t.Errorf("events = %v, want the first", all)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if all, err := r.Next(ctx, 1); len(all) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("events = %v, %v, want none and the end", all, err)
	}
	if all, err := r.Next(ctx, 0); len(all) != 1 || err != nil {
		t.Errorf("events = %v, %v, want what there is", all, err)
	}
}

func TestNextTellsOfAGap(t *testing.T) {
	r := NewRing(3, zapcore.InfoLevel)
	log := zap.New(r)
	for range 10 {
		log.Info("interface attached")
	}
	for _, tt := range []struct{ seq, first uint64 }{{0, 1}, {4, 5}, {6, 7}, {7, 0}, {8, 0}} {
		all, err := r.Next(t.Context(), tt.seq)
		if err != nil {
			t.Fatal(err)
		}
		if tt.first == 0 {
			if all[0].Event == Gap || all[0].Seq != tt.seq+1 {
				t.Errorf("after %d comes %v, want the next", tt.seq, all[0])
			}
			continue
		}
		g := all[0]
		if g.Event != Gap || g.Level != "warn" || g.Seq != 7 || g.Fields["first"] != tt.first || g.Fields["last"] != uint64(7) || all[1].Seq != 8 {
			t.Errorf("after %d come %v, want a gap from %d to 7, then 8", tt.seq, all, tt.first)
		}
	}
}

// TestReadersSeeAllOrAGap reads while others log.
func TestReadersSeeAllOrAGap(t *testing.T) {
	const writers, each, readers = 4, 2000, 4
	r := NewRing(16, zapcore.InfoLevel)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			log := zap.New(r)
			for range each {
				log.Info("interface attached")
			}
		})
	}
	for range readers {
		all.Go(func() {
			for seq := uint64(0); seq < writers*each; {
				found, err := r.Next(t.Context(), seq)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range found {
					if first, lost := e.Fields["first"]; lost && first != seq+1 || !lost && e.Seq != seq+1 {
						t.Errorf("after %d comes %v", seq, e)
						return
					}
					seq = e.Seq
				}
			}
		})
	}
	all.Wait()
}
