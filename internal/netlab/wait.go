package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// WaitLink waits until a device is there and fits, and returns it. A nil fits
// takes it as it is. It looks again at every word from the kernel about a
// device, not after a while.
func (n *Namespace) WaitLink(ctx context.Context, name string, fits func(Link) bool) (Link, error) {
	var found Link
	err := n.watch(ctx, func() (bool, error) {
		l, err := n.Link(name)
		if errors.Is(err, ErrNoLink) {
			return false, nil
		}
		found = l
		return err == nil && (fits == nil || fits(l)), err
	})
	if err != nil {
		return found, fmt.Errorf("wait for %s in %s: %w", name, n.name, err)
	}
	return found, nil
}

// WaitNoLink waits until there is no device of that name.
func (n *Namespace) WaitNoLink(ctx context.Context, name string) error {
	err := n.watch(ctx, func() (bool, error) {
		_, err := n.Link(name)
		if errors.Is(err, ErrNoLink) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("wait for the end of %s in %s: %w", name, n.name, err)
	}
	return nil
}

// watch asks done at first and at every change of a device, until it says so.
// It listens before it asks, so that no change falls in between.
func (n *Namespace) watch(ctx context.Context, done func() (bool, error)) error {
	events, err := n.linkEvents()
	if err != nil {
		return err
	}
	defer events.Close() // nothing was written
	stop := context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(past) })
	defer stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := nextEvent(events); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func (n *Namespace) linkEvents() (*os.File, error) {
	return n.socket("netlink", func() (int, error) {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|sockFlags, unix.NETLINK_ROUTE)
		if err != nil {
			return fd, err
		}
		return fd, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK})
	})
}

// nextEvent waits for any word at all: what it says is not read, for done asks
// the kernel itself.
func nextEvent(events *os.File) error {
	var b [1]byte // the rest of a datagram is thrown away
	_, err := events.Read(b[:])
	if errors.Is(err, unix.ENOBUFS) { // words were lost, so there were some
		return nil
	}
	return err
}
