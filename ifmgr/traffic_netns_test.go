package ifmgr_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

// A traffic sends through an interface, as workers of others do, and into it, as
// the kernel does, for as long as it is there.
type traffic struct {
	out  atomic.Pointer[ifmgr.Handle] // what lookups return
	sent atomic.Int64                 // taken by the port
	stop atomic.Bool
	all  sync.WaitGroup
}

func startTraffic(t *testing.T, r *router, ns *netlab.Namespace, device string, frame []byte) *traffic {
	t.Helper()
	f := &traffic{}
	for range 2 {
		f.all.Go(func() { f.send(r.dom.Register("sender"), frame) })
	}
	j, err := netlab.OpenInjector(ns, device)
	check(t, err)
	f.all.Go(func() {
		for !f.stop.Load() {
			_ = j.Send(netlab.EtherTypeIPv6, frame) // its device may be gone
		}
		_ = j.Close()
	})
	t.Cleanup(func() { f.stop.Store(true); f.all.Wait() })
	return f
}

func (f *traffic) send(reader *epoch.Reader, frame []byte) {
	defer reader.Close()
	b := link.NewBatch(link.NewPool(1))
	for !f.stop.Load() {
		g := reader.Enter()
		if h := f.out.Load(); h != nil {
			b.Inject(frame, frame, frame)
			err := h.Port().Send(&b.Vector)
			if b.Len() < 3 {
				f.sent.Add(int64(3 - b.Len()))
			}
			if errors.Is(err, link.ErrSevered) {
				time.Sleep(time.Millisecond) // it stays so: leave the processor to who ends it
			}
			b.End()
		}
		g.Leave()
	}
}

// publish has lookups return the interface; withdraw ends that.
func (f *traffic) publish(r *router, id ifmgr.ID) {
	r.do(func(x *loop.Turn) {
		h, err := r.m.Acquire(x, id, ifmgr.Route)
		check(r.t, err)
		f.out.Store(h)
	})
	r.withdraw.Store(&withdrawal{id, func(x *loop.Turn) {
		if h := f.out.Swap(nil); h != nil {
			x.AfterGrace(func(*loop.Turn) { h.Release() })
		}
	}})
}

// Whatever ends an interface while packets pass in both directions, it ends
// clean, and nothing is left of it.
func TestDetachUnderTraffic(t *testing.T) {
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, 59, 64}, make([]byte, 92)...)
	ports := map[string]func(*testing.T, *router, *netlab.Namespace) (id ifmgr.ID, name, far string, ns *netlab.Namespace){
		"TAP": func(t *testing.T, r *router, there *netlab.Namespace) (ifmgr.ID, string, string, *netlab.Namespace) {
			return r.add(tap(t, there)), "wan0", "wan0", there
		},
		"packet socket": func(t *testing.T, r *router, there *netlab.Namespace) (ifmgr.ID, string, string, *netlab.Namespace) {
			lay(t, there)
			return r.add(linkOf(t, "eth0")), "eth0", "eth0", there
		},
		"VLAN on a packet socket": func(t *testing.T, r *router, there *netlab.Namespace) (ifmgr.ID, string, string, *netlab.Namespace) {
			lay(t, there)
			r.add(linkOf(t, "eth0"))
			r.until("eth0", "up", stateIs(ifmgr.Up))
			v := linkOf(t, "v1")
			v.Type, v.Lower, v.VLAN = config.TypeVLAN, "eth0", config.VLAN{Protocol: config.Protocol8021Q, ID: 7}
			return r.add(v), "v1", "eth0", there
		},
		"VLAN on a TAP": func(t *testing.T, r *router, there *netlab.Namespace) (ifmgr.ID, string, string, *netlab.Namespace) {
			r.add(tap(t, there))
			v := linkOf(t, "v1")
			v.Type, v.Lower, v.VLAN = config.TypeVLAN, "wan0", config.VLAN{Protocol: config.Protocol8021AD, ID: 7}
			return r.add(v), "v1", "wan0", there
		},
	}
	ends := map[string]func(*testing.T, *router, ifmgr.ID, *netlab.Namespace, string){
		"by command": func(_ *testing.T, r *router, id ifmgr.ID, _ *netlab.Namespace, _ string) {
			r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
		},
		"by deletion": func(t *testing.T, _ *router, _ ifmgr.ID, ns *netlab.Namespace, device string) {
			check(t, ns.DeleteLink(device))
		},
	}
	for what, open := range ports {
		for how, end := range ends {
			t.Run(what+" "+how, func(t *testing.T) {
				r := newRouter(t)
				id, name, far, ns := open(t, r, namespace(t, "r6t-there"))
				r.until(name, "up", stateIs(ifmgr.Up))
				f := startTraffic(t, r, ns, far, frame)
				f.publish(r, id)
				eventually(t, "many being sent", func() bool { return f.sent.Load() >= 2000 })
				end(t, r, id, ns, far)
				if res := r.end(id); res.Err != nil || len(res.Holders) != 0 {
					t.Errorf("ledger = %+v, want clean", res)
				}
				f.stop.Store(true)
				f.all.Wait()
			})
		}
	}
}

// A port whose holder stays is severed under its senders: nothing leaves any more.
func TestOrphanUnderTraffic(t *testing.T) {
	frame := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd}, make([]byte, 100)...)
	r := newRouter(t)
	there := namespace(t, "r6t-there")
	lay(t, there)
	id := r.add(linkOf(t, "eth0"))
	r.until("eth0", "up", stateIs(ifmgr.Up))
	f := startTraffic(t, r, there, "eth0", frame)
	f.publish(r, id)
	var stays *ifmgr.Handle
	r.do(func(x *loop.Turn) {
		var err error
		stays, err = r.m.Acquire(x, id, ifmgr.Route)
		check(t, err)
		r.m.SetTimeout(x, 200*time.Millisecond)
		r.m.Detach(x, id, ifmgr.ErrRequested, nil)
	})
	res := <-r.ended
	if res.Clean || res.Holders["route"] == 0 || res.Err != nil {
		t.Errorf("ledger = %+v, want it orphaned by the one who stays", res)
	}
	// The kernel speaks again when that is done, which on a busy machine may be after
	// the report: the timeout is short here.
	eventually(t, "the kernel speaking again", func() bool { return disabled(t, "eth0") == "0" })
	b := link.NewBatch(link.NewPool(1))
	b.Inject(frame)
	if err := stays.Port().Send(&b.Vector); !errors.Is(err, link.ErrSevered) {
		t.Errorf("send = %v, want %v", err, link.ErrSevered)
	}
	b.End()
	// The next incarnation is there beside the orphan.
	r.do(func(x *loop.Turn) { r.m.SetTimeout(x, 5*time.Second) })
	r.detach(r.add(linkOf(t, "eth0")))
	stays.Release()
	f.stop.Store(true)
	f.all.Wait()
}
