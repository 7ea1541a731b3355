// Package loop is the one goroutine that changes anything. Every other part of
// the control plane is a plain struct whose methods take a *Turn, the proof of
// running here; so they have no locks and start no goroutines.
//
// A turn runs one function to its end. It never waits: what must wait for time
// is a Timer, what must wait for readers is AfterGrace, what must wait for the
// kernel runs on a goroutine of its own and comes back through Notify.
//
// All turns of one burst share a grace period: the stamp is taken once, after
// the last of them has unpublished what it had to.
//
// Files in reading order: loop.go, turn.go, grace.go, timer.go.
package loop
