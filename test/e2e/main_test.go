package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// root of the repository.
const root = "../.."

func TestMain(m *testing.M) {
	nstest.Main(m)
	if dir := filepath.Dir(built.path); built.path != "" {
		_ = os.RemoveAll(dir)
	}
}

// privileged begins every test here.
func privileged(t *testing.T) {
	t.Helper()
	nstest.Privileged(t)
	if err := hideRun(); err != nil {
		t.Fatal(err)
	}
}

// hideRun gives us a /run of our own: the default control socket is there, and
// other tests on this machine may have theirs.
var hideRun = sync.OnceValue(func() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
})

var built struct {
	once sync.Once
	path string
	err  error
}

// binary is the program under test.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ROUTER6D_BIN"); path != "" {
		return path
	}
	built.once.Do(build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build() {
	dir, err := os.MkdirTemp("", "router6d-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // nobody runs it too
	}
	if err != nil {
		built.err = err
		return
	}
	built.path = filepath.Join(dir, "router6d")
	out, err := exec.Command("go", "build", "-o", built.path, root+"/cmd/router6d").CombinedOutput()
	if err != nil {
		built.err = fmt.Errorf("build router6d: %w\n%s", err, out)
	}
}
