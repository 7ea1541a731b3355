package control

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/router6d/router6d/internal/events"
)

// A desk is a server that has events and no router.
type desk struct {
	*Client
	server *Server
	log    *zap.Logger
	path   string
	stop   func()
}

func newDesk(t *testing.T, kept int) *desk {
	t.Helper()
	ring := events.NewRing(kept, zapcore.InfoLevel)
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, nil, ring, zap.NewAtomicLevel())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	d := &desk{Client: NewClient(path), server: s, log: zap.New(ring), path: path}
	d.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(d.stop)
	return d
}

var errEnough = errors.New("enough")

// numbers follows until there are n events.
func numbers(t *testing.T, d *desk, since *uint64, n int) (all []uint64) {
	t.Helper()
	err := d.Follow(t.Context(), since, func(e events.Event) error {
		if all = append(all, e.Seq); len(all) == n {
			return errEnough
		}
		if e.Event != events.Gap {
			d.log.Info("another") // while it is followed
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("follow = %v after %v", err, all)
	}
	return all
}

func TestFollow(t *testing.T) {
	d := newDesk(t, 8)
	d.log.Info("first")
	if got := numbers(t, d, nil, 5); got[0] != 1 || got[4] != 5 {
		t.Errorf("numbers = %v, want 1 to 5", got)
	}
	for range 20 {
		d.log.Info("more")
	}
	two := uint64(2)
	if got := numbers(t, d, &two, 4); got[0] != got[1]-1 || got[1] != got[2]-1 {
		t.Errorf("numbers = %v, want a gap and what follows it", got)
	}
	if got := numbers(t, d, nil, 2); got[0] != got[1]-1 {
		t.Errorf("numbers = %v, want what there is", got)
	}
	late := uint64(1000)
	err := d.Follow(t.Context(), &late, func(events.Event) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "1000 is yet to come") {
		t.Errorf("follow from the future = %v", err)
	}
}

func TestFollowEndsWithTheRouter(t *testing.T) {
	d := newDesk(t, 8)
	d.log.Info("first")
	var all []string
	err := d.Follow(t.Context(), nil, func(e events.Event) error {
		if all = append(all, e.Event); len(all) == 1 {
			d.log.Info("last")
			go d.stop()
		}
		return nil
	})
	if err != nil || len(all) != 2 {
		t.Errorf("follow = %v after %v, want nil after first and last", err, all)
	}
}

// TestSlowReaderSlowsNobody does not read, while more is logged than any buffer
// has room for.
func TestSlowReaderSlowsNobody(t *testing.T) {
	d := newDesk(t, 16)
	c, err := net.Dial("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	blob := strings.Repeat("x", 1000)
	for range 20000 { // 20 MB
		d.log.Info("more", zap.String("what", blob))
	}
	// Whoever reads now gets what is there.
	if got := numbers(t, d, nil, 1); got[0] != 20000-15 {
		t.Errorf("first = %d", got[0])
	}
}
