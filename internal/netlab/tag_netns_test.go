package netlab

import "testing"

// TestTagsTellWrongAndLatePackets sends over a plain cable, so that where a
// packet arrives is known, and says that it was meant for somebody else.
func TestTagsTellWrongAndLatePackets(t *testing.T) {
	a, b := pair(t)
	tags, err := NewTags(a, addrA)
	check(t, err)
	w, err := tags.Watch(b, "right", 7)
	check(t, err)
	tags.Send(addrB, 7)
	eventually(t, "a packet where it was meant to be", func() bool { return tags.Right.Load() == 1 })
	tags.Send(addrB, 6)
	eventually(t, "a packet for another incarnation", func() bool { return tags.Wrong.Load() == 1 })
	w.Gone()
	tags.Send(addrB, 7)
	eventually(t, "a packet that comes too late", func() bool { return tags.Late.Load() == 1 })
	check(t, w.Close())
	check(t, tags.Stop(deadline(t)))
}
