package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take on a machine that is busy.
const patience = 60 * time.Second

const (
	engineDir    = "/run/engine"
	engineSocket = "unix://" + engineDir + "/sock"
)

// engine is the one Docker engine of all tests.
var engine dockerd

type dockerd struct {
	once sync.Once
	err  error
	cmd  *exec.Cmd
	log  bytes.Buffer // read when cmd has ended
}

// start starts the engine, and makes the images, unless that was done.
func (e *dockerd) start(t *testing.T) {
	t.Helper()
	privileged(t)
	e.once.Do(func() {
		e.err = e.run()
		if e.err == nil {
			e.err = makeImages()
		}
	})
	if err := e.err; err != nil {
		e.err = errNoEngine // said once
		t.Fatal(err)
	}
}

var errNoEngine = errors.New("there is no engine")

// run starts an engine that touches no interface and no rule, and waits until it
// answers.
func (e *dockerd) run() error {
	if err := os.MkdirAll(engineDir+"/config", 0o700); err != nil {
		return err
	}
	e.cmd = exec.Command("dockerd",
		"--data-root", engineDir+"/data", "--exec-root", engineDir+"/exec", "--pidfile", engineDir+"/pid",
		"--host", engineSocket, "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/"+os.Getenv(envEnclosed),
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("start the docker engine (apt-get install docker.io): %w", err)
	}
	err := until(func() error { _, err := docker("version"); return err })
	if err != nil {
		err = errors.Join(err, e.stop(), errors.New(e.log.String()))
	}
	return err
}

// stop ends the engine, if there is one.
func (e *dockerd) stop() error {
	if e.cmd == nil || e.cmd.Process == nil || e.cmd.ProcessState != nil {
		return nil
	}
	if err := e.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	kill := time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() })
	defer kill.Stop()
	if err := e.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, e.log.String())
	}
	return nil
}

// until asks until fn is content.
func until(fn func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := fn()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// eventually is until, and the test fails if that does not come.
func eventually(t *testing.T, what string, fn func() error) {
	t.Helper()
	if err := until(fn); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// environment is that of docker's command line: our engine, no user's settings,
// and the builder that every version has.
func environment() []string {
	return append(os.Environ(), "DOCKER_HOST="+engineSocket, "DOCKER_CONFIG="+engineDir+"/config", "DOCKER_BUILDKIT=0")
}

// docker runs a command of docker, and returns what it wrote.
func docker(args ...string) (string, error) {
	return run(exec.Command("docker", args...))
}

// run runs a command to its end. The error holds what it said.
func run(c *exec.Cmd) (string, error) {
	var out, errout bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	c.Stderr = &errout
	if c.Env == nil {
		c.Env = environment()
	}
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(c.Args, " "), err, out.String(), errout.String())
	}
	return out.String(), nil
}

// must is docker of what must succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := docker(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
