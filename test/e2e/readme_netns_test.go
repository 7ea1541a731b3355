package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/netlab"
)

// block is the commands of a document that begin with a comment of that name.
func block(t *testing.T, document, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```sh\n(# " + regexp.QuoteMeta(name) + "\n.*?)^```$").FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no block that begins with ```sh and # %s", document, name)
	}
	return string(found[1])
}

// TestReadmeFirstLab runs the README's block as it stands.
func TestReadmeFirstLab(t *testing.T) {
	privileged(t)
	commands(t, block(t, "README.md", "first lab"))
	leavesNothing(t)
}

// commands runs those of a document at the root of the repository. They leave no
// process.
func commands(t *testing.T, script string, env ...string) result {
	t.Helper()
	p := prepare(t, "bash", "-e", "-c", script)
	p.cmd.Dir = root
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr.Setpgid = true
	t.Cleanup(func() {
		for _, name := range netlab.Names("") {
			if err := netlab.Remove(name); err != nil {
				t.Error(err)
			}
		}
	})
	p.start()
	t.Cleanup(p.endGroup)
	r := p.wait()
	if r.code != 0 {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errout)
	}
	if left := members(t, p.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("processes that are left: %v", left)
	}
	return r
}

// leavesNothing looks for what the commands of a document may leave.
func leavesNothing(t *testing.T) {
	t.Helper()
	checkNoDevices(t)
	if left := netlab.Names(""); len(left) > 0 {
		t.Errorf("namespaces that are left: %v", left)
	}
}

// endGroup kills the process and all that it has started.
func (p *process) endGroup() {
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // there may be none
	eventually(p.t, "wait for the end of a process group", func() error {
		if left := members(p.t, p.cmd.Process.Pid); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		return nil
	})
}

// members are the processes of a group that live.
func members(t *testing.T, group int) (alive []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		name, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest) // state, parent, group
		if f[2] == strconv.Itoa(group) && f[0] != "Z" {
			alive = append(alive, name+")")
		}
	}
	return alive
}

func configs(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, "configs", "*.yaml"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no configs: %v", err)
	}
	return all
}

func TestEveryConfigPassesCheck(t *testing.T) {
	privileged(t)
	for _, path := range configs(t) {
		run(t, nil, binary(t), "check", path).want(t, 0, path+": ", "no mistakes")
	}
}

func TestFirstConfigsRun(t *testing.T) {
	for _, name := range []string{"01-two-namespaces.yaml", "02-routes.yaml"} {
		t.Run(name, func(t *testing.T) {
			privileged(t)
			var red *netlab.Namespace
			for _, ns := range []string{"red", "blue", "green"} {
				n := namespace(t, ns)
				if ns == "red" {
					red = n
				}
			}
			d := launchFile(t, filepath.Join(root, "configs", name), config.DefaultControl)
			t.Cleanup(d.stop)
			d.ready()
			reaches(t, red, blueAddr)
		})
	}
}

// TestAttachConfigRuns does what configs/04 says is to be done before.
func TestAttachConfigRuns(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	path := filepath.Join(root, "configs", "04-attach.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := launchFile(t, path, config.DefaultControl)
	t.Cleanup(d.stop)
	d.ready()
	for l := range strings.Lines(string(text)) {
		if words, ok := strings.CutPrefix(l, "#   ip "); ok {
			ip(t, strings.ReplaceAll(strings.TrimSpace(words), "user router6d", "")) // there is no such user here
		}
	}
	d.awaitUp("lab0", 0)
	reaches(t, nil, "2001:db8:1::1")
}
