package service

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// idle is how long a connection may say nothing, or take nothing.
const idle = 2 * time.Minute

// Run serves connections of l, each by serve on a goroutine of its own, until ctx
// ends, and then closes those that are left. It takes l.
func Run(ctx context.Context, l net.Listener, serve func(net.Conn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			cancel() // what is left goes with it
			return err
		}
		all.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			defer c.Close()
			_ = serve(patient{c}) // the peer has gone, or the router goes
		})
	}
}

// RunPackets serves the datagrams of c, each by serve, until ctx ends. It takes c.
func RunPackets(ctx context.Context, c net.PacketConn, serve func(c net.PacketConn, b []byte, from net.Addr)) error {
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer c.Close()
	b := make([]byte, piece) // none is longer
	for {
		n, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		serve(c, b[:n], from)
	}
}

// A patient connection gives up when nothing moves.
type patient struct{ net.Conn }

// Read implements net.Conn.
func (c patient) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(idle))
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c patient) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(idle))
	return c.Conn.Write(b)
}

// piece is how much is read or written at once.
const piece = 64 << 10

// Echo sends back what it gets, RFC 862.
func Echo(c net.Conn) error {
	_, err := io.CopyBuffer(c, c, make([]byte, piece))
	return err
}

// EchoPacket sends a datagram back, RFC 862. If it can't, it is lost, as on any link.
func EchoPacket(c net.PacketConn, b []byte, from net.Addr) { _, _ = c.WriteTo(b, from) }

// Discard takes what it gets, RFC 863.
func Discard(c net.Conn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, piece))
	return err
}

// DiscardPacket takes a datagram, RFC 863.
func DiscardPacket(net.PacketConn, []byte, net.Addr) {}

// Chargen sends lines of RFC 864 until the peer has enough.
func Chargen(c net.Conn) error {
	b := lines(piece)
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// lines is the pattern of RFC 864: 72 of the 95 printable characters, each line one
// further. It is as long as fits in size and can be repeated.
func lines(size int) []byte {
	const width, printable = 72, '~' - ' ' + 1
	var b []byte
	for n := 0; len(b)+printable*(width+2) <= size; {
		for range printable {
			for i := range width {
				b = append(b, byte(' '+(n+i)%printable))
			}
			b = append(b, '\r', '\n')
			n++
		}
	}
	return b
}
