package lab_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "make docs/conformance.md anew")

const conformanceDoc = root + "/docs/conformance.md"

// A requirement is one line of docs/requirements, in our words. It has either
// tests that prove it, or a reason why there are none.
type requirement struct {
	section string // as RFC 8200 §4.5
	name    string // unique within the section
	level   string // MUST, SHOULD or MAY
	text    string
	reason  string // empty if tests prove it
	tests   []string
}

func (r *requirement) key() string { return r.section + " " + r.name }

// A chapter is the requirements of one RFC.
type chapter struct {
	title    string
	sections []string          // in order
	titles   map[string]string // of sections
	all      []*requirement
}

// TestConformanceDocIsUpToDate: docs/conformance.md is what docs/requirements
// asks for and the tests prove, privileged ones included, and nothing is left out.
func TestConformanceDocIsUpToDate(t *testing.T) {
	chapters := requirements(t)
	addProofs(t, chapters)
	for _, c := range chapters {
		for _, r := range c.all {
			switch {
			case r.reason == "" && len(r.tests) == 0:
				t.Errorf("%s: no test proves it, and no reason is given", r.key())
			case r.reason != "" && len(r.tests) != 0:
				t.Errorf("%s: is said to be %q, but %s proves it", r.key(), r.reason, r.tests)
			}
		}
	}
	var want bytes.Buffer
	describe(&want, chapters)
	if *rewrite {
		if err := os.WriteFile(conformanceDoc, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(conformanceDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what requirements and tests say: run this test with -rewrite", conformanceDoc)
	}
}

// requirements reads docs/requirements.
func requirements(t *testing.T) (chapters []*chapter) {
	t.Helper()
	names, err := filepath.Glob(root + "/docs/requirements/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no requirements, this test is blind: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseChapter(string(text))
		if err != nil {
			t.Fatalf("%s:%v", name, err)
		}
		chapters = append(chapters, c)
	}
	slices.SortFunc(chapters, func(a, b *chapter) int { return cmp.Compare(a.title, b.title) })
	return chapters
}

var (
	sectionLine     = regexp.MustCompile(`^§(\S+) (.+)$`)
	requirementLine = regexp.MustCompile(`^([a-z0-9-]+) (MUST|SHOULD|MAY) (.+)$`)
	reasonLine      = regexp.MustCompile(`^    (not met|not applicable): .+$`)
	rfc             = regexp.MustCompile(`^RFC \d+`)
)

// parseChapter reads a file of requirements. Its errors begin with the line.
func parseChapter(text string) (*chapter, error) {
	c := &chapter{titles: map[string]string{}}
	seen := map[string]bool{}
	section := ""
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) (*chapter, error) { return nil, fmt.Errorf("%d: %s: %q", i+1, what, line) }
		switch {
		case c.title == "":
			if !rfc.MatchString(line) {
				return fail("want an RFC and its title")
			}
			c.title = line
		case line == "":
		case sectionLine.MatchString(line):
			m := sectionLine.FindStringSubmatch(line)
			section = rfc.FindString(c.title) + " §" + m[1]
			c.sections = append(c.sections, section)
			c.titles[section] = m[2]
		case requirementLine.MatchString(line) && section != "":
			m := requirementLine.FindStringSubmatch(line)
			r := &requirement{section: section, name: m[1], level: m[2], text: m[3]}
			if seen[r.key()] {
				return fail("twice")
			}
			seen[r.key()] = true
			c.all = append(c.all, r)
		case reasonLine.MatchString(line) && len(c.all) > 0 && c.all[len(c.all)-1].reason == "":
			c.all[len(c.all)-1].reason = strings.TrimSpace(line)
		default:
			return fail("neither section, requirement nor reason")
		}
	}
	return c, nil
}

// addProofs gives each requirement the tests that prove it. A test says so at
// the end of its comment:
//
//	Proves:
//	  - RFC 8200 §4.5 overlap
func addProofs(t *testing.T, chapters []*chapter) {
	t.Helper()
	byKey := map[string]*requirement{}
	for _, c := range chapters {
		for _, r := range c.all {
			byKey[r.key()] = r
		}
	}
	tests(t, func(where string, test *ast.FuncDecl, pkg string) {
		keys, err := proves(test.Doc.Text())
		if err != nil {
			t.Errorf("%s: %s %v", where, test.Name, err)
		}
		for _, key := range keys {
			r := byKey[key]
			if r == nil {
				t.Errorf("%s: %s proves %q, which is not in docs/requirements", where, test.Name, key)
				continue
			}
			r.tests = append(r.tests, fmt.Sprintf("`%s` (%s)", test.Name, pkg))
		}
	})
}

var proofLine = regexp.MustCompile(`^\s*- (RFC \d+ §\S+ [a-z0-9-]+)$`)

// proves reads the end of a test's comment.
func proves(doc string) (keys []string, err error) {
	_, list, found := strings.Cut("\n"+doc, "\nProves:\n")
	if !found {
		return nil, nil
	}
	for line := range strings.Lines(list) {
		line = strings.TrimRight(line, "\n")
		m := proofLine.FindStringSubmatch(line)
		switch {
		case m != nil:
			keys = append(keys, m[1])
		case line != "":
			return nil, fmt.Errorf("proves %q, which is not of the form %q", line, "  - RFC 8200 §4.5 overlap")
		}
	}
	return keys, nil
}

// tests calls fn for each test and fuzz target that has a comment.
func tests(t *testing.T, fn func(where string, test *ast.FuncDecl, pkg string)) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Doc != nil && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				fn(files.Position(f.Pos()).String(), f, filepath.ToSlash(pkg))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const conformanceHead = `# Conformance

Made by ` + "`go test ./internal/lab -run ConformanceDoc -rewrite`" + `; do not edit. What
is asked for is in [requirements](requirements), in our words, each line with its
level in the RFC (RFC 8200 writes it in small letters). A test says in its comment
what it proves; what no test proves has its reason here.

| RFC | proved | not applicable | not met |
|---|---|---|---|
`

// describe writes the document.
func describe(w io.Writer, chapters []*chapter) {
	fmt.Fprint(w, conformanceHead)
	for _, c := range chapters {
		proved, without := c.count()
		fmt.Fprintf(w, "| %s | %d | %d | %d |\n", c.title, proved, without["not applicable"], without["not met"])
	}
	for _, c := range chapters {
		fmt.Fprintf(w, "\n## %s\n", c.title)
		for _, s := range c.sections {
			_, number, _ := strings.Cut(s, "§")
			fmt.Fprintf(w, "\n### §%s %s\n\n| requirement | level | | verdict |\n|---|---|---|---|\n", number, c.titles[s])
			for _, r := range c.all {
				if r.section == s {
					fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.name, r.level, r.text, r.verdict())
				}
			}
		}
	}
}

func (r *requirement) verdict() string {
	if r.reason != "" {
		return r.reason
	}
	return "proved: " + strings.Join(r.tests, ", ")
}

// count is how many requirements are proved, and how many are not, by reason.
func (c *chapter) count() (proved int, without map[string]int) {
	without = map[string]int{}
	for _, r := range c.all {
		if r.reason == "" {
			proved++
			continue
		}
		kind, _, _ := strings.Cut(r.reason, ":")
		without[kind]++
	}
	return proved, without
}

// What is not understood is said, with its line.
func TestConformanceFormIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"Internet Protocol": `1: want an RFC and its title: "Internet Protocol"`,
		"RFC 1 A\n\n§1 B\nsome-name MUST C.\nsome-name MUST D.":               `5: twice: "some-name MUST D."`,
		"RFC 1 A\nsome-name MUST C.":                                          `2: neither section, requirement nor reason: "some-name MUST C."`,
		"RFC 1 A\n§1 B\nsome-name CAN C.":                                     `3: neither section, requirement nor reason: "some-name CAN C."`,
		"RFC 1 A\n§1 B\nname MUST C.\n    not met: D.\n    not met: E.":       `5: neither section, requirement nor reason: "    not met: E."`,
		"RFC 1 A\n§1 B\nname MUST C.\n    not met: D.\nother SHOULD E.\n\n\n": "<nil>",
	} {
		if _, err := parseChapter(text); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := proves("Some.\n\nProves:\n  - RFC 1 §2 name\n  - RFC 1: name\n"); err == nil {
		t.Error("a proof without a section is taken")
	}
}
