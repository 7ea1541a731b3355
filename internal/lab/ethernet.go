package lab

import (
	"sync/atomic"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// RouterMAC is what AttachEthernet gives to the router's end.
var RouterMAC = header.MAC{2, 0, 0, 0, 0, 1}

// An ethernet is a pipe with frames.
type ethernet struct {
	*link.Pipe
	mac atomic.Pointer[header.MAC]
}

// HardwareAddr implements link.Ethernet.
func (e *ethernet) HardwareAddr() [6]byte { return *e.mac.Load() }

// Probe lets Check look at the MAC.
func (e *ethernet) Probe() error { return nil }

// AttachEthernet is AttachAs with frames. What is sent and expected begins with
// an Ethernet header.
func (r *Router) AttachEthernet(s ifmgr.Settings) *Port {
	r.t.Helper()
	p := &Port{Name: s.Name, r: r}
	p.Near, p.Far = link.NewPipe(s.Name, s.Name+" far")
	p.frames = &ethernet{Pipe: p.Near}
	p.frames.mac.Store(&RouterMAC)
	r.add(p, func(t *loop.Turn) (ifmgr.ID, error) { return r.Interfaces.Attach(t, p.frames, s) })
	return p
}

// SetMAC changes the MAC of the router's end.
func (p *Port) SetMAC(mac header.MAC) {
	p.r.t.Helper()
	p.frames.mac.Store(&mac)
	p.r.Turn(func(t *loop.Turn) { p.r.Interfaces.Check(t, p.ID) })
}

// EthernetFrame is pkt in a frame.
func EthernetFrame(dst, src header.MAC, pkt []byte) []byte {
	b := make([]byte, header.EthernetSize, header.EthernetSize+len(pkt))
	header.PutEthernet(b, &dst, &src)
	return append(b, pkt...)
}
