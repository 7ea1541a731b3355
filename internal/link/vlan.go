package link

import "sync/atomic"

// A Carrier is the Ethernet port under a stacked one, without its off switches.
type Carrier interface {
	Sender
	// HardwareAddr is the port's own MAC address now.
	HardwareAddr() [6]byte
	// Probe says how the port is: nil is up, ErrDown and ErrGone are what they say.
	Probe() error
}

// A VLAN is the frames of an Ethernet port that have one tag: an Ethernet port
// stacked on it, which may itself be a VLAN. Superframes pass it whole.
type VLAN struct {
	lower   Carrier
	tpid    TPID
	id      uint16
	severed atomic.Bool
}

// NewVLAN returns the VLAN with an id of 1 to 4094 on lower, which it borrows
// until it is closed.
func NewVLAN(lower Carrier, tpid TPID, id uint16) *VLAN {
	return &VLAN{lower: lower, tpid: tpid, id: id}
}

// Claim implements Upper. Priority is for switches, and nothing to us.
func (v *VLAN) Claim(p *Packet) Claim {
	tpid, tci, ok := tagOf(p.Bytes())
	if !ok || tpid != v.tpid || tci&tagID != v.id {
		return NotOurs
	}
	p.popTag()
	return Ours
}

// Send implements Sender.
func (v *VLAN) Send(out *Vector) error {
	if v.severed.Load() {
		return ErrSevered
	}
	for i := range out.Len() {
		out.At(i).pushTag(v.tpid, v.id)
	}
	err := v.lower.Send(out)
	for i := range out.Len() {
		out.At(i).popTag() // what was not sent is as it was
	}
	return err
}

// HardwareAddr implements Ethernet: the lower port's.
func (v *VLAN) HardwareAddr() [6]byte { return v.lower.HardwareAddr() }

// Probe is how the lower port is.
func (v *VLAN) Probe() error { return v.lower.Probe() }

// Interrupt implements Port. Nobody sleeps here.
func (v *VLAN) Interrupt() {}

// Close implements Port.
func (v *VLAN) Close() error { return nil }

// Sever implements Port.
func (v *VLAN) Sever() error {
	v.severed.Store(true)
	return nil
}
