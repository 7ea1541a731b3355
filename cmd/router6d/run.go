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
	cobra.CheckErr(c.MarkFlagRequired("config"))
	c.RunE = func(c *cobra.Command, _ []string) error { return run(c.Context(), *file) }
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
	serve, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Run(serve) }()
	if err := r.Start(ctx); err != nil {
		stop()
		return errors.Join(err, <-served)
	}
	log.Info("router started", zap.String("config", file), zap.String("control", cfg.Control))
	err = wait(ctx, r, served)
	log.Info("router stopping", zap.Error(err))
	stop()
	r.Stop()
	log.Info("router stopped", zap.Duration("uptime", r.Uptime()))
	return err
}

// wait returns when the router is to stop: nil because it was told to.
func wait(ctx context.Context, r *router.Router, served <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.Failed():
		return err
	case err := <-served:
		return fmt.Errorf("control socket: %w", err)
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
