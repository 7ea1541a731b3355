package dataplane_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/lab"
)

// RFC 4443 §2.4(f): errors are limited by a token bucket, each interface for
// itself. What is held back is counted.
//
// Proves:
//   - RFC 4443 §2.4 rate-limit
//   - RFC 4443 §2.4 token-bucket
func TestRFC4443_2_4_f_ErrorsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		burst := func(from *lab.Port, src string, n int) (answered int) {
			for range n {
				from.Send(udp(src, elsewhere))
				s.Settle()
				if from.Take() != nil {
					answered++
				}
			}
			return answered
		}
		const all = dataplane.ErrorBurst
		if n := burst(s.a, hostA, all+50); n != all {
			t.Errorf("errors in a burst = %d, want %d", n, all)
		}
		if n := burst(s.b, hostB, 1); n != 1 {
			t.Error("one interface used up the errors of another")
		}
		time.Sleep(10 * time.Millisecond)
		if n := burst(s.a, hostA, 50); n != dataplane.ErrorRate/100 {
			t.Errorf("errors after 10 ms = %d, want %d", n, dataplane.ErrorRate/100)
		}
		time.Sleep(time.Hour)
		if n := burst(s.a, hostA, all+1); n != all {
			t.Errorf("errors in a burst after a long time = %d, want %d", n, all)
		}
		st := s.Stats()
		if want := uint64(50 + 50 - dataplane.ErrorRate/100 + 1); st.ErrorsLimited != want {
			t.Errorf("errors held back = %d, want %d", st.ErrorsLimited, want)
		}
		if st.Dropped[dataplane.NoRoute] != st.Received {
			t.Errorf("dropped for %v = %d of %d, want all", dataplane.NoRoute, st.Dropped[dataplane.NoRoute], st.Received)
		}
	})
}

// RFC 4443 §2.4(f): the limit can be configured.
//
// Proves:
//   - RFC 4443 §2.4 rate-configurable
func TestRFC4443_2_4_f_LimitIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{Router: lab.New(t)}
		s.Plane.LimitErrors(50)
		a := s.Attach("a", routerA+"/64", linkA+"/64")
		answered := func(n int) (all int) {
			for range n {
				a.Send(udp(hostA, elsewhere))
				s.Settle()
				if a.Take() != nil {
					all++
				}
			}
			return all
		}
		if n := answered(20); n != 10 {
			t.Errorf("errors in a burst = %d, want 10", n)
		}
		time.Sleep(100 * time.Millisecond)
		if n := answered(20); n != 5 {
			t.Errorf("errors after 100 ms = %d, want 5", n)
		}
	})
}

// Pings have a limit of their own, so that they can't keep errors from going out.
func TestEchoesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		replies := 0
		for range dataplane.EchoBurst + 5 {
			s.a.Send(lab.Echo(hostA, routerA, 1, 1, nil))
			s.Settle()
			if s.a.Take() != nil {
				replies++
			}
		}
		st := s.Stats()
		if replies != dataplane.EchoBurst || st.Dropped[dataplane.EchoLimited] != 5 {
			t.Errorf("replies, held back = %d, %d, want %d, 5", replies, st.Dropped[dataplane.EchoLimited], dataplane.EchoBurst)
		}
		s.a.Send(udp(hostA, elsewhere))
		(&icmpError{1, 0, 0, routerA}).check(t, s.a.Expect(), udp(hostA, elsewhere))
	})
}
