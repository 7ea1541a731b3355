package events_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root = "../.."
	docs = "docs/events.md"
)

// levels are the methods of a logger that make an event.
var levels = map[string]string{
	"Info": "info", "Warn": "warn", "Error": "error", "DPanic": "dpanic", "Panic": "panic", "Fatal": "fatal",
}

// An event is one that the source can log, from one or several places.
type event struct {
	level, pkg, name string
	fields           map[string]bool
	places           []string
}

// row is the event as docs/events.md has it, without its meaning.
func (e *event) row() string {
	return fmt.Sprintf("| %s | %s | `%s` | %s |", e.level, e.pkg, e.name, strings.Join(slices.Sorted(maps.Keys(e.fields)), ", "))
}

// TestDocsListEveryEvent: docs/events.md has what the source can log, no more
// and no less, and says what each field is.
func TestDocsListEveryEvent(t *testing.T) {
	logged, fields := map[string]*event{}, map[string]bool{}
	for _, e := range inSource(t) {
		logged[e.row()] = e
		maps.Copy(fields, e.fields)
	}
	told, explained := inDocs(t)
	for row, e := range logged {
		if !told[row] {
			t.Errorf("%s lacks %v of %s:\n%s", docs, e.name, strings.Join(e.places, ", "), row)
		}
	}
	for row := range told {
		if logged[row] == nil {
			t.Errorf("%s has what nobody logs:\n%s", docs, row)
		}
	}
	for name := range fields {
		if !explained[name] {
			t.Errorf("%s does not say what the field %s is", docs, name)
		}
	}
	for name := range explained {
		if !fields[name] {
			t.Errorf("%s explains the field %s, which no event has", docs, name)
		}
	}
	if len(logged) < 10 {
		t.Errorf("found %d events in the source: this test is blind", len(logged))
	}
}

// inDocs reads the tables: rows of events without their meaning, and names of
// fields.
func inDocs(t *testing.T) (rows, fields map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, docs))
	if err != nil {
		t.Fatal(err)
	}
	rows, fields = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) == 7 && strings.Contains(cells[3], "`"):
			row := strings.Join(cells[:5], "|") + "|"
			if rows[row] {
				t.Errorf("%s has a row twice:\n%s", docs, row)
			}
			if strings.TrimSpace(cells[5]) == "" {
				t.Errorf("%s does not say what this means:\n%s", docs, row)
			}
			rows[row] = true
		case len(cells) == 4 && strings.HasPrefix(cells[1], " `"):
			fields[strings.Trim(cells[1], " `")] = true
		}
	}
	return rows, fields
}

// inSource is every event that what we build can log.
func inSource(t *testing.T) []*event {
	t.Helper()
	all := map[string]*event{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		r := &reader{t: t, files: token.NewFileSet(), pkg: path.Base(path.Dir(filepath.ToSlash(rel))), rel: rel, all: all}
		file, err := parser.ParseFile(r.files, name, nil, 0)
		if err == nil {
			ast.Inspect(file, r.node)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(all))
}

// A reader reads one file.
type reader struct {
	t        *testing.T
	files    *token.FileSet
	pkg, rel string
	all      map[string]*event
}

func (r *reader) fail(n ast.Node, format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s: %s", r.place(n), fmt.Sprintf(format, args...))
}

func (r *reader) place(n ast.Node) string {
	return fmt.Sprintf("%s:%d", filepath.ToSlash(r.rel), r.files.Position(n.Pos()).Line)
}

func (r *reader) node(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return true
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	level, makesEvent := levels[sel.Sel.Name]
	switch {
	case isLogger(sel.X) && makesEvent:
		r.event(call, level)
	case isLogger(sel.X) && (sel.Sel.Name == "Log" || sel.Sel.Name == "Check" || sel.Sel.Name == "With"):
		r.fail(call, "%s hides an event from its list: say level, name and fields in one call", sel.Sel.Name)
	case !isLogger(sel.X) && makesEvent && slices.ContainsFunc(call.Args, isField):
		r.fail(call, "a logger is called log, or its events are not found")
	}
	return true
}

// isLogger goes by the name: a variable or a field called log.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "log"
	case *ast.SelectorExpr:
		return x.Sel.Name == "log"
	}
	return false
}

func isField(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "zap"
}

// event notes a call.
func (r *reader) event(call *ast.CallExpr, level string) {
	if len(call.Args) == 0 {
		return
	}
	name, ok := literal(call.Args[0])
	if !ok {
		r.fail(call, "the name of an event is a literal, so that it can be searched for")
		return
	}
	key := r.pkg + " " + level + " " + name
	e := r.all[key]
	if e == nil {
		e = &event{level: level, pkg: r.pkg, name: name, fields: map[string]bool{}}
		r.all[key] = e
	}
	e.places = append(e.places, r.place(call))
	for _, arg := range call.Args[1:] {
		if field, ok := fieldName(arg); ok {
			e.fields[field] = true
		} else {
			r.fail(arg, "a field is said in the call, as zap.String(\"iface\", name)")
		}
	}
}

func fieldName(x ast.Expr) (string, bool) {
	if !isField(x) {
		return "", false
	}
	call := x.(*ast.CallExpr)
	if call.Fun.(*ast.SelectorExpr).Sel.Name == "Error" {
		return "error", true
	}
	if len(call.Args) == 0 {
		return "", false
	}
	return literal(call.Args[0])
}

func literal(x ast.Expr) (string, bool) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}
