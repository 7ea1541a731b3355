package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/service"
	"github.com/router6d/router6d/internal/web"
	"github.com/router6d/router6d/tcpstack"
)

// An offer is a service over one protocol.
type offer struct {
	name string
	over config.Transport
	config.Service

	http   *config.HTTP                           // nil: one of package service
	serve  func(net.Conn) error                   // over TCP
	packet func(net.PacketConn, []byte, net.Addr) // over UDP

	answers bool // each datagram: not those of other servers, or the two might never end
}

// offers is what a configuration wants, in the order of a file.
func offers(c config.Services) (all []offer) {
	if h := c.HTTP; h != nil {
		all = append(all, offer{name: "http", over: config.TCP, Service: h.Service, http: h})
	}
	for _, x := range []struct {
		*config.Service
		offer
	}{
		{c.Echo, offer{name: "echo", serve: service.Echo, packet: service.EchoPacket, answers: true}},
		{c.Discard, offer{name: "discard", serve: service.Discard, packet: service.DiscardPacket}},
		{c.Chargen, offer{name: "chargen", serve: service.Chargen}},
	} {
		if x.Service == nil {
			continue
		}
		x.offer.Service = *x.Service
		for _, x.over = range x.Protocols {
			all = append(all, x.offer)
		}
	}
	return all
}

// replaces reports whether o is the same but for where it is.
func (o *offer) replaces(old *offer) bool {
	sameFiles := o.http == nil || old.http == nil ||
		o.http.Certificate == old.http.Certificate && o.http.Key == old.http.Key && o.http.TokenFile == old.http.TokenFile
	return o.name == old.name && o.over == old.over && o.Port == old.Port && sameFiles
}

func (o *offer) where() tcpstack.Where {
	return tcpstack.Where{
		Addresses: o.Addresses, Interfaces: o.Interfaces,
		NoSystemPorts: o.answers && o.over == config.UDP,
	}
}

// A door is a port of the router's own that is open.
type door interface {
	Move(at tcpstack.Where)
	Close() error
}

// An opened offer has its port.
type opened struct {
	offer
	door
	run     func(context.Context) error
	running *running // nil until it is
}

// open takes the port of an offer. Nobody answers before it runs.
func (d *daemon) open(o offer) (*opened, error) {
	if o.over == config.UDP {
		c, err := d.r.Transport.ListenPacket(o.Port, o.where())
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", o.name, err)
		}
		return &opened{offer: o, door: c, run: func(ctx context.Context) error { return service.RunPackets(ctx, c, o.packet) }}, nil
	}
	l, err := d.r.Transport.Listen(o.Port, o.where())
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", o.name, err)
	}
	if o.http == nil {
		return &opened{offer: o, door: l, run: func(ctx context.Context) error { return service.Run(ctx, l, o.serve) }}, nil
	}
	s, err := web.New(l, o.http, d.s.Handler(), d.metrics.Handler())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("service http: %w", err), l.Close())
	}
	return &opened{offer: o, door: l, run: s.Run}, nil
}

// A rearrangement is what becomes of the services: opened, and not told to anybody.
type rearrangement struct {
	stay  []*opened
	as    []offer // those who stay, from now on
	begin []*opened
	end   []*opened
}

// rearrange opens what is not there yet, all of it or nothing. What is to end goes on,
// and keeps its port, until it is done.
func (d *daemon) rearrange(c config.Services) (*rearrangement, error) {
	next := &rearrangement{end: slices.Clone(d.offered)}
	for _, o := range offers(c) {
		if i := slices.IndexFunc(next.end, func(old *opened) bool { return o.replaces(&old.offer) }); i >= 0 {
			next.stay, next.as = append(next.stay, next.end[i]), append(next.as, o)
			next.end = slices.Delete(next.end, i, i+1)
			continue
		}
		n, err := d.open(o)
		if errors.Is(err, tcpstack.ErrPortTaken) {
			err = fmt.Errorf("%w by another service, which has to be gone first", err)
		}
		if err != nil {
			return nil, errors.Join(err, next.discard())
		}
		next.begin = append(next.begin, n)
	}
	return next, nil
}

// discard gives up what was opened.
func (a *rearrangement) discard() (err error) {
	for _, o := range a.begin {
		err = errors.Join(err, o.Close())
	}
	return err
}

// done makes it so. Who is served by what ends is given two seconds, and nobody waits.
func (d *daemon) done(a *rearrangement) {
	for i, o := range a.stay {
		o.offer = a.as[i]
		o.Move(o.where())
	}
	for _, o := range a.end {
		o.running.stop()
		_ = o.Close() // now, so that the port is free; it never fails
		d.log.Info("service withdrawn", zap.String("service", o.name), zap.String("protocol", string(o.over)), zap.Uint16("port", o.Port))
	}
	for _, o := range a.begin {
		o.running = d.start(server{fmt.Sprintf("service %s over %s", o.name, o.over), o.run})
		d.log.Info("service offered", zap.String("service", o.name), zap.String("protocol", string(o.over)), zap.Uint16("port", o.Port),
			zap.Stringers("addresses", o.Addresses), zap.Strings("interfaces", o.Interfaces))
	}
	d.offered = append(a.stay, a.begin...)
}
