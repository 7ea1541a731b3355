package main

import (
	"context"
	"fmt"
	"io"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/health"
)

// healthTimeout is for a router that is stopped as a whole: one that runs answers
// within two seconds.
const healthTimeout = 4 * time.Second

func showHealth(socket *string, asJSON *bool) *cobra.Command {
	c := &cobra.Command{
		Use:   "health",
		Short: "Whether a running router moves: its loop and its workers",
		Long: "Whether a running router moves: its loop takes a turn and every worker ends its\n" +
			"batch, each within a second. The exit code is 0 if so, and 1 if not.",
		Args: operands(0, 0),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), healthTimeout)
		defer cancel()
		if err := control.NewClient(*socket).Health(ctx); err != nil {
			return err
		}
		return print(c.OutOrStdout(), *asJSON, control.Health{Healthy: true}, func(w io.Writer, _ control.Health) {
			fmt.Fprintln(w, "healthy")
		})
	}
	return c
}

// watchdog tells systemd that the router moves, for as long as it does and
// systemd wants to hear it.
func (d *daemon) watchdog(ctx context.Context) error {
	patience, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return err
	}
	if patience == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(patience / 2)
	defer tick.Stop()
	for {
		err := health.Check(ctx, d.r.Loop)
		if err == nil {
			tell(systemd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			d.log.Error("router not healthy", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tell sends systemd a state, if there is one to hear it.
func tell(state string) { _, _ = systemd.SdNotify(false, state) } // it would miss the next one, too
