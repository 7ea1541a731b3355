package fib

import "github.com/router6d/router6d/ifmgr"

// slots is the writer's side of the group table.
type slots struct {
	named []int // pairs that name the slot, by slot; -1: the slot is free
	free  []GroupID
	using map[ifmgr.ID]map[GroupID]struct{} // slots that lead to an interface
	held  int                               // nexthops in all slots
}

// rootSlot mirrors the slot of the root pair, so that this one, which alone
// changes in place, is looked up as any other.
const rootSlot GroupID = 1

// newSlots holds slot 0, which the two permanent pairs name, and the root's.
func newSlots() slots {
	return slots{named: []int{2, 1}, using: make(map[ifmgr.ID]map[GroupID]struct{})}
}

func (s *slots) take() GroupID {
	if n := len(s.free); n > 0 {
		g := s.free[n-1]
		s.free = s.free[:n-1]
		s.named[g] = 0
		return g
	}
	s.named = append(s.named, 0)
	return GroupID(len(s.named) - 1)
}

// check panics unless g is a slot that may be named and rewritten.
func (s *slots) check(g GroupID) {
	if g <= rootSlot || int(g) >= len(s.named) || s.named[g] < 0 {
		panic("fib: no such slot")
	}
}

func (s *slots) name(g GroupID)   { s.named[g]++ }
func (s *slots) unname(g GroupID) { s.named[g]-- }

// count is how many slots there are, without the two permanent ones.
func (s *slots) count() int { return len(s.named) - len(s.free) - 2 }

// leads notes that g leads to id.
func (s *slots) leads(g GroupID, id ifmgr.ID) {
	if s.using[id] == nil {
		s.using[id] = make(map[GroupID]struct{})
	}
	s.using[id][g] = struct{}{}
}

// left notes that g no longer leads to id.
func (s *slots) left(g GroupID, id ifmgr.ID) {
	delete(s.using[id], g)
	if len(s.using[id]) == 0 {
		delete(s.using, id)
	}
}
