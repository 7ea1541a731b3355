package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxErrors keeps the first mistake on the screen.
const maxErrors = 10

// Error is one mistake in a file.
type Error struct {
	File         string
	Line, Column int    // from 1, the column in characters; zero if it is the file as a whole
	Key          string // as interfaces.red.mtu; empty if no key is concerned
	Msg          string // what is wrong
	Hint         string // what to write instead; may be empty
	snippet      string
}

// Error returns the mistake in up to four lines: place and message, the line, a caret, the hint.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Msg)
	if e.Line > 0 {
		b.WriteString("\n" + e.snippet)
	}
	if e.Hint != "" {
		b.WriteString("\n      = " + e.Hint)
	}
	return b.String()
}

// Errors are the mistakes in a file, in line order. If there are many, the last one says how many were left out.
type Errors []Error

// Error returns them one after the other.
func (es Errors) Error() string {
	all := make([]string, len(es))
	for i, e := range es {
		all[i] = e.Error()
	}
	return strings.Join(all, "\n")
}

// invalid is a mistake in a value, before anyone knows where the value stands.
type invalid struct{ msg, hint string }

// Error returns the mistake in one line, for the command line.
func (v *invalid) Error() string {
	if v.hint == "" {
		return v.msg
	}
	return v.msg + "; " + v.hint
}

func wrong(hint, format string, args ...any) error {
	return &invalid{msg: fmt.Sprintf(format, args...), hint: hint}
}

// mark is a place in the text, both from 1. The zero mark is the text as a whole.
type mark struct{ line, column int }

func (m mark) compare(o mark) int {
	return cmp.Or(cmp.Compare(m.line, o.line), cmp.Compare(m.column, o.column))
}

// fault is a mistake with its place, before it is told.
type fault struct {
	at  mark
	key string
	err error
}

// tell makes of faults what the user sees.
func tell(name string, text []byte, faults []fault) Errors {
	slices.SortStableFunc(faults, func(a, b fault) int { return a.at.compare(b.at) })
	more := max(0, len(faults)-maxErrors)
	lines := strings.Split(string(text), "\n")
	var es Errors
	for _, f := range faults[:len(faults)-more] {
		es = append(es, tellOne(name, lines, f))
	}
	if more > 0 {
		es = append(es, Error{File: name, Msg: fmt.Sprintf("and %d more", more)})
	}
	return es
}

func tellOne(name string, lines []string, f fault) Error {
	e := Error{File: name, Line: f.at.line, Column: f.at.column, Key: f.key, Msg: f.err.Error()}
	var v *invalid
	if errors.As(f.err, &v) {
		e.Msg, e.Hint = v.msg, v.hint
	}
	if e.Line > 0 {
		e.Line = min(e.Line, len(lines))
		e.snippet = snippet(lines[e.Line-1], e.Line, e.Column)
	}
	return e
}

// snippet shows a line with a caret under a column. Of a long line it shows the part around the caret.
func snippet(text string, line, column int) string {
	const before, width = 50, 72
	rs := []rune(strings.TrimRight(text, "\r"))
	caret := min(max(column, 1)-1, len(rs))
	start := 0
	if len(rs) > width {
		start = max(0, caret-before)
	}
	shown := rs[start:min(len(rs), start+width)]
	return fmt.Sprintf("%5d | %s\n      | %s^", line, strings.Map(printable, string(shown)), strings.Repeat(" ", caret-start))
}

// printable keeps the caret in its column and the terminal as it was.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return unicode.ReplacementChar
	}
	return r
}

// show quotes what the user wrote, cut to a length that fits a line.
func show(s string) string {
	const most = 48
	if rs := []rune(s); len(rs) > most {
		s = string(rs[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// suggest names the word the user may have meant, or else all of them.
func suggest(s, what string, words []string) string {
	if near, ok := nearest(s, words); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(words) == 0 {
		return "there are no " + what
	}
	const most = 12
	if len(words) > most {
		words = append(slices.Clone(words[:most]), "…")
	}
	return what + ": " + strings.Join(words, ", ")
}

// nearest returns the word with the fewest letters to change, if they are few enough to be a slip.
func nearest(s string, words []string) (string, bool) {
	const longest, most = 32, 256 // what a slip is looked for in: it takes time, for each mistake
	if len(s) > longest || len(words) > most {
		return "", false
	}
	best, least := "", min(len(s), 1+max(2, len(s)/3))
	for _, w := range words {
		if n := distance(strings.ToLower(s), w); n < least {
			best, least = w, n
		}
	}
	return best, best != ""
}

// distance is Levenshtein's: letters put in, taken out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
