package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
)

func TestLongEventsAreWrapped(t *testing.T) {
	e := events.Event{Seq: 17, Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Level: "info", Event: "interface detached"}
	var b bytes.Buffer
	e.Fields = map[string]any{"iface": "red", "id": 7}
	printEvent(&b, e)
	e.Fields["cause"], e.Fields["took"], e.Fields["withdraw"] = "device deleted by someone else", 0.0218, 1.05e-5
	e.Fields["error"] = "close: something that takes a good many words to explain to whoever reads it in a terminal"
	printEvent(&b, e)
	want := `17 03:04:05.006 info interface detached iface=red id=7
17 03:04:05.006 info interface detached
    iface=red id=7 cause=device deleted by someone else error=close: something that takes a good
    many words to explain to whoever reads it in a terminal took=21.8ms withdraw=10.5µs
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for l := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(strings.TrimSuffix(l, "\n")) > columns {
			t.Errorf("too wide: %s", l)
		}
	}
}

// Two addresses as long as can be do not fit side by side.
func TestConnectionsFitTheTerminal(t *testing.T) {
	end := netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
	var b bytes.Buffer
	printConnections(&b, []control.Connection{{
		Local: end, Remote: end, State: "established", Begun: "router", Interface: "wan-of-provider",
		Sent: 1e12, Received: 1e12, RTT: 0.123456,
	}})
	for l := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(l) > columns {
			t.Errorf("too wide: %s", l)
		}
	}
}

func TestListsStandBelowEachOther(t *testing.T) {
	var b bytes.Buffer
	table(&b, "A B C", func(row func(...any), note func(string)) {
		row(1, []string{"x,", "yy"}, "z")
		note("why")
		row(2, []string{"x"}, []string{"z", "zz"})
	})
	want := "A  B   C\n1  x,  z\n   yy\n    why\n2  x   z\n       zz\n"
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestWatchShowsAgain shows three times, and then is told to stop, or can't.
func TestWatchShowsAgain(t *testing.T) {
	broken := errors.New("no router answers")
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{{"interrupted", context.Canceled, nil}, {"the router has gone", broken, broken}} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out bytes.Buffer
			n := 0
			err := watch(ctx, &out, time.Millisecond, func(w io.Writer) error {
				if n++; n > 3 {
					if errors.Is(tt.err, context.Canceled) {
						cancel()
					}
					return tt.err
				}
				_, err := io.WriteString(w, "red\n")
				return err
			})
			if !errors.Is(err, tt.want) || out.String() != "red\nred\nred\n" {
				t.Errorf("watch = %v with %q, want %v and three times red", err, out.String(), tt.want)
			}
		})
	}
}

func TestWatchIntervals(t *testing.T) {
	for text, ok := range map[string]bool{"500ms": true, "2s": true, "0s": false, "-1s": false, "fast": false, "2": false} {
		if err := new(interval).Set(text); (err == nil) != ok {
			t.Errorf("interval %q: %v", text, err)
		}
	}
}
