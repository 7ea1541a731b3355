package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

// checkDemoClean looks for what a demo may leave.
func checkDemoClean(t *testing.T) {
	t.Helper()
	if left := netlab.Names("r6demo-"); len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
	here, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(here) != 1 {
		t.Errorf("devices left: %v", here)
	}
}

func TestDemo(t *testing.T) {
	privileged(t)
	r := run(t, nil, binary(t), "demo", "--duration", "6s", "--detach-timeout", "20s", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("not one JSON object: %v\n%s%s", err, r.out, r.errout)
	}
	if r.code != 0 || got["ok"] != true {
		t.Errorf("exit code %d, ok %v: %v\n%s", r.code, got["ok"], got["failures"], r.errout)
	}
	for key := range strings.FieldsSeq("ok seconds detaches dead_lookups wrong_interface unaffected_lost " +
		"accounting_balanced leaks tcp_bytes udp_packets tcp_gbps withdraw_p99_us detach_p99_ms") {
		if _, ok := got[key]; !ok {
			t.Errorf("key %s is missing", key)
		}
	}
	for key, want := range map[string]any{
		"dead_lookups": 0.0, "wrong_interface": 0.0, "unaffected_lost": 0.0, "leaks": 0.0, "accounting_balanced": true,
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	checkDemoClean(t)
}

func TestDemoForPeople(t *testing.T) {
	privileged(t)
	r := run(t, nil, binary(t), "demo", "--duration", "3s", "--detach-timeout", "20s")
	r.want(t, 0, "Gbit/s", "all well", "dead lookups", "wrong interface", "account", "left behind")
	checkDemoClean(t)
}

func TestDemoInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			privileged(t)
			p := spawn(t, nil, binary(t), "demo", "--duration", "600s", "--detach-timeout", "20s")
			eventually(t, "wait for the second line", func() error {
				if err := p.running(); err != nil {
					t.Fatal(err)
				}
				if n := len(lines(p.out.String())); n < 2 {
					return errors.New("the demo is silent")
				}
				return nil
			})
			p.signal(sig)
			r := p.wait()
			r.want(t, 1, "interrupted")
			checkDemoClean(t)
		})
	}
}

// TestDemoInterruptedWhileItBuilds does not wait for traffic.
func TestDemoInterruptedWhileItBuilds(t *testing.T) {
	privileged(t)
	p := spawn(t, nil, binary(t), "demo", "--duration", "600s", "--detach-timeout", "20s")
	eventually(t, "wait for a namespace", func() error {
		if len(netlab.Names("r6demo-")) == 0 {
			return errors.New("none yet")
		}
		return nil
	})
	p.signal(unix.SIGINT)
	if r := p.wait(); r.code == 0 {
		t.Errorf("exit code 0 of a demo that did not run: %s%s", r.out, r.errout)
	}
	checkDemoClean(t)
}

func TestDemoKeep(t *testing.T) {
	privileged(t)
	const socket = "/run/demo.sock"
	p := spawn(t, nil, binary(t), "demo", "--duration", "3s", "--detach-timeout", "20s", "--keep", "--socket", socket)
	var ways []string
	eventually(t, "wait for the lab", func() error {
		if err := p.running(); err != nil {
			t.Fatal(err)
		}
		_, after, ok := strings.Cut(p.out.String(), "the lab is up until you interrupt it:\n")
		if ways = lines(after); !ok || len(ways) < 5 {
			return errors.New(p.out.String())
		}
		return nil
	})
	if all, err := control.NewClient(socket).Interfaces(t.Context()); err != nil || len(all) < 2 {
		t.Errorf("interfaces of the kept lab = %v, %v, want two at least", all, err)
	}
	tried := 0
	for _, way := range ways { // as they are printed
		if strings.Contains(way, " ping ") {
			must(t, nil, "bash", "-c", strings.Replace(way, " ping ", " ping -c 1 ", 1))
			tried++
		}
	}
	if tried == 0 {
		t.Errorf("no ping among the ways in: %q", ways)
	}
	p.signal(unix.SIGINT)
	p.wait().want(t, 0, "all well")
	checkDemoClean(t)
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
}

// TestDemoWithoutRoot is what most people see first.
func TestDemoWithoutRoot(t *testing.T) {
	privileged(t)
	r := run(t, nil, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", binary(t), "demo", "--duration", "1s")
	r.want(t, 1, "needs root")
	checkDemoClean(t)
}
