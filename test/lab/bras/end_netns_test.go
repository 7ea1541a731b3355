package bras

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// At the end of a test its servers are gone, with all that was theirs; and so
// again for the next.
func TestStopLeavesNothing(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns := namespace(t, "r6t-line")
	internet := namespace(t, "r6t-internet")
	var folders []string
	for range 3 {
		t.Run("server", func(t *testing.T) {
			s := Start(t, Options{Namespace: ns, Uplink: internet})
			folders = append(folders, s.guest.dir)
			if len(processes(t, s.guest.dir)) == 0 {
				t.Error("no process is found to be the server's, this test is blind")
			}
		})
	}
	for _, folder := range folders {
		nothingOf(t, folder)
	}
	if left, _ := filepath.Glob(shm + "/bras-*"); len(left) != 0 {
		t.Errorf("there is still %v", left)
	}
	links, err := ns.Links()
	check(t, err)
	if len(links) != 1 {
		t.Errorf("devices are %+v, want lo alone", links)
	}
}

const envStory = "ROUTER6D_BRAS_STORY"

// TestStory is what TestKilled kills.
func TestStory(t *testing.T) {
	if os.Getenv(envStory) == "" {
		return
	}
	s := Start(t, Options{Namespace: namespace(t, "r6t-line")})
	_, _ = os.Stdout.WriteString("folder " + s.guest.dir + "\n")
	select {}
}

// A test that is killed takes its servers with it.
func TestKilled(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestStory$")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "ROUTER6D_NETLAB_REENTRY=")
	})
	cmd.Env = append(cmd.Env, envStory+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
	check(t, err)
	folder, ok := strings.CutPrefix(strings.TrimSpace(line), "folder ")
	if !ok {
		t.Fatalf("the run says %q, want its server's folder", line)
	}
	nothingOf(t, folder)
	if _, err := os.Stat(folder); err == nil {
		t.Errorf("there is still %s", folder)
	}
}

// nothingOf waits until no process is a server's.
func nothingOf(t *testing.T, folder string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for len(processes(t, folder)) != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("processes of %s are left: %v", folder, processes(t, folder))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// processes are those that have a server's folder among their arguments.
func processes(t *testing.T, folder string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	for _, path := range all {
		if args, err := os.ReadFile(path); err == nil && bytes.Contains(args, []byte(folder)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
