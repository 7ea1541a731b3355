package netlab

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// EtherTypeIPv6 is the EtherType of what a TUN carries.
const EtherTypeIPv6 uint16 = unix.ETH_P_IPV6

// An Injector puts bytes on a device as if the kernel had sent them. On a TUN
// its owner reads them next. Nothing looks at what they are.
type Injector struct {
	file *os.File
	raw  syscall.RawConn
	link string
	to   int // index
}

// OpenInjector opens a device to be written to.
func OpenInjector(ns *Namespace, link string) (*Injector, error) {
	l, err := ns.Link(link)
	if err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	// Protocol 0 receives nothing.
	file, err := ns.socket("packet", func() (int, error) {
		return unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|sockFlags, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("inject on %s: %w", link, err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("inject on %s: %w", link, err)
	}
	return &Injector{file: file, raw: raw, link: link, to: l.Index}, nil
}

// Send puts one packet on the device: as it is on a TUN, with its Ethernet
// header on an Ethernet device. The kernel refuses an empty one, and one longer
// than the MTU with EMSGSIZE.
func (j *Injector) Send(etherType uint16, packet []byte) error {
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(etherType), Ifindex: j.to}
	var failed error
	err := j.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, to)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("inject %d bytes on %s: %w", len(packet), j.link, err)
	}
	return nil
}

// Close lets go of the device.
func (j *Injector) Close() error { return j.file.Close() }

// SendRaw puts one IPv6 packet, or what passes for one, on a device.
func SendRaw(ns *Namespace, link string, packet []byte) error {
	j, err := OpenInjector(ns, link)
	if err != nil {
		return err
	}
	return errors.Join(j.Send(EtherTypeIPv6, packet), j.Close())
}
