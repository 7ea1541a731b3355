package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// patience is how long anything may take on a machine that is busy. Nothing here
// depends on it unless something is wrong.
const patience = 30 * time.Second

// eventually asks until fn is content.
func eventually(t *testing.T, what string, fn func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := fn()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// A result is what a command left.
type result struct {
	command     string
	out, errout string
	code        int
}

// A process is a command that runs.
type process struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, errout buffer
	done        chan struct{} // closed when it has ended
}

// spawn starts a command, in ns unless it is nil. It is killed at the end of
// the test if it still runs then.
func spawn(t *testing.T, ns *netlab.Namespace, args ...string) *process {
	t.Helper()
	if ns != nil {
		args = slices.Concat([]string{"ip", "netns", "exec", ns.Name()}, args)
	}
	p := prepare(t, args...)
	p.start()
	return p
}

func prepare(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errout
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p.cmd.WaitDelay = time.Second // for what a grandchild that stays has to say
	return p
}

func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%s: %v", strings.Join(p.cmd.Args, " "), err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code is asked for elsewhere
	}()
	p.t.Cleanup(p.kill)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal %v to %s: %v", s, p.cmd.Args, err)
	}
}

// running reports an error once the process has ended.
func (p *process) running() error {
	select {
	case <-p.done:
		r := p.result()
		return errors.New(r.command + " has ended: " + r.out + r.errout)
	default:
		return nil
	}
}

// wait waits for the end.
func (p *process) wait() result {
	p.t.Helper()
	timeout := time.NewTimer(2 * patience)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.kill()
		r := p.result()
		p.t.Fatalf("%s does not end: %s%s", r.command, r.out, r.errout)
	}
	return p.result()
}

func (p *process) result() result {
	return result{strings.Join(p.cmd.Args, " "), p.out.String(), p.errout.String(), p.cmd.ProcessState.ExitCode()}
}

// run runs a command to its end, in ns unless it is nil.
func run(t *testing.T, ns *netlab.Namespace, args ...string) result {
	t.Helper()
	return spawn(t, ns, args...).wait()
}

// must runs a command that must succeed, and returns what it said.
func must(t *testing.T, ns *netlab.Namespace, args ...string) string {
	t.Helper()
	r := run(t, ns, args...)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", r.command, r.code, r.out, r.errout)
	}
	return r.out
}

// ip runs ip(8) with words separated by spaces.
func ip(t *testing.T, words string) string {
	t.Helper()
	return must(t, nil, append([]string{"ip"}, strings.Fields(words)...)...)
}

// want checks the exit code and that every text is in what the command said.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: exit code %d, want %d\n%s%s", r.command, r.code, code, r.out, r.errout)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.errout, text) {
			t.Errorf("%s: want %q in\n%s%s", r.command, text, r.out, r.errout)
		}
	}
}

// A buffer is written by a process and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
