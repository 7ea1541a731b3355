package ifmgr

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/loop"
)

// Causes of a detach.
var (
	// ErrRequested is a command of the operator.
	ErrRequested = errors.New("requested")
	// ErrDeleted is the deletion of the device by someone else.
	ErrDeleted = errors.New("device deleted by someone else")
	// ErrShutdown is the end of the router.
	ErrShutdown = errors.New("shutdown")
	// ErrLower is the detach of the interface under a stacked one.
	ErrLower = errors.New("interface below detached")
)

// A detaching is a detach under way.
type detaching struct {
	began, phase time.Time
	timer        *loop.Timer // of the next deadline
	graced       bool        // the grace period is over
	severing     bool        // the device is being ended under its holders
	closing      bool        // the last holder has gone
	waiting      []func(Result)
	result       Result
	err          error // of closing the port
}

// A Result is the ledger of one detach.
type Result struct {
	ID    ID
	Name  string
	Cause error

	Clean  bool   // false: orphaned
	Err    error  // of ending the device; nil as a rule
	Routes int    // routes whose target lost the interface
	Slots  int    // FIB slots rewritten
	Purged int    // packets that were held for the interface
	Passed Counts // all that has passed it; of an orphan, until now

	Readers int // that were asked whether they had moved on

	Holders map[string]int64 // orphaned: who still has it
	Slowest []string         // orphaned before the grace period was over: the readers it waits for

	// How long each step took; zero for one that had not ended in time.
	Withdraw, Grace, Hold, Close, Total time.Duration
}

// Detach ends an interface. The steps are in the order the rest of the router
// relies on; done, which may be nil, is called in a turn with the ledger, after
// at most the manager's timeout. Detaching one that is draining already waits
// for the same end.
func (m *Manager) Detach(t *loop.Turn, id ID, cause error, done func(Result)) {
	if done == nil {
		done = func(Result) {}
	}
	i := m.ifaces[id]
	if i == nil {
		done(Result{ID: id, Cause: cause, Err: ErrNotFound})
		return
	}
	if i.detach != nil {
		i.detach.join(i, done)
		return
	}
	for _, u := range i.above() {
		m.Detach(t, u.id, ErrLower, nil)
	}
	d := &detaching{began: t.Now(), waiting: []func(Result){done}}
	d.result = Result{ID: id, Name: i.name, Cause: cause}
	i.detach = d

	// Gate: nothing new takes hold.
	i.state, i.since = Draining, t.Now()
	i.noteMissed() // while there is somebody to ask
	// Withdraw: nothing new finds it.
	begin := time.Now()
	d.result.Routes, d.result.Slots = m.withdraw(t, i)
	if i.lower != nil {
		i.lower.unstack(t, i)
	}
	if p, ok := i.port.(interface{ end(*loop.Turn, error) }); ok {
		p.end(t, cause)
	}
	if i.neighbors != nil {
		d.result.Purged = i.neighbors.end(t)
	}
	d.phase = time.Now()
	d.result.Withdraw = d.phase.Sub(begin)
	d.result.Readers = t.Stats().Readers
	// Its own reader leaves.
	i.port.Interrupt()
	m.log.Info("interface draining", zap.String("iface", i.name), zap.Uint64("id", uint64(id)),
		zap.String("cause", cause.Error()), zap.Int("routes", d.result.Routes), zap.Int("slots", d.result.Slots))

	d.timer = t.At(d.began.Add(m.patience()), func(t *loop.Turn) { m.sever(t, i) })
	// Grace: nobody from before is still looking.
	t.AfterGrace(func(*loop.Turn) {
		d.graced = true
		d.step(&d.result.Grace)
		// Holders: the manager's own goes; the last one calls close.
		i.release()
	})
}

// step ends a phase.
func (d *detaching) step(took *time.Duration) {
	now := time.Now()
	*took = now.Sub(d.phase)
	d.phase = now
}

// join waits for the end of a detach under way.
func (d *detaching) join(i *Interface, done func(Result)) {
	if i.state == Orphaned {
		done(d.result)
		return
	}
	d.waiting = append(d.waiting, done)
}

// left follows the last release.
func (m *Manager) left(i *Interface) {
	d := i.detach
	d.closing = true
	d.step(&d.result.Hold)
	if !d.severing { // otherwise that comes to its end first
		m.close(i)
	}
}

// close ends the port. The kernel takes its time for it, so it has a goroutine
// of its own.
func (m *Manager) close(i *Interface) {
	d := i.detach
	go func() {
		d.err = i.port.Close()
		m.loop.Notify(func(t *loop.Turn) { m.closed(t, i) })
	}()
}

func (m *Manager) closed(t *loop.Turn, i *Interface) {
	d := i.detach
	orphaned := i.state == Orphaned
	i.state, i.since = Detached, t.Now()
	delete(m.ifaces, i.id)
	if i.lower != nil {
		i.lower.Release()
	}
	if orphaned {
		m.log.Info("orphan ended", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
			zap.Duration("took", time.Since(d.began)), zap.Error(d.err))
		return
	}
	d.step(&d.result.Close)
	d.result.Clean, d.result.Err = true, d.err
	d.result.Total = time.Since(d.began)
	m.totals.clean(&d.result)
	m.log.Info("interface detached", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
		zap.String("cause", d.result.Cause.Error()), zap.Duration("took", d.result.Total),
		zap.Duration("withdraw", d.result.Withdraw), zap.Duration("grace", d.result.Grace),
		zap.Duration("hold", d.result.Hold), zap.Duration("close", d.result.Close), zap.Error(d.err))
	m.finish(t, i)
}

// patience is how long a detach waits for readers and holders. The rest of the
// timeout is for the kernel: it takes up to 50 ms to end a device, and nothing
// may leave through one whose detach is reported. It has that much also when the
// loop is late.
func (m *Manager) patience() time.Duration { return m.timeout - m.timeout/4 }

// sever is what the first deadline does: the device dies under whoever still
// uses it, and the descriptor's number stays taken for as long as someone may.
func (m *Manager) sever(t *loop.Turn, i *Interface) {
	d := i.detach
	d.timer = t.At(t.Now().Add(m.timeout-m.patience()), func(t *loop.Turn) { m.orphan(t, i) })
	if d.closing {
		return // the kernel is ending it already
	}
	d.severing = true
	go func() {
		err := i.port.Sever()
		m.loop.Notify(func(t *loop.Turn) { m.severed(t, i, err) })
	}()
}

func (m *Manager) severed(t *loop.Turn, i *Interface, err error) {
	d := i.detach
	d.severing = false
	if err != nil {
		m.log.Error("device not severed", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)), zap.Error(err))
		d.result.Err = err
	}
	switch {
	case d.closing: // the last holder left meanwhile
		m.close(i)
	case err == nil: // otherwise it may still leave in time
		m.orphan(t, i)
	}
}

// orphan ends a detach without its holders.
func (m *Manager) orphan(t *loop.Turn, i *Interface) {
	d := i.detach
	if i.state != Draining {
		return
	}
	i.state, i.since = Orphaned, t.Now()
	d.result.Total = time.Since(d.began)
	d.result.Holders = i.holding()
	if !d.graced {
		d.result.Slowest = t.Stats().Slowest
	}
	m.totals.Orphaned++
	m.log.Error("interface orphaned", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
		zap.String("cause", d.result.Cause.Error()), zap.String("waits", d.waits()), zap.Any("holders", d.result.Holders),
		zap.Strings("readers", d.result.Slowest), zap.Duration("took", d.result.Total), zap.Error(d.result.Err))
	m.finish(t, i)
}

// waits is what a detach did not end for.
func (d *detaching) waits() string {
	switch {
	case !d.graced:
		return "readers"
	case !d.closing:
		return "holders"
	}
	return "the kernel" // is still ending the device
}

// finish makes the name free and delivers the ledger.
func (m *Manager) finish(t *loop.Turn, i *Interface) {
	d := i.detach
	d.timer.Stop(t)
	d.result.Passed = i.traffic.Read()
	m.forgetDevice(i)
	m.hooks.Ended(t, d.result)
	m.freeName(i.name)
	if m.freed != nil {
		m.freed(i.name)
	}
	for _, done := range d.waiting {
		done(d.result)
	}
	d.waiting = nil
}
