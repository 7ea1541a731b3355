package control

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/router"
)

// What is asked in words that are not known changes nothing, and is told why, in JSON.
func TestRequestsThatAreNotUnderstood(t *testing.T) {
	s, ask := front(t)
	s.Reload = func(context.Context, bool) ([]router.Change, error) {
		t.Error("the router was reloaded")
		return nil, nil
	}
	cases := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"a flag that is neither", "POST", "/v1/reload?dry_run=yes", "", 400, `dry_run: "yes" is not true or false`},
		{"a flag that says nothing", "POST", "/v1/reload?dry_run", "", 400, `dry_run: "" is not true or false`},
		{"a flag that is misspelled", "POST", "/v1/reload?dry-run=true", "", 400, `no parameter "dry-run" here: use dry_run`},
		{"a query that is none", "POST", "/v1/reload?dry_run=%zz", "", 400, "%zz"},
		{"a parameter of a route", "DELETE", "/v1/routes?prefix=::/0&metrics=5", "", 400, `no parameter "metrics" here: use prefix, metric`},
		{"a prefix that is none", "DELETE", "/v1/routes?prefix=foo", "", 400, `as 2001:db8:2::/64`},
		{"following by halves", "GET", "/v1/events?follow=1.5", "", 400, `follow: "1.5"`},
		{"no such thing", "GET", "/v1/router", "", 404, "/v1/openapi.yaml"},
		{"nothing at all", "GET", "/", "", 404, "/v1/openapi.yaml"},
		{"a method that is not there", "PUT", "/v1/routes", "", 405, "use DELETE, GET, HEAD, POST"},
		{"a level that ends the router", "PUT", "/v1/log-level", `{"level":"fatal"}`, 400, "use debug, info, warn, error"},
		{"a level without one", "PUT", "/v1/log-level", `{}`, 400, "use debug, info, warn, error"},
		{"a level in no JSON", "PUT", "/v1/log-level", "level=debug", 400, `write it as {"level":"debug"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, head, body := ask(c.method, c.path, c.body)
			var p Problem
			err := json.Unmarshal([]byte(body), &p)
			if status != c.status || err != nil || !strings.Contains(p.Error, c.says) {
				t.Errorf("%d %s, want %d and that %s", status, body, c.status, c.says)
			}
			if c.status == 405 && head.Get("Allow") == "" {
				t.Errorf("no Allow in %v", head)
			}
		})
	}
}

// What curl says of a body, if nobody tells it, is that it is a form.
func TestLogLevelOfCurl(t *testing.T) {
	s, ask := front(t)
	if status, _, body := ask("PUT", "/v1/log-level", `{"level":"warn"}`); status != 200 || s.level.String() != "warn" {
		t.Errorf("%d %s, level %s, want warn", status, body, s.level)
	}
}

// front is a server without a router, and a way to ask it.
func front(t *testing.T) (*Server, func(method, path, body string) (int, http.Header, string)) {
	t.Helper()
	d := newDesk(t, 1)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", d.path) }}}
	t.Cleanup(client.CloseIdleConnections)
	return d.server, func(method, path, body string) (int, http.Header, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, "http://router"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(b)
	}
}
