package main

import (
	"context"
	"fmt"
	"net"

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
		d.services = append(d.services, server{"service http", s.Run})
	}
	for _, x := range []struct {
		name  string
		c     *config.Service
		serve func(net.Conn) error
	}{
		{"echo", c.Echo, service.Echo},
		{"discard", c.Discard, service.Discard},
		{"chargen", c.Chargen, service.Chargen},
	} {
		if x.c == nil {
			continue
		}
		l, err := d.listen(x.name, x.c)
		if err != nil {
			return err
		}
		run := func(ctx context.Context) error { return service.Run(ctx, l, x.serve) }
		d.services = append(d.services, server{"service " + x.name, run})
	}
	return nil
}

func (d *daemon) listen(name string, c *config.Service) (net.Listener, error) {
	l, err := d.r.Transport.Listen(c.Port, tcpstack.Where{Addresses: c.Addresses, Interfaces: c.Interfaces})
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", name, err)
	}
	d.log.Info("service offered", zap.String("service", name), zap.Uint16("port", c.Port),
		zap.Stringers("addresses", c.Addresses), zap.Strings("interfaces", c.Interfaces))
	return l, nil
}
