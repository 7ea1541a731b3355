package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say how the demo is to run.
type Options struct {
	Duration time.Duration // of the traffic
	Iperf3   bool          // TCP by iperf3 instead of our own
	Keep     bool          // leave the lab up until ctx ends
	Control  string        // control socket of the demo's router; empty: none
	// DetachTimeout is the router's. A detach that takes longer fails the demo.
	DetachTimeout time.Duration
	Live          io.Writer // a line a second, and the way into a kept lab
}

// DefaultDuration is that of a demo about which nothing is said.
const DefaultDuration = 30 * time.Second

// Run runs the demo and cleans up after it, also when ctx ends early or it
// fails. The Result tells whether the router did as it should; the error,
// whether the demo could be run at all.
func Run(ctx context.Context, o Options) (Result, error) {
	before, err := inventory()
	if err != nil {
		return Result{}, err
	}
	s := &stage{o: o}
	res, err := s.perform(ctx)
	if err == nil && o.Keep {
		fmt.Fprint(o.Live, s.waysIn())
		<-ctx.Done()
	}
	err = errors.Join(err, s.strike())
	if err != nil {
		return res, err
	}
	res.end(s, before)
	return res, nil
}

// perform is the show itself.
func (s *stage) perform(ctx context.Context) (Result, error) {
	if err := s.build(ctx); err != nil {
		return Result{}, err
	}
	if err := s.startTraffic(ctx); err != nil {
		return Result{}, err
	}
	began := time.Now()
	show, stop := context.WithTimeout(ctx, s.o.Duration)
	defer stop()
	s.acts.Go(func() { s.churnWAN(show) })
	s.acts.Go(func() { s.churnSides(show) })
	s.acts.Go(func() { s.tagged(show) })
	s.watch(show)
	s.acts.Wait()
	return s.judge(ctx, time.Since(began))
}
