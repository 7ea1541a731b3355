package ifmgr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/loop"
)

// watchBuffer is what the kernel may queue for us: a thousand interfaces that
// change at once.
const watchBuffer = 4 << 20

// A Watch hears from the kernel about devices, in all namespaces to which it
// has a number, and has the Manager look at those it owns. A message is only a
// reason to ask: it may be old, and a device that moves is reported as deleted
// too. The descriptor knows.
type Watch struct {
	m        *Manager
	file     *os.File
	raw      syscall.RawConn
	appeared func(name string) // a device is there in our own namespace
	narrow   bool              // of other namespaces nothing is told
}

// pollInterval is how soon a change elsewhere is seen where nothing is told of it.
const pollInterval = 250 * time.Millisecond

// NewWatch opens the socket. appeared is called on the watch's goroutine.
func NewWatch(m *Manager, appeared func(name string)) (*Watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	w := &Watch{m: m, file: os.NewFile(uintptr(fd), "netlink links"), appeared: appeared}
	if w.raw, err = w.file.SyscallConn(); err == nil {
		w.narrow, err = listenEverywhere(fd, m.log)
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil { // without CAP_NET_ADMIN
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer))
		}
		err = errors.Join(
			err,
			unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch links: %w", err), w.file.Close())
	}
	return w, nil
}

// listenEverywhere asks for messages about other namespaces. That needs
// CAP_NET_BROADCAST, which a container has not got; a device of its can be there
// all the same, for the host can move it.
func listenEverywhere(fd int, log *zap.Logger) (narrow bool, err error) {
	err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1)
	if errors.Is(err, unix.EPERM) {
		log.Warn("devices are followed in this network namespace only", zap.Error(fmt.Errorf("CAP_NET_BROADCAST: %w", err)))
		return true, nil
	}
	return false, err
}

// Run follows devices until ctx ends, and closes the socket.
func (w *Watch) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { w.file.Close() })
	defer stop()
	defer w.file.Close()
	if w.narrow {
		w.m.loop.Notify(w.poll)
	}
	buf := make([]byte, 64<<10)
	for {
		msgs, nsid, err := w.receive(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // the kernel had more to say than fits
			w.m.log.Warn("link messages lost", zap.Error(err))
			w.refresh(ctx)
		case err != nil:
			return fmt.Errorf("watch links: %w", err)
		}
		for _, msg := range msgs {
			w.message(ctx, msg, nsid)
		}
	}
}

// poll asks the descriptors of devices elsewhere how they are.
func (w *Watch) poll(t *loop.Turn) {
	for _, i := range w.m.ifaces {
		if i.device.NSID != ownNSID {
			w.m.Check(t, i.id)
		}
	}
	t.At(t.Now().Add(pollInterval), w.poll)
}

func (w *Watch) receive(buf []byte) (msgs []syscall.NetlinkMessage, nsid int, err error) {
	var n, oobn int
	var oob [64]byte
	rerr := w.raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), buf, oob[:], 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(rerr, err); err != nil {
		return nil, 0, err
	}
	msgs, err = syscall.ParseNetlinkMessage(buf[:n])
	return msgs, parseNSID(oob[:oobn]), err
}

// parseNSID finds the number of the namespace that a message is about.
func parseNSID(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return ownNSID
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return ownNSID
}

func (w *Watch) message(ctx context.Context, msg syscall.NetlinkMessage, nsid int) {
	if msg.Header.Type != unix.RTM_NEWLINK && msg.Header.Type != unix.RTM_DELLINK {
		return
	}
	l, err := netlink.LinkDeserialize(nil, msg.Data)
	if err != nil {
		w.m.log.Warn("link message not understood", zap.Error(err))
		return
	}
	w.follow(ctx, deviceKey{nsid, l.Attrs().Index})
	if msg.Header.Type == unix.RTM_NEWLINK && nsid == ownNSID {
		w.appeared(l.Attrs().Name)
	}
}

// follow looks at a device that a message is about: it is gone, has moved or has
// changed.
func (w *Watch) follow(ctx context.Context, key deviceKey) {
	var i *Interface
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		if id, ok := w.m.devices[key]; ok {
			w.m.Check(t, id)
			i = w.m.ifaces[id]
		}
		return nil
	})
	if i != nil {
		w.m.locate(ctx, i)
	}
}

// refresh looks at every device anew: those that are interfaces, and those in
// our namespace that may have appeared unheard.
func (w *Watch) refresh(ctx context.Context) {
	w.refreshInterfaces(ctx)
	links, err := netlink.LinkList()
	if err != nil {
		w.m.log.Warn("devices not listed", zap.Error(err))
	}
	for _, l := range links {
		w.appeared(l.Attrs().Name)
	}
}

func (w *Watch) refreshInterfaces(ctx context.Context) {
	var all []*Interface
	_ = w.m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		for _, i := range w.m.ifaces {
			w.m.Check(t, i.id)
			all = append(all, i)
		}
		return nil
	})
	for _, i := range all {
		w.m.locate(ctx, i)
	}
}

// A locator is a port that can tell where its device is.
type locator interface {
	Locate() (name string, ns *os.File, err error)
}

// locate asks the descriptor for its device, and the kernel there how that is.
// The answer is newer than any message that was the reason to ask.
func (m *Manager) locate(ctx context.Context, i *Interface) {
	p, ok := i.port.(locator)
	if !ok {
		return
	}
	d, mtu, err := find(p)
	_ = m.loop.Do(ctx, func(t *loop.Turn) error { // fails only at the end
		if err == nil {
			m.found(t, i, d, mtu)
		} else if m.Check(t, i.id); i.state < Draining {
			m.log.Warn("device not found", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)), zap.Error(err))
		}
		return nil
	})
}

// findTries is how often a device may be renamed or moved on while it is looked
// for.
const findTries = 5

func find(p locator) (d Device, mtu int, err error) {
	for range findTries {
		d, mtu, err = look(p)
		if !errors.Is(err, unix.ENODEV) {
			break
		}
	}
	return d, mtu, err
}

func look(p locator) (d Device, mtu int, err error) {
	name, ns, err := p.Locate()
	if err != nil {
		return d, 0, err
	}
	defer ns.Close()
	// First the number, then the look: from then on changes are told.
	nsid, err := nsidOf(ns)
	if err != nil {
		return d, 0, err
	}
	l, err := linkIn(nsid, name)
	if err != nil {
		return d, 0, err
	}
	return Device{Name: name, Index: l.Attrs().Index, NSID: nsid}, l.Attrs().MTU, nil
}

// linkIn asks for a device in the namespace of that number. It does not go there,
// which is more than CAP_NET_ADMIN permits.
func linkIn(nsid int, name string) (netlink.Link, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if nsid != ownNSID {
		req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(nsid))))
	}
	msgs, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	if len(msgs) == 0 {
		return nil, fmt.Errorf("ask for %s: %w", name, unix.ENODEV)
	}
	return netlink.LinkDeserialize(nil, msgs[0])
}

// found notes where a device is now, under which name, and how wide it is.
func (m *Manager) found(t *loop.Turn, i *Interface, d Device, mtu int) {
	if i.state >= Draining {
		return
	}
	was := i.device
	d.Kept, d.Netns = was.Kept, was.Netns
	if d.NSID != was.NSID {
		d.Netns = nsidLabel(d.NSID)
	}
	if d != was {
		m.noteDevice(i, d)
		m.logPlace(i, was, d)
	}
	m.SetMTU(t, i.id, mtu)
	m.Check(t, i.id)
}

func (m *Manager) logPlace(i *Interface, was, d Device) {
	if d.key() == was.key() {
		m.log.Info("device renamed", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
			zap.String("was", was.Name), zap.String("device", d.Name))
		return
	}
	m.log.Info("device moved", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
		zap.Stringer("was", was), zap.Stringer("device", d))
}

// nsidLabel is how a namespace is called that no configuration names.
func nsidLabel(nsid int) string {
	if nsid == ownNSID {
		return ""
	}
	return fmt.Sprintf("nsid:%d", nsid)
}
