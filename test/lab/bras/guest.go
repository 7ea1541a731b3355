package bras

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

const (
	kernel    = "/usr/bin/linux.uml"
	memory    = "96M" // the kernel takes 20, pppd 4 a session
	shm       = "/dev/shm"
	serverLog = "/run/pppoe-server.log"
	pppdLog   = "/run/pppd.log"

	patience = time.Minute // with a guest on a machine that has much to do

	// nudge is how long an answer may take before the guest is told again that there
	// is something to read. Its interrupts are edges, and it loses one now and then:
	// a handler that is interrupted by another finds that one's events in the place of
	// its own (arch/um/os-Linux/irq.c of Linux 6.1 has one array for all).
	nudge = 200 * time.Millisecond
)

//go:embed guest
var inside embed.FS

// A guest is a User-Mode Linux: its kernel, a process of ours, is process 1 of a
// process namespace. Nothing in there outlives it.
type guest struct {
	dir     string // its memory, its control socket and guest/
	kernel  *exec.Cmd
	ended   chan error // what came of kernel
	serial  *os.File   // our end
	answers *bufio.Reader
	console console
}

// boot starts a guest whose lines are devices in the namespace, and waits until
// it takes commands.
func boot(ns *netlab.Namespace, lines []string) (*guest, error) {
	dir, err := os.MkdirTemp(shm, "bras-")
	if err != nil {
		return nil, fmt.Errorf("make the guest's folder: %w", err)
	}
	g := &guest{dir: dir, ended: make(chan error, 1)}
	if err := errors.Join(g.furnish(), g.start(ns, lines)); err != nil {
		return nil, errors.Join(fmt.Errorf("start the guest: %w", err), os.RemoveAll(dir))
	}
	answer, err := g.answer(func() error { return nil }) // a line that is not set up echoes
	if err == nil && answer != "ready\n" {
		err = fmt.Errorf("it says %q", answer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot the guest: %w\n%s", err, &g.console), g.kill())
	}
	return g, nil
}

// furnish writes guest/ for process 1 to find.
func (g *guest) furnish() error {
	files, err := fs.Sub(inside, "guest")
	if err != nil {
		return err
	}
	names, err := fs.Glob(files, "*")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(g.dir, name), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) start(ns *netlab.Namespace, lines []string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("make a serial line: %w", err)
	}
	g.serial = os.NewFile(uintptr(pair[0]), "serial line")
	g.answers = bufio.NewReader(g.serial)
	theirs := os.NewFile(uintptr(pair[1]), "guest's serial line")
	defer theirs.Close() // the guest has its own

	g.kernel = exec.Command(kernel, append([]string{
		"mem=" + memory, "quiet",
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
		"devtmpfs.mount=0", // it would cover init
		"init=" + filepath.Join(g.dir, "init"),
		"con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:3",
		"uml_dir=" + g.dir, "umid=guest",
	}, lines...)...)
	g.kernel.Env = []string{"TMPDIR=" + g.dir} // its memory is a file there
	g.kernel.Stdout, g.kernel.Stderr = &g.console, &g.console
	g.kernel.ExtraFiles = []*os.File{theirs} // descriptor 3
	g.kernel.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}

	started := make(chan error)
	go func() {
		// Pdeathsig is about the thread that started it: this one stays.
		g.ended <- ns.Do(func() error {
			err := g.kernel.Start()
			started <- err
			if err != nil {
				return err
			}
			return g.kernel.Wait()
		})
	}()
	if err := <-started; err != nil {
		return errors.Join(err, g.serial.Close())
	}
	return nil
}

// run runs a shell command, of one line, and returns its output.
func (g *guest) run(command string) (string, error) {
	if _, err := io.WriteString(g.serial, command+"\n"); err != nil {
		return "", fmt.Errorf("command the guest: %w", err)
	}
	answer, err := g.answer(func() error {
		_, err := io.WriteString(g.serial, "\n")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("guest: %s: %w\n%s", command, err, &g.console)
	}
	code, encoded, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), " ")
	output, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("guest: %s: answer %q: %w", command, answer, err)
	}
	if code != "0" {
		return string(output), fmt.Errorf("guest: %s: exit code %s: %s", command, code, output)
	}
	return string(output), nil
}

// answer waits for a line. It calls remind now and then.
func (g *guest) answer(remind func() error) (line string, err error) {
	for deadline := time.Now().Add(patience); ; {
		now := time.Now()
		if err := g.serial.SetReadDeadline(now.Add(nudge)); err != nil {
			return line, err
		}
		part, err := g.answers.ReadString('\n')
		line += part
		if !errors.Is(err, os.ErrDeadlineExceeded) || now.After(deadline) {
			return line, err
		}
		if err := remind(); err != nil {
			return line, err
		}
	}
}

// logs is what was said inside.
func (g *guest) logs() string {
	said, err := g.run("tail -n 100 " + serverLog + " " + pppdLog + " || true")
	if err != nil {
		said = err.Error()
	}
	return said + "\nconsole:\n" + g.console.String()
}

// kill ends the guest at once and waits until nothing of it is left.
func (g *guest) kill() error {
	if err := g.kernel.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the guest: %w", err)
	}
	err := <-g.ended
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil // as it was told
	}
	return errors.Join(err, g.serial.Close(), os.RemoveAll(g.dir))
}

// A console keeps what the guest's kernel and process 1 say. The mutex is there as
// it is read while they speak.
type console struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}
