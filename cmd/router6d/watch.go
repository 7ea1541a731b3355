package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const clearScreen = "\x1b[H\x1b[2J" // ECMA-48: cursor home, erase all

// watchFlag adds --watch, which is zero if it was not given.
func watchFlag(c *cobra.Command) *time.Duration {
	every := new(interval)
	f := c.Flags().VarPF(every, "watch", "w", "show it again and again, as --watch=500ms, until interrupted")
	f.NoOptDefVal = "2s"
	return (*time.Duration)(every)
}

// An interval is a duration that is not zero, unless it was not given.
type interval time.Duration

// Set implements pflag.Value.
func (i *interval) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("not longer than nothing")
	}
	*i = interval(d)
	return err
}

// String implements pflag.Value.
func (i *interval) String() string {
	if *i == 0 {
		return ""
	}
	return time.Duration(*i).String()
}

// Type implements pflag.Value.
func (i *interval) Type() string { return "interval" }

// watch shows it every so often until ctx ends, on a terminal always in the same
// place.
func watch(ctx context.Context, w io.Writer, every time.Duration, show func(io.Writer) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var b bytes.Buffer
		if terminal(w) {
			b.WriteString(clearScreen)
		}
		if err := show(&b); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if _, err := fmt.Fprint(w, &b); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// terminal reports whether a person sees what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
