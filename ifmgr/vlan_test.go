package ifmgr

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// framed is a port with frames.
type framed struct {
	port
	other bool // it has another address
}

func (p *framed) HardwareAddr() [6]byte {
	if p.other {
		return [6]byte{2, 5: 2}
	}
	return [6]byte{2, 5: 1}
}

// vlanOn is a VLAN as the configuration has it.
func vlanOn(lower string, id uint16, protocol config.Protocol) config.Interface {
	return config.Interface{
		Name: "v1", Type: config.TypeVLAN, Mode: config.ModeAttach, HopLimit: 64,
		Lower: lower, VLAN: config.VLAN{Protocol: protocol, ID: id},
	}
}

func (h *house) add(c config.Interface) (ID, error) {
	h.t.Helper()
	return h.m.Add(h.t.Context(), c)
}

func (h *house) info(id ID) (in Info) {
	h.t.Helper()
	h.do(func(*loop.Turn) {
		if i := h.m.ifaces[id]; i != nil {
			in = i.info()
		}
	})
	return in
}

// A VLAN has what its lower interface has: carrier, address and MTU.
func TestVLANFollowsItsLowerInterface(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("lan", new(framed))
	id, err := h.add(vlanOn("lan", 100, config.Protocol8021Q))
	if err != nil {
		t.Fatal(err)
	}
	in := h.info(id)
	if in.State != Up || in.MTU != 1500 || in.MAC != (config.MAC{2, 5: 1}) || in.Lower != "lan" || in.VLAN.ID != 100 {
		t.Errorf("interface = %+v, want it up on lan", in)
	}
	h.do(func(x *loop.Turn) { h.m.Carrier(x, lower, false) })
	if in := h.info(id); in.State != Down {
		t.Errorf("state = %v with the lower one down", in.State)
	}
	h.do(func(x *loop.Turn) { h.m.Carrier(x, lower, true); h.m.SetMTU(x, lower, 9000) })
	if in := h.info(id); in.State != Up || in.MTU != 9000 {
		t.Errorf("state, MTU = %v, %d, want up, 9000", in.State, in.MTU)
	}
	if r := <-h.detach(lower); !r.Clean {
		t.Errorf("ledger = %+v, want clean", r)
	}
	h.settle()
}

// A link has room for one customer's tag besides its MTU.
func TestVLANsHaveRoomForTheirTags(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("lan", new(framed))
	add := func(name, lower string, protocol config.Protocol, limit int) ID {
		t.Helper()
		c := vlanOn(lower, 7, protocol)
		c.Name, c.MTU = name, limit
		id, err := h.add(c)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	all := []struct {
		id         ID
		mtu, large int
	}{
		{add("c", "lan", config.Protocol8021Q, 0), 1500, 9000},
		{add("s", "lan", config.Protocol8021AD, 0), 1496, 8996},
		{add("cs", "s", config.Protocol8021Q, 0), 1492, 8992},
		{add("limited", "s", config.Protocol8021AD, 1400), 1400, 1400},
	}
	for _, v := range all {
		if got := h.info(v.id).MTU; got != v.mtu {
			t.Errorf("MTU of %d = %d, want %d", v.id, got, v.mtu)
		}
	}
	h.do(func(x *loop.Turn) { h.m.SetMTU(x, lower, 9000) })
	for _, v := range all {
		if got := h.info(v.id).MTU; got != v.large {
			t.Errorf("MTU of %d = %d, want %d", v.id, got, v.large)
		}
	}
	c := vlanOn("lan", 8, config.Protocol8021AD)
	c.Name = "narrow"
	h.do(func(x *loop.Turn) { h.m.SetMTU(x, lower, minMTU) })
	if _, err := h.add(c); err == nil {
		t.Errorf("a VLAN of %d bytes was attached", minMTU-link.TagSize)
	}
	<-h.detach(lower)
	h.settle()
}

func TestVLANThatCantBe(t *testing.T) {
	h := newHouse(t)
	lower, plain := h.attach("lan", new(framed)), h.attach("tun", new(port))
	if _, err := h.add(vlanOn("lan", 100, config.Protocol8021Q)); err != nil {
		t.Fatal(err)
	}
	again := vlanOn("lan", 100, config.Protocol8021Q)
	again.Name = "v2"
	if _, err := h.add(again); !errors.Is(err, ErrExists) {
		t.Errorf("the same tag = %v, want %v", err, ErrExists)
	}
	onTUN := vlanOn("tun", 100, config.Protocol8021Q)
	onTUN.Name = "v2"
	if _, err := h.add(onTUN); err == nil {
		t.Error("a VLAN was attached to what has no frames")
	}
	nowhere := vlanOn("nobody", 100, config.Protocol8021Q)
	nowhere.Name = "v2"
	if _, err := h.add(nowhere); !errors.Is(err, link.ErrNotExist) {
		t.Errorf("on nothing = %v, want %v", err, link.ErrNotExist)
	}
	if id, err := h.add(func() config.Interface { again.VLAN.Protocol = config.Protocol8021AD; return again }()); err != nil {
		t.Errorf("the same ID in another tag = %d, %v", id, err)
	}
	<-h.detach(plain)
	<-h.detach(lower)
	h.settle()
}

// A VLAN that is wanted is there whenever its lower interface is.
func TestKeeperHasVLANsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		k := h.keep()
		inner := vlanOn("v1", 7, config.Protocol8021Q)
		inner.Name = "v2"
		k.Keep(inner)
		k.Keep(vlanOn("lan", 100, config.Protocol8021AD))
		for range 3 {
			synctest.Wait()
			h.do(func(x *loop.Turn) {
				if _, there := h.m.Lookup(x, "v1"); there {
					t.Error("it is there without its lower interface")
				}
			})
			lower := h.attach("lan", new(framed))
			synctest.Wait()
			for _, name := range []string{"v1", "v2"} {
				h.do(func(x *loop.Turn) {
					if id, there := h.m.Lookup(x, name); !there || h.m.ifaces[id].state != Up {
						t.Errorf("%s is not up at once", name)
					}
				})
			}
			<-h.detach(lower)
		}
		if got := h.logged("interface not there yet"); got != 0 {
			t.Errorf("logged %d failures, want none: it waits", got)
		}
		k.Drop("v1")
		k.Drop("v2")
		synctest.Wait()
		h.settle()
	})
}
