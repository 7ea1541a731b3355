package main

import (
	"context"
	"errors"
	"fmt"

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

// run is the daemon's life. ctx ends with the signal to stop.
func run(ctx context.Context, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log, ring, err := newLogger(cfg.Log)
	if err != nil {
		return err
	}
	defer log.Sync() //nolint:errcheck // a terminal can't be synced
	r, err := router.New(cfg, log)
	if err != nil {
		return err
	}
	s, err := control.Listen(cfg.Control, r, ring, log.Named("control"))
	if err != nil {
		return err
	}
	// Who asks before all is there waits for his answer.
	if err := r.Start(ctx); err != nil {
		err = errors.Join(err, s.Close())
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil // told to stop while it started
			log.Info("router stopped", zap.Duration("uptime", r.Uptime()))
		}
		return err
	}
	unplug, served := serve(s)
	log.Info("router started", zap.String("config", file), zap.String("control", cfg.Control))
	err = wait(ctx, r, served)
	log.Info("router stopping", zap.Error(err))
	err = errors.Join(err, unplug())
	r.Stop()
	log.Info("router stopped", zap.Duration("uptime", r.Uptime()))
	return err
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

// wait returns when the router is to stop: nil because it was told to.
func wait(ctx context.Context, r *router.Router, served <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.Failed():
		return err
	case err := <-served:
		return err
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
