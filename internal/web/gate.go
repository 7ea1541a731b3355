package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// A gate lets through who may.
type gate struct{ file string } // of the token; empty: nobody has one

// newGate fails if there is to be a token, and there is none.
func newGate(file string) (*gate, error) {
	g := &gate{file}
	if file == "" {
		return g, nil
	}
	_, err := g.token()
	return g, err
}

// token is what the file says now: it may change.
func (g *gate) token() ([]byte, error) {
	b, err := os.ReadFile(g.file)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if b = bytes.TrimSpace(b); len(b) < minToken {
		return nil, fmt.Errorf("token: %s has less than %d characters", g.file, minToken)
	}
	return b, nil
}

// minToken is what can't be guessed at the speed of a network.
const minToken = 16

// guard lets everybody look, and those who have the token change things. What passes
// the interfaces is for those, too.
func (g *gate) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		looks := q.Method == http.MethodGet || q.Method == http.MethodHead
		switch {
		case looks && q.URL.Path != "/v1/capture", g.has(q):
			h.ServeHTTP(w, q)
		case g.file == "":
			refuse(w, http.StatusForbidden, "this service is read-only: there is no token")
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "this needs a token, as in Authorization: Bearer TOKEN")
		}
	})
}

// has reports whether a request has the token. The comparison tells nothing of it.
func (g *gate) has(q *http.Request) bool {
	given, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	if g.file == "" || !ok {
		return false
	}
	want, err := g.token()
	if err != nil {
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(want)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// refuse answers as the API does.
func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why}) // the client has gone
}
