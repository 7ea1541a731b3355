package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	shBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	says    = regexp.MustCompile(`(?m)# says (.+)$`)
)

// pages is those whose commands are run here.
var pages = []string{"first-lab.md", "reload.md", "drops-and-events.md", "troubleshooting.md"}

// TestDocsCommands runs all commands of each page in one shell, one block after
// another. What a comment has a command say must be said.
func TestDocsCommands(t *testing.T) {
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			privileged(t)
			text, err := os.ReadFile(filepath.Join(root, "docs", page))
			if err != nil {
				t.Fatal(err)
			}
			var script string
			for _, block := range shBlock.FindAllSubmatch(text, -1) {
				if !strings.HasPrefix(string(block[1]), "# ") {
					t.Errorf("a block begins without a name:\n%s", block[1])
				}
				script += string(block[1])
			}
			r := shell(t, script)
			for _, want := range says.FindAllStringSubmatch(script, -1) {
				if !strings.Contains(r.out+r.errout, want[1]) {
					t.Errorf("nothing says %q", want[1])
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", r.out, r.errout)
			}
			leavesNothing(t)
		})
	}
}

// shell is commands with the program under test in the path.
func shell(t *testing.T, script string) result {
	t.Helper()
	bin := short(t)
	if err := os.Chmod(bin, 0o755); err != nil { // others run it too
		t.Fatal(err)
	}
	path, err := filepath.Abs(binary(t))
	if err == nil {
		err = os.Symlink(path, filepath.Join(bin, "router6d"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return commands(t, script, "PATH="+bin+":"+os.Getenv("PATH"))
}

// TestDocsHaveNoOtherCommands: a command in a page is in a block that is run.
func TestDocsHaveNoOtherCommands(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{"capture.md", "container.md", "service.md"} // by tests of their own
	for _, page := range all {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "```bash") || strings.Contains(string(text), "```shell") {
			t.Errorf("%s: commands are in blocks of ```sh", page)
		}
		if shBlock.Match(text) && !slices.Contains(pages, filepath.Base(page)) && !slices.Contains(elsewhere, filepath.Base(page)) {
			t.Errorf("%s has commands that no test runs", page)
		}
	}
}
