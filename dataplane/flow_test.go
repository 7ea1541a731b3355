package dataplane_test

import (
	"testing"

	"github.com/router6d/router6d/internal/lab"
)

const flows = 400

// flow is a packet of one of many flows, which differ in their port.
func flow(i int) []byte { return lab.UDP(hostA, elsewhere, uint16(10_000+i), 443, data) }

// paths sends one packet of each flow, and returns by which port it came out.
func paths(t *testing.T, from *lab.Port, ports []*lab.Port) (taken [flows]*lab.Port) {
	t.Helper()
	for i := range flows {
		from.Send(flow(i))
		for _, p := range ports {
			p.Router().Settle()
			if b := p.Take(); b != nil {
				if taken[i] != nil {
					t.Fatalf("flow %d came out twice", i)
				}
				wantPacket(t, b, forwarded(flow(i)))
				taken[i] = p
			}
		}
		if taken[i] == nil {
			t.Fatalf("flow %d did not come out", i)
		}
	}
	return taken
}

// A flow stays on its path, and a path that goes moves only its own flows; when
// it comes back, it has them again.
func TestFlowsStayOnTheirPaths(t *testing.T) {
	r := lab.New(t)
	in := r.Attach("in", routerA+"/64")
	ways := []*lab.Port{r.Attach("w1"), r.Attach("w2"), r.Attach("w3")}
	r.Route("::/0", lab.Dev("w1", "w2", "w3"))

	before := paths(t, in, ways)
	if again := paths(t, in, ways); again != before {
		t.Error("a second packet of a flow took another path")
	}
	count := map[*lab.Port]int{}
	for _, p := range before {
		count[p]++
	}
	for _, p := range ways { // a third each, within 6 standard deviations
		if n := count[p]; n < flows/3-60 || n > flows/3+60 {
			t.Errorf("%s has %d of %d flows, want a third", p.Name, n, flows)
		}
	}

	ways[1].Detach()
	for i, p := range paths(t, in, []*lab.Port{ways[0], ways[2]}) {
		if before[i] != ways[1] && p != before[i] {
			t.Errorf("flow %d moved from %s to %s, neither of which went", i, before[i].Name, p.Name)
		}
	}

	ways[1] = r.Attach("w2")
	for i, p := range paths(t, in, ways) {
		if p.Name != before[i].Name {
			t.Errorf("flow %d is on %s, want %s as before", i, p.Name, before[i].Name)
		}
	}
}

// Fragments of a packet stay together, and so do the packets of a flow label.
func TestFragmentsStayTogether(t *testing.T) {
	r := lab.New(t)
	in := r.Attach("in", routerA+"/64")
	ways := []*lab.Port{r.Attach("w1"), r.Attach("w2"), r.Attach("w3")}
	r.Route("::/0", lab.Dev("w1", "w2", "w3"))
	for i := range 50 {
		var out *lab.Port
		for j := range 3 {
			in.Send(lab.Fragment(lab.WithFlowLabel(flow(i), uint32(i)), uint16(j), j < 2))
			r.Settle()
			for _, p := range ways {
				if p.Take() != nil {
					if j > 0 && p != out {
						t.Errorf("fragment %d of packet %d left by %s, the one before by %s", j, i, p.Name, out.Name)
					}
					out = p
				}
			}
		}
	}
}
