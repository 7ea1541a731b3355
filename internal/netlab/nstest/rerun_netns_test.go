package nstest_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestInsideThereIsNothingOfTheMachine(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	devices, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	if len(devices) != 1 || devices[0].Name() != "lo" {
		t.Errorf("/sys/class/net = %v, want lo alone", devices)
	}
	if got := netlab.Names(""); len(got) != 0 {
		t.Errorf("namespaces = %v, want none", got)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/run/netns", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Errorf("/run/netns is of type %#x, %v, want a tmpfs", st.Type, err)
	}
	state, err := os.ReadFile("/sys/class/net/lo/flags")
	if err != nil || !strings.HasPrefix(string(state), "0x9") { // up, loopback
		t.Errorf("flags of lo = %q, %v, want it up", state, err)
	}
}

const envStory = "ROUTER6D_NSTEST_STORY"

// TestStory is what the test binary does when another test runs it again.
func TestStory(t *testing.T) {
	switch os.Getenv(envStory) {
	case "": // nobody does
	case "exit":
		os.Exit(3)
	case "signal":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, unix.SIGTERM)
		_, _ = os.Stdout.WriteString("ready\n")
		<-signals
		os.Exit(5)
	case "die":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}

// story prepares this test binary as `go test` runs it.
func story(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	nstest.Privileged(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStory$")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "ROUTER6D_NETLAB_REENTRY=")
	})
	cmd.Env = append(cmd.Env, envStory+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("run = %v, want an exit code", err)
	}
	return exit.ExitCode()
}

func TestMainPassesTheExitCode(t *testing.T) {
	if got := exitCode(t, story(t, "exit").Run()); got != 3 {
		t.Errorf("exit code = %d, want 3", got)
	}
	if got := exitCode(t, story(t, "die").Run()); got != 128+9 {
		t.Errorf("exit code of a killed run = %d, want %d", got, 128+9)
	}
}

func TestMainForwardsSignals(t *testing.T) {
	cmd := story(t, "signal")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the run says %q, %v, want ready", line, err)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, cmd.Wait()); got != 5 {
		t.Errorf("exit code = %d, want 5", got)
	}
}

func TestNamespacesStayInside(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	n, err := netlab.NewNamespace("r6t-inside")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Delete() })
	// The parent's mount namespace is the machine's.
	outside := filepath.Join("/proc", parent(t), "root", n.Path())
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("outside there is %s: %v", n.Path(), err)
	}
}

func parent(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[1]
}
