package config

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// mend joins what the library takes apart. In a list inside of braces, as in {routes: [2001:db8::/32]}, it takes every
// colon for the end of a key (goccy/go-yaml issue 832). By YAML 1.2.2 §7.3.3 only one with a blank behind it is.
func mend(tokens token.Tokens) (out token.Tokens) {
	var open []token.Type // brackets and braces
	joins := false        // the last token is part of a text
	for i, t := range tokens {
		switch n := nesting[t.Type]; {
		case n > 0:
			open = append(open, t.Type)
		case n < 0:
			open = open[:max(0, len(open)-1)]
		}
		inList := len(open) > 0 && open[len(open)-1] == token.SequenceStartType
		isPart := inList && (isPlain(t) || isColon(t) && i+1 < len(tokens) && touch(t, tokens[i+1]))
		switch {
		case isPart && joins && touch(tokens[i-1], t):
			text := out[len(out)-1]
			out[len(out)-1] = token.String(text.Value+t.Value, text.Origin+t.Origin, text.Position)
		case isPart && isColon(t):
			out = append(out, token.String(t.Value, t.Origin, t.Position))
		default:
			out = append(out, t)
		}
		joins = isPart
	}
	return out
}

func isColon(t *token.Token) bool { return t.Type == token.MappingValueType }

// isPlain says whether a token is a text, number or word without quotes.
func isPlain(t *token.Token) bool {
	return t.CharacterType == token.CharacterTypeMiscellaneous && t.Indicator == token.NotIndicator
}

// touch says whether nothing is between two tokens.
func touch(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
