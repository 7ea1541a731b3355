package ifmgr

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// nowhere is an interface that can't be made, which needs no privilege: its
// namespace is not there.
func nowhere(t *testing.T, name string) config.Interface {
	t.Helper()
	c, err := config.NewInterface(name)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := config.ParseNetns(filepath.Join(t.TempDir(), "netns"))
	if err != nil {
		t.Fatal(err)
	}
	c.Kernel = &config.Kernel{Netns: ns}
	return c
}

func TestAddThatFailsLeavesTheNameFree(t *testing.T) {
	h := newHouse(t)
	var again func(*loop.Turn)
	again = func(x *loop.Turn) {
		if t.Context().Err() == nil {
			h.loop.Post(again)
		}
	}
	h.loop.Post(again) // it has enough to do
	c := nowhere(t, "wan")
	for range 300 { // at once: nothing of it is still on its way
		if _, err := h.m.Add(t.Context(), c); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("add = %v, want %v", err, fs.ErrNotExist)
		}
	}
	h.do(func(*loop.Turn) {
		if len(h.m.names) != 0 {
			t.Errorf("names = %v, want none", h.m.names)
		}
	})
}

func TestAddOfATakenNameFails(t *testing.T) {
	h := newHouse(t)
	id := h.attach("wan", new(port))
	if _, err := h.m.Add(t.Context(), nowhere(t, "wan")); !errors.Is(err, ErrExists) {
		t.Errorf("add = %v, want %v", err, ErrExists)
	}
	if h.state(id) != Up {
		t.Error("the one that has it is not there any more")
	}
	<-h.detach(id)
}

func TestAddWaitsForTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		id := h.attach("wan", new(port))
		i := h.acquire(id, Worker)
		done := h.detach(id)
		added := make(chan error)
		go func() {
			_, err := h.m.Add(t.Context(), nowhere(t, "wan"))
			added <- err
		}()
		time.Sleep(timeout / 2)
		select {
		case err := <-added:
			t.Errorf("add = %v, before the old one ended", err)
		default:
		}
		i.Release()
		if err := <-added; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("add = %v, want %v", err, fs.ErrNotExist)
		}
		<-done
	})
}

func TestAddOfADeletedDevicesNameWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := new(probed)
		h.attach("wan", p)
		p.becomes(link.ErrGone) // nobody has told us
		if _, err := h.m.Add(t.Context(), nowhere(t, "wan")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("add = %v, want %v", err, fs.ErrNotExist)
		}
	})
}

func TestAddGivesUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		id := h.attach("wan", new(port))
		i := h.acquire(id, Worker)
		done := h.detach(id)
		ctx, cancel := context.WithTimeout(t.Context(), timeout/10)
		defer cancel()
		_, err := h.m.Add(ctx, nowhere(t, "wan"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting") {
			t.Errorf("add = %v, want %v and for what it waited", err, context.DeadlineExceeded)
		}
		i.Release()
		<-done
		h.do(func(*loop.Turn) {
			if len(h.m.names) != 0 {
				t.Error("it has taken the name")
			}
		})
	})
}

func TestAddAfterTheLoopFails(t *testing.T) {
	h := newHouse(t)
	h.stop()
	if _, err := h.m.Add(t.Context(), nowhere(t, "wan")); !errors.Is(err, loop.ErrStopped) {
		t.Errorf("add = %v, want %v", err, loop.ErrStopped)
	}
}

func TestDevicesAreFollowedByTheirPlace(t *testing.T) {
	h := newHouse(t)
	attach := func(name string, d Device) (id ID) {
		h.do(func(x *loop.Turn) {
			s := settings(name)
			s.Device = d
			var err error
			if id, err = h.m.Attach(x, new(port), s); err != nil {
				t.Fatal(err)
			}
		})
		return id
	}
	mem := h.attach("mem", new(port))
	first := attach("first", Device{Name: "first", NSID: 3, Index: 5})
	h.do(func(x *loop.Turn) {
		if len(h.m.devices) != 1 {
			t.Errorf("devices = %v, want the one that is not in memory", h.m.devices)
		}
		h.m.found(x, h.m.ifaces[first], Device{Name: "renamed", NSID: 3, Index: 5}, 1400)
		if i := h.m.ifaces[first]; i.device.Name != "renamed" || i.MTU() != 1400 {
			t.Errorf("device = %+v, mtu %d, want renamed, 1400", i.device, i.MTU())
		}
	})
	// The first has moved away, of which we have not heard yet; the second has
	// moved to where it was.
	second := attach("second", Device{Name: "second", NSID: 4, Index: 5})
	h.do(func(x *loop.Turn) { h.m.found(x, h.m.ifaces[second], Device{Name: "second", NSID: 3, Index: 5}, 1500) })
	h.do(func(x *loop.Turn) {
		h.m.found(x, h.m.ifaces[first], Device{Name: "first", NSID: ownNSID, Index: 5}, 1500)
	})
	h.do(func(x *loop.Turn) {
		if a, b := h.m.devices[deviceKey{3, 5}], h.m.devices[deviceKey{ownNSID, 5}]; a != second || b != first {
			t.Errorf("devices = %v, want second in 3 and first in ours", h.m.devices)
		}
		if got := h.m.ifaces[first].device.String(); got != "first" {
			t.Errorf("first is %s, want first", got)
		}
		if got := h.m.ifaces[second].device.String(); got != "second in nsid:3" {
			t.Errorf("second is %s, want second in nsid:3", got)
		}
	})
	<-h.detach(first)
	h.do(func(*loop.Turn) {
		if len(h.m.devices) != 1 {
			t.Errorf("devices = %v, want second's", h.m.devices)
		}
	})
	<-h.detach(second)
	<-h.detach(mem)
}

func TestNamespaceOfAMessage(t *testing.T) {
	cmsg := func(level, typ int32, data ...byte) []byte {
		b := make([]byte, unix.CmsgSpace(len(data)))
		put := func(at int, v int32) {
			for i := range 4 {
				b[at+i] = byte(v >> (8 * i))
			}
		}
		put(0, int32(unix.CmsgLen(len(data))))
		put(8, level)
		put(12, typ)
		copy(b[unix.CmsgLen(0):], data)
		return b
	}
	for _, tt := range []struct {
		name string
		oob  []byte
		want int
	}{
		{"none: our own", nil, ownNSID},
		{"a number", cmsg(unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 7, 0, 0, 0), 7},
		{"something else", cmsg(unix.SOL_SOCKET, unix.SCM_RIGHTS, 7, 0, 0, 0), ownNSID},
		{"cut short", cmsg(unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 7), ownNSID},
		{"garbage", []byte{1, 2, 3}, ownNSID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseNSID(tt.oob); got != tt.want {
				t.Errorf("namespace = %d, want %d", got, tt.want)
			}
		})
	}
}
