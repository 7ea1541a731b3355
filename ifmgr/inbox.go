package ifmgr

import (
	"sync"
	"time"

	"github.com/router6d/router6d/ifmgr/nd"
)

// What an inbox holds between two turns. It is emptied within microseconds, unless
// the loop has much to do.
const (
	maxAnswers = 256
	maxOthers  = 64
	maxHolds   = 64
	maxNotes   = 256
	maxAlike   = 4 // answers about one neighbor

	// pause is between two turns of an inbox that was full: 6400 a second of each
	// kind are looked at, and the loop has nine tenths of its time for others.
	pause = 10 * time.Millisecond
)

// An inbox is what workers have for the machine of an interface. Nobody waits in
// it: what finds no room is lost, and counted. Answers to what the router has
// asked have a place of their own, of which no neighbor gets more than a few: no
// flood keeps out those of others.
type inbox struct {
	// Those who put have a guard and no turn, the one who takes a turn and no guard.
	// Held for the copy of one thing.
	mu      sync.Mutex
	closed  bool
	posted  bool // a turn is to come
	waiting letters
	taken   letters // the loop's
}

// letters is the content of an inbox.
type letters struct {
	used, reached [][16]byte
	answers       []nd.Message // about those that are asked for, and the router's own addresses
	others        []nd.Message
	holds         []nd.Hold
	lost          int
}

// take empties the inbox. What it returns is good until the next take.
func (b *inbox) take() *letters {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.empty()
}

// close empties the inbox for good: nobody can put between the two.
func (b *inbox) close() *letters {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.empty()
}

// empty is for those who have locked it.
func (b *inbox) empty() *letters {
	b.taken.reset()
	b.taken, b.waiting = b.waiting, b.taken
	b.posted = b.taken.lost > 0
	return &b.taken
}

func (l *letters) reset() {
	clear(l.holds) // or packets would stay until others take their place
	*l = letters{l.used[:0], l.reached[:0], l.answers[:0], l.others[:0], l.holds[:0], 0}
}

// answer adds a message about a neighbor.
func (l *letters) answer(msg *nd.Message) bool {
	alike := 0
	for i := range l.answers {
		if l.answers[i] == *msg {
			return true // it says nothing new
		}
		if l.answers[i].Target == msg.Target {
			alike++
		}
	}
	if alike == maxAlike || len(l.answers) == maxAnswers {
		return false
	}
	l.answers = append(l.answers, *msg)
	return true
}

// other adds a message of another kind.
func (l *letters) other(msg *nd.Message) bool {
	if len(l.others) == maxOthers {
		return false
	}
	l.others = append(l.others, *msg)
	return true
}
