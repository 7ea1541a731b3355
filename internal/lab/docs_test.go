package lab

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	named    = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// TestDocsNameTestsThatExist: what docs/ says a test keeps out is kept out by a
// test.
func TestDocsNameTestsThatExist(t *testing.T) {
	exist := map[string]bool{}
	each(t, "../..", "_test.go", func(_ string, text []byte) {
		for _, m := range declared.FindAllSubmatch(text, -1) {
			exist[string(m[1])] = true
		}
	})
	found := 0
	each(t, "../../docs", ".md", func(name string, text []byte) {
		for _, m := range named.FindAllSubmatch(text, -1) {
			found++
			if test := string(m[1]); !exist[test] {
				line := 1 + bytes.Count(text[:bytes.Index(text, m[0])], []byte("\n"))
				t.Errorf("%s:%d: there is no %s", name, line, test)
			}
		}
	})
	if found == 0 {
		t.Error("the docs name no test: this test is blind")
	}
}

// each reads every file below dir whose name ends so.
func each(t *testing.T, dir, suffix string, fn func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			fn(path, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
