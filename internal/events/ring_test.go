package events

import (
	"errors"
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
