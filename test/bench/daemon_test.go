//go:build bench

package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

const (
	fileRoutes     = 5_000 // near what a file may have, with two keys each
	fileGateways   = 16
	idleInterfaces = 1_000
	patience       = 2 * time.Minute
)

// TestBenchDetachCommand prints how long a detach takes for who asks for it over
// the control socket, kernel and all.
func TestBenchDetachCommand(t *testing.T) {
	nstest.Privileged(t)
	var text strings.Builder
	text.WriteString("interfaces: {wan: {}}\nroutes:\n")
	for i, p := range lab.Prefixes(t, fileRoutes) {
		fmt.Fprintf(&text, "- {prefix: \"%v\", dev: wan, via: \"fe80::%x\"}\n", p, i%fileGateways+1)
	}
	d := start(t, text.String(), 1)
	var whole, withdraw times
	for range rounds {
		began := time.Now()
		l, err := d.client.DeleteInterface(t.Context(), "wan")
		if err != nil || l.Result != "clean" {
			t.Fatalf("delete: %+v %v", l, err)
		}
		whole = append(whole, time.Since(began))
		withdraw = append(withdraw, time.Duration(l.WithdrawSeconds*float64(time.Second)))
		if err := d.client.AddInterface(t.Context(), "wan", struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	figure("daemon_withdraw_p50_us_5k", withdraw.at(50))
	figure("daemon_withdraw_p99_us_5k", withdraw.at(99))
	figure("command_detach_p50_ms_5k", whole.at(50)/1e3)
	figure("command_detach_p99_ms_5k", whole.at(99)/1e3)
}

// TestBenchIdleDetach prints what a thousand interfaces with nothing to do need,
// and how long it takes to end them all.
func TestBenchIdleDetach(t *testing.T) {
	nstest.Privileged(t)
	var text strings.Builder
	text.WriteString("interfaces:\n")
	for i := range idleInterfaces {
		fmt.Fprintf(&text, "  if%d: {addresses: [\"2001:db8:%x::1/64\"], kernel: {addresses: [\"2001:db8:%x::2/64\"]}}\n", i, i+1, i+1)
	}
	d := start(t, text.String(), idleInterfaces)
	figure("idle_1000_interfaces_resident_mb", d.resident())
	began := time.Now()
	d.stop()
	figure("shutdown_1000_interfaces_s", time.Since(began).Seconds())
}

// A daemon is a router in a process of its own.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	client *control.Client
}

// start returns when the router has as many interfaces as it should.
func start(t *testing.T, config string, want int) *daemon {
	t.Helper()
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "sock"), filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(file, []byte("control: "+socket+"\ndetach-timeout: 60s\nlog: {level: error}\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, cmd: exec.Command(os.Getenv("ROUTER6D_BIN"), "run", "--config", file), client: control.NewClient(socket)}
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		// The socket answers before all interfaces are there.
		if all, err := d.client.Interfaces(ctx); err == nil && len(all) == want {
			return d
		}
		if ctx.Err() != nil {
			t.Fatal("the router does not start")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *daemon) stop() {
	if d.cmd.ProcessState != nil {
		return
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Error(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(err)
	}
}

// resident is the process's memory in megabytes.
func (d *daemon) resident() float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kb, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			if err != nil {
				d.t.Fatal(err)
			}
			return n / 1024
		}
	}
	d.t.Fatal("no VmRSS")
	return 0
}
