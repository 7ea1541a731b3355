package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/demo"
)

func demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job: traffic through interfaces that come and go (needs root)",
		Args:  operands(0, 0),
	}
	var o demo.Options
	f := c.Flags()
	f.DurationVar(&o.Duration, "duration", demo.DefaultDuration, "how long the traffic runs")
	f.DurationVar(&o.DetachTimeout, "detach-timeout", config.DefaultDetachTimeout, "a detach that takes longer fails the demo")
	f.BoolVar(&o.Iperf3, "iperf3", false, "TCP by iperf3 instead of the demo's own")
	f.BoolVar(&o.Keep, "keep", false, "leave the lab up until interrupted")
	f.StringVar(&o.Control, "socket", "", "have a control socket here, to look at the demo's router")
	asJSON := f.Bool("json", false, "print one JSON object at the end and nothing else")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Live = c.OutOrStdout()
		if *asJSON {
			o.Live = io.Discard
		}
		res, err := demo.Run(c.Context(), o)
		if err != nil {
			return err
		}
		if *asJSON {
			err = json.NewEncoder(c.OutOrStdout()).Encode(res)
		} else {
			_, err = fmt.Fprint(c.OutOrStdout(), res)
		}
		if err == nil && !res.OK {
			err = errors.New("the demo did not go as it must")
		}
		return err
	}
	return c
}
