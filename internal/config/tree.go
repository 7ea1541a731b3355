package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The library's parser takes time by the square of these. At the limits it takes a second.
const (
	maxTokens    = 100_000
	maxBlockKeys = 10_000 // keys outside of braces
	maxDepth     = 16     // the deepest file has 5
)

const smallest = `the smallest file is one line, "interfaces: {}"`

// node is one value of the text.
type node struct {
	kind  kind
	text  string // of a scalar, without quotes
	at    mark
	key   mark   // where its key or its list entry begins
	path  string // as interfaces.red.addresses[0]
	pairs []pair // of a mapping
	items []*node
}

type pair struct {
	name  string
	value *node
}

type kind string

const (
	nothing kind = "nothing"
	scalar  kind = "a single value"
	list    kind = "a list"
	mapping kind = "a mapping"
)

// get returns the value of a key, or nil.
func (n *node) get(name string) *node {
	for _, p := range n.pairs {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

// isEmpty says whether nothing is written: no key, no value, or a list of nothing.
func (n *node) isEmpty() bool {
	return n == nil || n.kind == nothing || n.kind == list && len(n.items) == 0
}

// parseTree makes a tree of a text, or says why it is none.
func parseTree(text []byte) (*node, []fault) {
	if at, err := checkText(text); err != nil {
		return nil, []fault{{at: at, err: err}}
	}
	tokens := mend(lexer.Tokenize(strings.ReplaceAll(string(text), "\r\n", "\n")))
	if faults := checkTokens(tokens); len(faults) > 0 {
		return nil, faults
	}
	body, f := parseBody(tokens)
	if f != nil {
		return nil, []fault{*f}
	}
	g := &grower{}
	return g.grow(body, "", mark{1, 1}), g.faults
}

// checkText says whether a text is one that YAML can be written in.
func checkText(text []byte) (mark, error) {
	if len(text) > maxText {
		return mark{}, wrong("add routes at run time instead", "the file has more than %d bytes", maxText)
	}
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return mark{}, wrong("save the file without it", "the file begins with a byte order mark")
	}
	for at, rest := (mark{1, 1}), text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, wrong("save the file as UTF-8", "byte 0x%02x is not UTF-8", rest[0])
		case r == '\n':
			at = mark{at.line + 1, 0}
		case r == '\r' && bytes.HasPrefix(rest, []byte("\r\n")):
		case r != '\t' && unicode.IsControl(r):
			return at, wrong("remove it", "control character %U", r)
		}
		at.column++
		rest = rest[size:]
	}
	return mark{}, nil
}

// refused is the part of YAML that lets one thing be written in two ways, or in another place than where it is meant.
var refused = map[token.Type]string{
	token.AnchorType:     "an anchor (&)",
	token.AliasType:      "an alias (*)",
	token.MergeKeyType:   "a merge key (<<)",
	token.TagType:        "a tag (!)",
	token.DirectiveType:  "a directive (%)",
	token.MappingKeyType: "an explicit key (?)",
	token.LiteralType:    "a block text (|)",
	token.FoldedType:     "a folded text (>)",
}

// nesting is what a token does to the number of open brackets and braces.
var nesting = map[token.Type]int{
	token.SequenceStartType: 1,
	token.MappingStartType:  1,
	token.SequenceEndType:   -1,
	token.MappingEndType:    -1,
}

func checkTokens(tokens token.Tokens) (faults []fault) {
	for _, t := range tokens {
		if what, ok := refused[t.Type]; ok {
			err := wrong("write the value itself; if it is text, put it in quotes", "%s is not taken here", what)
			faults = append(faults, fault{at: place(t), err: err})
		}
	}
	if f := checkSize(tokens); f != nil {
		faults = append(faults, *f)
	}
	return faults
}

// checkSize keeps the parser's time and stack in bounds.
func checkSize(tokens token.Tokens) *fault {
	open, line, dashes, keys := 0, 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		open += nesting[t.Type]
		if t.Type == token.SequenceEntryType {
			dashes++
		}
		if isColon(t) && open <= 0 {
			keys++
		}
		if open+dashes > maxDepth {
			err := wrong("close brackets and braces where they end", "more than %d lists or mappings in each other", maxDepth)
			return &fault{at: place(t), err: err}
		}
	}
	const use = `write a route in one line, as - {prefix: "2001:db8:2::/64", dev: red}; or add routes at run time`
	switch {
	case len(tokens) > maxTokens:
		return &fault{err: wrong(use, "the file has more than %d words and signs", maxTokens)}
	case keys > maxBlockKeys:
		return &fault{err: wrong(use, "the file has more than %d keys outside of braces", maxBlockKeys)}
	}
	return nil
}

func place(t *token.Token) mark { return mark{t.Position.Line, t.Position.Column} }

// parseBody returns what the one document of a text holds.
func parseBody(tokens token.Tokens) (body ast.Node, f *fault) {
	defer func() {
		if recover() != nil { // the library's, for a text nobody has tried
			f = &fault{err: wrong("look for unusual signs, and report this file", "the text is not YAML")}
		}
	}()
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntax(err)
	}
	for i, doc := range file.Docs {
		switch {
		case i > 0:
			return nil, &fault{at: start(doc), err: wrong("keep one, and remove this line", "a second document begins")}
		case doc.Body != nil:
			body = doc.Body
		}
	}
	if body == nil {
		return nil, &fault{err: wrong(smallest, "the file is empty")}
	}
	return body, nil
}

func start(doc *ast.DocumentNode) mark {
	if doc.Start != nil {
		return place(doc.Start)
	}
	return place(doc.Body.GetToken())
}

// syntax says in the words of this package what the library found.
func syntax(err error) *fault {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return &fault{err: wrong("check brackets, quotes and indentation", "the text is not YAML")}
	}
	msg, hint := e.GetMessage(), "check brackets, quotes and indentation here and in the lines around"
	switch value := strings.TrimSpace(e.GetToken().Value); {
	case msg == "mapping value is not allowed in this context" && strings.HasSuffix(value, ":"):
		msg, hint = "a value that ends in ':' is read as a key", "put it in quotes, as "+show(value+":")
	case msg == "mapping value is not allowed in this context":
		msg, hint = "a second key in one value", "begin a line for each key, with the indentation of the key above"
	case strings.Contains(msg, "'\t'"):
		msg, hint = "a tab in the indentation", "use spaces"
	case strings.HasSuffix(msg, "end token ']' not found") || strings.HasSuffix(msg, "end token '}'"):
		msg, hint = "what begins here has no end", "add the bracket or brace that closes it"
	case msg == "unexpected key name" || msg == "non-map value is specified":
		msg, hint = "a line without a key", "write it as key: value"
	}
	return &fault{at: place(e.GetToken()), err: wrong(hint, "%s", msg)}
}

// grower makes nodes of the library's.
type grower struct{ faults []fault }

func (g *grower) grow(n ast.Node, path string, key mark) *node {
	out := &node{kind: scalar, path: path, key: key, at: key}
	if n == nil {
		out.kind = nothing
		return out
	}
	out.at = place(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		out.kind, out.at = nothing, key
	case *ast.MappingNode:
		g.growMapping(out, n.Values)
		if !n.IsFlowStyle && len(n.Values) > 0 { // else it begins with its brace
			out.at = place(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		g.growMapping(out, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		g.growList(out, n)
	default:
		out.text = n.GetToken().Value
	}
	return out
}

func (g *grower) growMapping(out *node, values []*ast.MappingValueNode) {
	out.kind = mapping
	seen := map[string]mark{}
	for _, v := range values {
		t := v.Key.GetToken()
		name, at := t.Value, place(t)
		path := join(out.path, name)
		if first, ok := seen[name]; ok {
			err := wrong("keep one of the two", "the key is already on line %d", first.line)
			g.faults = append(g.faults, fault{at, path, err})
			continue
		}
		seen[name] = at
		out.pairs = append(out.pairs, pair{name, g.grow(v.Value, path, at)})
	}
}

func (g *grower) growList(out *node, n *ast.SequenceNode) {
	out.kind = list
	for i, v := range n.Values {
		path := fmt.Sprintf("%s[%d]", out.path, i)
		out.items = append(out.items, g.grow(v, path, place(v.GetToken())))
	}
}

// simple is a key that needs no quotes in a path.
var simple = regexp.MustCompile(`^[0-9A-Za-z_-]{1,32}$`)

// join keeps a path short, whatever the key: it is copied into every node below.
func join(path, name string) string {
	if !simple.MatchString(name) {
		name = show(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
