package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/rate"
)

// Answered reports whether an ICMPv6 error goes out for the reason.
func Answered(d Drop) bool { return answers[d] != answer{} }

// A Stepper is a worker without a goroutine: it takes one batch when it is told.
type Stepper struct {
	p *Plane
	w *worker
}

// NewStepper reads from rx as if it were in's. It takes in.
func NewStepper(p *Plane, in *ifmgr.Handle, rx link.Receiver) *Stepper {
	return &Stepper{p, p.newWorker("stepper", in, rx, 0)}
}

// In is the interface it reads from.
func (s *Stepper) In() ifmgr.ID { return s.w.in.ID() }

// Recv waits for a batch.
func (s *Stepper) Recv() error { return s.w.rx.Recv(s.w.batch) }

// Forward takes the batch through the router.
func (s *Stepper) Forward() { s.w.forwardBatch() }

// Unlimited lets all be answered.
func (s *Stepper) Unlimited() {
	s.w.errors = rate.NewLimiter(1<<40, 1<<40)
	s.w.echoes = rate.NewLimiter(1<<40, 1<<40)
}

// Empty reports whether the worker holds nothing of a batch.
func (s *Stepper) Empty() bool {
	w := s.w
	for i := range w.here {
		if w.here[i] != (arrival{}) || w.dst[i] != nil || w.groups[i] != nil {
			return false
		}
	}
	for _, q := range w.out.queues {
		if q.via != nil || q.v.Len() != 0 {
			return false
		}
	}
	return w.routes == nil && w.batch.Len() == 0 && len(w.later) == 0
}

// Close ends the worker.
func (s *Stepper) Close() {
	s.p.retire(s.w)
	s.w.in.Release()
}

// Limits of what one worker answers.
const (
	ErrorRate, ErrorBurst = errorRate, errorRate / errorFraction
	EchoRate, EchoBurst   = echoRate, echoBurst
)

// MaxPast bounds Remembered.
const MaxPast = maxPast

// Remembered is the number of names of workers that have ended.
func Remembered(p *Plane) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.past)
}

// RingChunks is how many of the smallest packets wait for the reader of a Tap.
const RingChunks = ringChunks
