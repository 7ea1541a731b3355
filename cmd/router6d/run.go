package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/router"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the router until SIGTERM",
		Args:  args(cobra.NoArgs),
	}
	file := c.Flags().StringP("config", "c", "", "configuration file")
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
	r     *router.Router
	s     *control.Server
}

// run is the daemon's life. ctx ends with the signal to stop.
func run(ctx context.Context, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log, level, ring := newLogger(cfg.Log)
	defer log.Sync() //nolint:errcheck // a terminal can't be synced
	d := &daemon{file: file, log: log, level: level}
	if d.r, err = router.New(cfg, log); err != nil {
		return err
	}
	if d.s, err = control.Listen(cfg.Control, d.r, ring, level); err != nil {
		return err
	}
	d.s.Reload = d.reload
	// Who asks before all is there waits for his answer.
	if err := d.r.Start(ctx); err != nil {
		err = errors.Join(err, d.s.Close())
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil // told to stop while it started
			log.Info("router stopped", zap.Duration("uptime", d.r.Uptime()))
		}
		return err
	}
	unplug, served := serve(d.s)
	log.Info("router started", zap.String("config", file), zap.String("control", cfg.Control))
	err = d.wait(ctx, served)
	log.Info("router stopping", zap.Error(err))
	err = errors.Join(err, unplug())
	d.r.Stop()
	log.Info("router stopped", zap.Duration("uptime", d.r.Uptime()))
	return err
}

// reload applies the file anew, or tells what that would change.
func (d *daemon) reload(ctx context.Context, dry bool) ([]router.Change, error) {
	cfg, err := config.Load(d.file)
	if err != nil {
		return nil, err
	}
	steps, err := d.r.Reload(ctx, cfg, dry)
	if err == nil && !dry {
		d.level.SetLevel(levelOf(cfg.Log))
	}
	return steps, err
}

// serve answers on the control socket until unplug, which returns when that has
// ended. It ends by itself only by failing, and served tells why.
func serve(s *control.Server) (unplug func() error, served <-chan error) {
	ctx, stop := context.WithCancel(context.Background())
	failed, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		err := s.Run(ctx)
		if ctx.Err() == nil {
			failed <- fmt.Errorf("control socket: %w", err)
			err = nil // told already
		}
		ended <- err
	}()
	return func() error { stop(); return <-ended }, failed
}

// wait returns when the router is to stop: nil because it was told to. It
// reloads at SIGHUP.
func (d *daemon) wait(ctx context.Context, served <-chan error) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.r.Failed():
			return err
		case err := <-served:
			return err
		case <-hup:
			if _, err := d.reload(ctx, false); err != nil {
				d.log.Error("configuration not reloaded", zap.Error(err))
			}
		}
	}
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Args:  args(cobra.ExactArgs(1)),
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
