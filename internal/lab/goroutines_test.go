package lab_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// starters is where goroutines may be started, outside of tests: files, and
// folders of scenery.
var starters = []string{
	"cmd/router6d/run.go",     // the control socket, metrics, the watchdog
	"dataplane/plane.go",      // workers
	"ifmgr/detach.go",         // the kernel's part of a detach
	"ifmgr/ipv4.go",           // the kernel's end of a session's IPv4
	"internal/router/run.go",  // loop, watch, keeper
	"internal/httpd/serve.go", // HTTP, of control, metrics and in-band
	"internal/service/service.go",
	"internal/demo/",
	"internal/lab/",
	"internal/netlab/",
	"test/lab/",
}

// Goroutines are started in few places, each of which joins what it starts.
func TestGoroutinesStartInFewPlaces(t *testing.T) {
	for name, lines := range starts(t) {
		allowed := slices.ContainsFunc(starters, func(s string) bool {
			return name == s || strings.HasSuffix(s, "/") && strings.HasPrefix(name, s)
		})
		if !allowed {
			t.Errorf("%s starts goroutines in lines %v", name, lines)
		}
	}
}

// Each place is one: the list has nothing that is no longer true.
func TestGoroutineStartersDoStart(t *testing.T) {
	all := starts(t)
	for _, s := range starters {
		if _, ok := all[s]; !ok && !strings.HasSuffix(s, "/") {
			t.Errorf("%s starts no goroutine", s)
		}
	}
}

// starts is the lines in which something is started, by file.
func starts(t *testing.T) map[string][]int {
	t.Helper()
	all := map[string][]int{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if startsGoroutine(n) {
				all[filepath.ToSlash(name)] = append(all[filepath.ToSlash(name)], files.Position(n.Pos()).Line)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// startsGoroutine reports whether n is a go statement, or a call of something
// named Go, as sync.WaitGroup has it.
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Go"
	}
	return false
}
