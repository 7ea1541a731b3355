package link

import "errors"

var (
	// ErrInterrupted ends a Recv after Interrupt.
	ErrInterrupted = errors.New("link: receive interrupted")
	// ErrGone means that the device was deleted by someone else. The
	// descriptor is all that is left of it.
	ErrGone = errors.New("link: device is gone")
	// ErrSevered means that the port was severed: what it would send goes nowhere.
	ErrSevered = errors.New("link: port is severed")
	// ErrDown means that the device is administratively down.
	ErrDown = errors.New("link: device is down")
	// ErrRejected means that the device does not take this packet.
	ErrRejected = errors.New("link: packet rejected by the device")
	// ErrNoSession means that nobody is at the other end now.
	ErrNoSession = errors.New("link: no session")
	// ErrFull means that the device takes no more packets now.
	ErrFull = errors.New("link: device is full")
)

// A Sender is all that the FIB and the packet path see of a port: there is no
// way to close it.
type Sender interface {
	// Send writes the packets of v and takes those written out of it. What is
	// left was not sent, and the error says why the last of them was not.
	// The caller is inside an epoch, which keeps the descriptor's number.
	Send(v *Vector) error
}

// A Receiver has a queue of its own, and so gets a worker.
type Receiver interface {
	// Recv sleeps until something can be read and fills b with it. With an
	// error b is empty, and lends no arena.
	Recv(b *Batch) error
}

// Queued is of a port with several queues: each gets a worker, and the packets of
// a flow stay in order.
type Queued interface {
	// Receivers has one for each queue, and is the same at every call.
	Receivers() []Receiver
}

// A Port is a Sender with its off switches. Only ifmgr holds one.
type Port interface {
	Sender
	// Interrupt makes every Recv, now and later, return ErrInterrupted.
	Interrupt()
	// Close ends the device. Nobody sends or receives any more. It may take
	// the kernel tens of milliseconds.
	Close() error
	// Sever ends the device although it may still be used: senders write into
	// nothing from now on, and the descriptor's number stays taken until Close.
	Sever() error
}

// An Ethernet port sends and receives frames with their Ethernet header in front.
type Ethernet interface {
	Port
	// HardwareAddr is the port's own MAC address now.
	HardwareAddr() [6]byte
}

// An Upper is a port stacked on another one, as a PPP session is.
type Upper interface {
	Port
	// Claim says whose a packet is that the lower port received. It takes the
	// encapsulation off one that goes on as the upper port's.
	Claim(p *Packet) Claim
}

// A Claim is what a stacked port makes of a packet.
type Claim uint8

const (
	// NotOurs is somebody else's, and as it was.
	NotOurs Claim = iota
	// Ours came in through the upper port.
	Ours
	// Consumed was for the upper port itself, which has made a copy.
	Consumed
	// Overflow was, too, and there was no room for it.
	Overflow
	// Unready was for the upper port, which has nobody to give it to now.
	Unready
)
