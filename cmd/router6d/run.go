package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/metrics"
	"github.com/router6d/router6d/internal/router"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the router until SIGTERM",
		Args:  operands(0, 0),
	}
	file := c.Flags().StringP("config", "c", "", "configuration file")
	complete(c, "config", files)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *file == "" {
			return usage(c, errors.New("--config FILE is missing"))
		}
		return run(c.Context(), *file)
	}
	return c
}

// A daemon is a router that was started from a file.
type daemon struct {
	file  string
	log   *zap.Logger
	level zap.AtomicLevel
	said  config.Level // of the log, by the file as it was applied last
	r     *router.Router
	s     *control.Server
	m     *metrics.Server // nil if they are offered nowhere outside

	metrics *metrics.Metrics
	offered []*opened  // in-band
	running []*running // all servers that have not ended
	failed  chan error // of one of them; capacity 1: one is enough

	reloading sync.Mutex // one at a time, from the reading of the file on; it is done outside the loop
	ending    bool       // no server begins any more
}

// run is the daemon's life. ctx ends with the signal to stop.
func run(ctx context.Context, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log, level, ring := newLogger(cfg.Log)
	defer log.Sync() //nolint:errcheck // a terminal can't be synced
	d := &daemon{file: file, log: log, level: level, said: cfg.Log.Level, failed: make(chan error, 1)}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // from now on: it must not end a router that starts
	defer signal.Stop(hup)
	if err := d.begin(ctx, cfg, ring); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // told to stop while it started
			log.Info("router stopped", zap.Duration("uptime", d.r.Uptime()))
			return nil
		}
		log.Error("router not started", zap.Error(err))
		return err
	}
	log.Info("router started", zap.String("config", file), zap.String("control", cfg.Control))
	tell(systemd.SdNotifyReady)
	err = d.wait(ctx, hup)
	tell(systemd.SdNotifyStopping)
	log.Info("router stopping", zap.Error(err))
	err = errors.Join(err, d.unplug())
	d.r.Stop()
	log.Info("router stopped", zap.Duration("uptime", d.r.Uptime()))
	return err
}

// begin builds all and starts it. When it fails, nothing of that is left.
func (d *daemon) begin(ctx context.Context, cfg *config.Config, ring *events.Ring) (err error) {
	if d.r, err = router.New(cfg, d.log); err != nil {
		return err
	}
	if d.s, err = control.Listen(cfg.Control, d.r, ring, d.level); err != nil {
		return err
	}
	d.s.Reload = d.reload
	var services *rearrangement
	err = d.measure(cfg.Metrics)
	if err == nil {
		services, err = d.rearrange(cfg.Services)
	}
	if err == nil {
		err = d.r.Start(ctx) // who asks before all is there waits for his answer
	}
	if err != nil {
		return errors.Join(err, d.close())
	}
	d.serve(services)
	return nil
}

// reload applies the file anew, or tells what that would change.
func (d *daemon) reload(ctx context.Context, dry bool) ([]router.Change, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.ending {
		return nil, errors.New("the router is stopping")
	}
	cfg, err := config.Load(d.file)
	if err != nil {
		return nil, err
	}
	if dry {
		return d.r.Reload(ctx, cfg, dry)
	}
	services, err := d.rearrange(cfg.Services)
	if err != nil {
		return nil, err
	}
	steps, err := d.r.Reload(ctx, cfg, dry)
	if err != nil {
		return nil, errors.Join(err, services.discard())
	}
	d.done(services)
	if cfg.Log.Level != d.said { // otherwise one that was set at run time stays
		d.said = cfg.Log.Level
		d.level.SetLevel(levelOf(cfg.Log))
	}
	return steps, nil
}

// measure begins before the router starts, and opens the port where the host's own
// network may ask.
func (d *daemon) measure(c config.Metrics) (err error) {
	d.metrics = metrics.New(metrics.Source{
		Loop: d.r.Loop, Interfaces: d.r.Interfaces, FIB: d.r.FIB, Plane: d.r.Plane, Transport: d.r.Transport,
	})
	d.r.OnDetach, d.r.Loop.OnGrace = d.metrics.Detached, d.metrics.Grace
	if !c.Listen.IsValid() {
		return nil
	}
	if d.m, err = metrics.Listen(c.Listen, d.metrics); err == nil {
		d.log.Info("metrics offered", zap.Stringer("listen", d.m.Addr()))
	}
	return err
}

// close gives up what was opened and never ran.
func (d *daemon) close() error {
	err := d.s.Close()
	if d.m != nil {
		err = errors.Join(err, d.m.Close())
	}
	return err
}

// A server answers until its context ends.
type server struct {
	name string
	run  func(context.Context) error
}

// A running server ends when it is told to stop.
type running struct {
	stop  context.CancelFunc
	ended chan error // capacity 1
}

// serve runs all there is until unplug.
func (d *daemon) serve(services *rearrangement) {
	d.reloading.Lock() // who asks for a reload may, as soon as the socket answers
	defer d.reloading.Unlock()
	d.start(server{"control socket", d.s.Run})
	d.start(server{"watchdog", d.watchdog})
	if d.m != nil {
		d.start(server{"metrics", d.m.Run})
	}
	d.done(services)
}

// start runs a server. One ends by itself only by failing, which is told.
func (d *daemon) start(s server) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop, make(chan error, 1)}
	d.running = slices.DeleteFunc(d.running, func(r *running) bool { return len(r.ended) > 0 })
	d.running = append(d.running, r)
	go func() {
		err := s.run(ctx)
		if ctx.Err() == nil {
			select {
			case d.failed <- fmt.Errorf("%s: %w", s.name, err):
			default:
			}
			err = nil // told already
		}
		r.ended <- err
	}()
	return r
}

// unplug ends all servers, and waits for them.
func (d *daemon) unplug() (err error) {
	d.reloading.Lock()
	d.ending = true
	d.reloading.Unlock()
	for _, r := range d.running {
		r.stop()
	}
	for _, r := range d.running {
		err = errors.Join(err, <-r.ended)
	}
	return err
}

// wait returns when the router is to stop: nil because it was told to. It
// reloads at SIGHUP.
func (d *daemon) wait(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.r.Failed():
			return err
		case err := <-d.failed:
			return err
		case <-hup:
			if _, err := d.reload(ctx, false); err != nil && ctx.Err() == nil {
				d.log.Error("configuration not reloaded", zap.Error(err))
			}
		}
	}
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Args:  operands(1, 1),

		ValidArgsFunction: one(files),
		RunE: func(c *cobra.Command, names []string) error {
			cfg, err := config.Load(names[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d interfaces, %d routes, no mistakes\n",
				names[0], len(cfg.Interfaces), len(cfg.Routes))
			return err
		},
	}
}
