package netlab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestNamespaceFromBeginningToEnd(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	n := newNamespace(t, "r6t-life")
	if !Exists("r6t-life") {
		t.Error("it does not exist")
	}
	if got, want := Names("r6t-"), []string{"r6t-life"}; !slices.Equal(got, want) {
		t.Errorf("names = %v, want %v", got, want)
	}
	if l, err := n.Link("lo"); err != nil || !l.Up {
		t.Errorf("loopback = %+v, %v, want it up", l, err)
	}
	if _, err := NewNamespace("r6t-life"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second of that name: %v, want %v", err, fs.ErrExist)
	}
	if !Exists("r6t-life") {
		t.Error("the second took the first with it")
	}
	check(t, n.Delete())
	check(t, n.Delete())
	if Exists("r6t-life") || len(Names("r6t-")) != 0 {
		t.Error("it still exists")
	}
	if err := n.Do(func() error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Do after Delete: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestLeftoverOfACrashIsSwept(t *testing.T) {
	nstest.Privileged(t)
	check(t, newNamespace(t, "r6t-first").Delete()) // makes the directory
	check(t, os.WriteFile(filepath.Join(runDir, "r6t-crash"), nil, 0))
	if Exists("r6t-crash") {
		t.Error("a plain file counts as a namespace")
	}
	if got, want := Names("r6t-"), []string{"r6t-crash"}; !slices.Equal(got, want) {
		t.Errorf("names = %v, want %v", got, want)
	}
	check(t, Remove("r6t-crash"))
	if got := Names("r6t-"); len(got) != 0 {
		t.Errorf("names = %v, want none", got)
	}
}

// inode tells namespaces apart.
func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(path, &st))
	return st.Ino
}

func TestOwnNamespaceHasAName(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	n, err := NameOwn("r6t-own")
	check(t, err)
	if got, want := inode(t, n.Path()), inode(t, "/proc/self/ns/net"); got != want {
		t.Errorf("the name is of another namespace: %d, want %d", got, want)
	}
	if _, err := NameOwn("r6t-own"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken = %v, want %v", err, fs.ErrExist)
	}
	check(t, n.Delete())
	check(t, unix.Access("/sys/class/net/lo", unix.F_OK)) // we are there still
}

func TestDoGoesThereAndBack(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	n := newNamespace(t, "r6t-do")
	home, there := inode(t, "/proc/self/ns/net"), inode(t, n.Path())

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				err := n.Do(func() error {
					if inode(t, "/proc/thread-self/ns/net") != there {
						t.Error("elsewhere in Do")
					}
					if inode(t, "/proc/self/ns/net") != home {
						t.Error("the main thread went away")
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, task := range tasks(t) {
		if got := inode(t, "/proc/self/task/"+task+"/ns/net"); got != home {
			t.Errorf("thread %s stayed in %d, want %d", task, got, home)
		}
	}
}

func TestDoReturnsItsError(t *testing.T) {
	nstest.Privileged(t)
	n := newNamespace(t, "r6t-err")
	want := errors.New("mine")
	if got := n.Do(func() error { return want }); !errors.Is(got, want) {
		t.Errorf("Do = %v, want %v", got, want)
	}
}

func TestDoOutlivesGoexit(t *testing.T) {
	nstest.Privileged(t)
	home := inode(t, "/proc/self/ns/net")
	n := newNamespace(t, "r6t-exit")
	err := n.Do(func() error {
		runtime.Goexit()
		return nil
	})
	if !errors.Is(err, errExited) {
		t.Errorf("Do = %v, want %v", err, errExited)
	}
	eventually(t, "the thread dies", func() bool {
		for _, task := range tasks(t) {
			var st unix.Stat_t
			if unix.Stat("/proc/self/task/"+task+"/ns/net", &st) == nil && st.Ino != home {
				return false
			}
		}
		return true
	})
}

func TestManyNamespacesNeedNoMoreThreads(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	newNamespace(t, "r6t-warm") // the threads it takes
	before := len(tasks(t))
	for range 50 {
		n := newNamespace(t, "r6t-many")
		check(t, n.Do(func() error { return nil }))
		check(t, n.Delete())
	}
	// The runtime makes a thread when it finds none idle: some, not 50.
	if after := len(tasks(t)); after > before+10 {
		t.Errorf("%d threads, %d before", after, before)
	}
}

func tasks(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	check(t, err)
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids
}
