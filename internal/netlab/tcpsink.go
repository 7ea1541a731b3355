package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
)

// A TCPSink takes any number of TCPFlows, checks every byte of each, and
// answers each with how many it has had.
type TCPSink struct {
	listener *net.TCPListener
	bytes    atomic.Uint64
	join     sync.WaitGroup

	mu    sync.Mutex // over conns and errs: see doc.go
	conns map[*net.TCPConn]struct{}
	done  bool // Stop has begun: no conns any more
	errs  []error
}

// StartTCPSink listens on an address in the namespace. Port 0 lets the kernel
// choose.
func StartTCPSink(ns *Namespace, on netip.AddrPort) (*TCPSink, error) {
	scoped, err := ns.scopedPort(on)
	if err != nil {
		return nil, fmt.Errorf("start tcp sink on %v: %w", on, err)
	}
	config := net.ListenConfig{Control: pinCubic, KeepAlive: -1}
	config.SetMultipathTCP(false)
	s := &TCPSink{conns: make(map[*net.TCPConn]struct{})}
	err = ns.Do(func() error {
		l, err := config.Listen(context.Background(), "tcp6", scoped.String())
		if err == nil {
			s.listener = l.(*net.TCPListener)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start tcp sink on %v: %w", on, err)
	}
	s.join.Go(s.accept)
	return s, nil
}

// Addr is where the sink listens.
func (s *TCPSink) Addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Bytes counts what has arrived and was right, over all flows.
func (s *TCPSink) Bytes() uint64 { return s.bytes.Load() }

// Stop cuts the flows that are left, and returns what was wrong with those
// that ended by themselves. Stop the flows first.
func (s *TCPSink) Stop() error {
	_ = s.listener.Close()
	s.mu.Lock()
	s.done = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.join.Wait()
	return errors.Join(s.errs...)
}

func (s *TCPSink) accept() {
	for {
		conn, err := s.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		if s.add(conn) {
			s.join.Go(func() { s.serve(conn) })
		}
	}
}

func (s *TCPSink) add(conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *TCPSink) serve(conn *net.TCPConn) {
	if err := s.receive(conn); err != nil && !errors.Is(err, net.ErrClosed) {
		s.fail(fmt.Errorf("tcp sink: from %v: %w", conn.RemoteAddr(), err))
	}
	_ = conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

// receive checks a flow to its end or to the first wrong byte.
func (s *TCPSink) receive(conn *net.TCPConn) error {
	p, err := readHello(conn)
	if err != nil {
		return err
	}
	var got uint64
	buf := make([]byte, lap)
	for {
		n, err := conn.Read(buf)
		right := p.match(buf[:n])
		got += uint64(right)
		s.bytes.Add(uint64(right))
		switch {
		case right < n:
			return refuse(conn, got)
		case errors.Is(err, io.EOF):
			return answer(conn, answerWhole, got)
		case err != nil:
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
}

func (s *TCPSink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func readHello(conn io.Reader) (*pattern, error) {
	var b [helloSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	if binary.BigEndian.Uint64(b[:]) != helloMagic {
		return nil, errors.New("not a flow of ours")
	}
	return newPattern(binary.BigEndian.Uint64(b[8:])), nil
}

// refuse answers at once, and then reads on to the end: to close over unread
// bytes would reset the connection and lose the answer.
func refuse(conn *net.TCPConn, got uint64) error {
	wrong := fmt.Errorf("wrong byte at offset %d", got)
	if err := answer(conn, answerWrong, got); err != nil {
		return errors.Join(wrong, err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, os.ErrClosed) {
		return errors.Join(wrong, err)
	}
	return wrong
}

func answer(conn io.Writer, status, got uint64) error {
	var b [answerSize]byte
	binary.BigEndian.PutUint64(b[:], status)
	binary.BigEndian.PutUint64(b[8:], got)
	if _, err := conn.Write(b[:]); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}
