package ppp

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var actionNames = []string{"tld", "irc", "zrc", "scr", "sca", "scn", "str", "sta", "scj", "ser", "tlu", "tls", "tlf"}

// cell writes a transition as the RFC does, its actions sorted.
func cell(x transition) string {
	var names []string
	for bit, name := range actionNames {
		if x.do&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",") + "/" + x.next.String()
}

// TestRFC1661_4_1_Table compares every cell with the table as the RFC prints it:
// states by number, and a dash for what can't happen.
func TestRFC1661_4_1_Table(t *testing.T) {
	f, err := os.Open("testdata/rfc1661_table.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cells := 0
	row := event(0)
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") || s.Text() == "" {
			continue
		}
		fields := strings.Fields(s.Text())
		if len(fields) != 1+int(states) {
			t.Fatalf("row %q has %d cells, want %d", fields[0], len(fields)-1, states)
		}
		for state, text := range fields[1:] {
			want := transition{next: State(state)}
			if text != "-" {
				want = parseCell(t, text)
			}
			if got := table[row][state]; got != want {
				t.Errorf("%s in %v: %s, want %s", fields[0], State(state), cell(got), cell(want))
			}
			cells++
		}
		row++
	}
	if row != events {
		t.Errorf("rows = %d (%d cells), want %d", row, cells, events)
	}
}

func parseCell(t *testing.T, text string) (x transition) {
	t.Helper()
	acts, next, found := strings.Cut(text, "/")
	if !found {
		acts, next = "", text
	}
	next = strings.TrimRight(next, "rpx")
	x.next = State(next[0] - '0')
	for _, name := range strings.FieldsFunc(acts, func(r rune) bool { return r == ',' }) {
		bit := slices.Index(actionNames, name)
		if bit < 0 {
			t.Fatalf("no action %q", name)
		}
		x.do |= 1 << bit
	}
	return x
}

// TestTerminateInEveryState sends one to a protocol in each state: it is answered
// wherever the RFC says so, and Opened is left.
func TestTerminateInEveryState(t *testing.T) {
	now := time.Unix(0, 0)
	for s := Closed; s < states; s++ {
		var sent []Control
		c := &control{state: s, transmit: func(_ Protocol, c Control) { sent = append(sent, c) }}
		c.receive(now, Control{TerminateRequest, 7, nil})
		if len(sent) != 1 || sent[0].Code != TerminateAck || sent[0].ID != 7 {
			t.Errorf("in %v: sent %v, want a Terminate-Ack", s, sent)
		}
		if s == Opened && (c.state != Stopping || !c.down) {
			t.Errorf("opened became %v, down %v", c.state, c.down)
		}
	}
}
