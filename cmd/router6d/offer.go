package main

import (
	"context"
	"fmt"
	"net"
	"slices"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/service"
	"github.com/router6d/router6d/internal/web"
	"github.com/router6d/router6d/tcpstack"
)

// offer opens what the router itself offers. Nobody answers before the servers run.
func (d *daemon) offer(c config.Services) error {
	if h := c.HTTP; h != nil {
		l, err := d.listen("http", &h.Service)
		if err != nil {
			return err
		}
		s, err := web.New(l, h, d.s.Handler(), d.metrics().Handler())
		if err != nil {
			return fmt.Errorf("service http: %w", err)
		}
		d.add("http", config.TCP, s.Run)
	}
	for _, x := range []small{
		{"echo", c.Echo, service.Echo, service.EchoPacket, true},
		{"discard", c.Discard, service.Discard, service.DiscardPacket, false},
		{"chargen", c.Chargen, service.Chargen, nil, false},
	} {
		if x.Service == nil {
			continue
		}
		if err := d.offerSmall(x); err != nil {
			return err
		}
	}
	return nil
}

// A small service is one of package service.
type small struct {
	name string
	*config.Service
	serve  func(net.Conn) error
	packet func(net.PacketConn, []byte, net.Addr) // nil: not over UDP

	answers bool // each datagram: not those of other servers, or the two might never end
}

// offerSmall offers a service over each of its protocols.
func (d *daemon) offerSmall(x small) error {
	if slices.Contains(x.Protocols, config.TCP) {
		l, err := d.listen(x.name, x.Service)
		if err != nil {
			return err
		}
		d.add(x.name, config.TCP, func(ctx context.Context) error { return service.Run(ctx, l, x.serve) })
	}
	if slices.Contains(x.Protocols, config.UDP) {
		at := where(x.Service)
		at.NoSystemPorts = x.answers
		c, err := d.r.Transport.ListenPacket(x.Port, at)
		if err != nil {
			return fmt.Errorf("service %s: %w", x.name, err)
		}
		d.offered(x.name, config.UDP, x.Service)
		d.add(x.name, config.UDP, func(ctx context.Context) error { return service.RunPackets(ctx, c, x.packet) })
	}
	return nil
}

// add has a service run with the daemon.
func (d *daemon) add(name string, over config.Transport, run func(context.Context) error) {
	d.services = append(d.services, server{fmt.Sprintf("service %s over %s", name, over), run})
}

func (d *daemon) listen(name string, c *config.Service) (net.Listener, error) {
	l, err := d.r.Transport.Listen(c.Port, where(c))
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", name, err)
	}
	d.offered(name, config.TCP, c)
	return l, nil
}

func where(c *config.Service) tcpstack.Where {
	return tcpstack.Where{Addresses: c.Addresses, Interfaces: c.Interfaces}
}

func (d *daemon) offered(name string, over config.Transport, c *config.Service) {
	d.log.Info("service offered", zap.String("service", name), zap.String("protocol", string(over)), zap.Uint16("port", c.Port),
		zap.Stringers("addresses", c.Addresses), zap.Strings("interfaces", c.Interfaces))
}
