package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// An object is one of JSON or YAML.
type object = map[string]any

// An api is a router, as its own description has it.
type api struct {
	d    *daemon
	doc  object
	http http.Client
}

func newAPI(t *testing.T, d *daemon) *api {
	t.Helper()
	a := &api{d: d}
	a.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}
	code, kind, text := a.ask("GET", "/v1/openapi.yaml", nil)
	if code != http.StatusOK || kind != "application/yaml" {
		t.Fatalf("openapi.yaml: %d %s", code, kind)
	}
	if err := yaml.Unmarshal(text, &a.doc); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *api) ask(method, path string, body any) (code int, kind string, text []byte) {
	a.d.t.Helper()
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			a.d.t.Fatal(err)
		}
	}
	q, err := http.NewRequestWithContext(a.d.t.Context(), method, "http://router6d"+path, &b)
	if err != nil {
		a.d.t.Fatal(err)
	}
	res, err := a.http.Do(q)
	if err != nil {
		a.d.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	if err != nil {
		a.d.t.Fatal(err)
	}
	kind, _, _ = strings.Cut(res.Header.Get("Content-Type"), ";")
	return res.StatusCode, kind, text
}

// operation is the description of one.
func (a *api) operation(method, path string) object {
	o, _ := at(a.doc, "paths", path, strings.ToLower(method)).(object)
	return o
}

// example asks as the description says, with other parameters where they are
// given.
func (a *api) example(method, path string, other url.Values) (code int, kind string, text []byte) {
	a.d.t.Helper()
	o := a.operation(method, path)
	query := url.Values{}
	to := path
	params, _ := o["parameters"].([]any)
	for _, p := range params {
		p := p.(object)
		name, value := fmt.Sprint(p["name"]), fmt.Sprint(p["example"])
		if other.Has(name) {
			value = other.Get(name)
		}
		if p["in"] == "path" {
			to = strings.ReplaceAll(to, "{"+name+"}", url.PathEscape(value))
		} else {
			query.Set(name, value)
		}
	}
	return a.ask(method, to+"?"+query.Encode(), at(o, "requestBody", "content", "application/json", "example"))
}

// check wants an answer to be what is described.
func (a *api) check(method, path string, want, code int, kind string, text []byte) {
	t := a.d.t
	t.Helper()
	if code != want {
		t.Errorf("%s %s: %d, want %d: %s", method, path, code, want, text)
	}
	s, ok := at(a.operation(method, path), "responses", fmt.Sprint(code), "content", kind, "schema").(object)
	if !ok {
		t.Errorf("%s %s: %d with %s is not described", method, path, code, kind)
		return
	}
	if kind == "application/yaml" {
		return
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Errorf("%s %s: %v: %s", method, path, err, text)
	}
	for _, wrong := range a.fits(v, s, "") {
		t.Errorf("%s %s: %s\n%s", method, path, wrong, text)
	}
}

// fits says where a value is not what its schema has.
func (a *api) fits(v any, s object, where string) (wrong []string) {
	if ref, ok := s["$ref"].(string); ok {
		s = at(a.doc, "components", "schemas", strings.TrimPrefix(ref, "#/components/schemas/")).(object)
	}
	bad := func(what string) []string { return []string{fmt.Sprintf("%s is %T, %s", where, v, what)} }
	switch v := v.(type) {
	case []any:
		if s["type"] != "array" {
			return bad("no array")
		}
		for i, e := range v {
			wrong = append(wrong, a.fits(e, s["items"].(object), fmt.Sprintf("%s[%d]", where, i))...)
		}
		return wrong
	case object:
		if s["type"] != "object" {
			return bad("no object")
		}
		return a.fitsObject(v, s, where)
	case string:
		if s["type"] != "string" {
			return bad("no string")
		}
	case bool:
		if s["type"] != "boolean" {
			return bad("no boolean")
		}
	case float64:
		if s["type"] != "number" && (s["type"] != "integer" || v != float64(int64(v))) {
			return bad("no such number")
		}
	default:
		return bad("which is nothing")
	}
	return nil
}

func (a *api) fitsObject(v, s object, where string) (wrong []string) {
	props, _ := s["properties"].(object)
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := v[fmt.Sprint(key)]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s lacks %v", where, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		p, known := props[key].(object)
		more, typed := s["additionalProperties"].(object)
		switch {
		case known:
			wrong = append(wrong, a.fits(v[key], p, where+"."+key)...)
		case typed:
			wrong = append(wrong, a.fits(v[key], more, where+"."+key)...)
		case s["additionalProperties"] != true:
			wrong = append(wrong, fmt.Sprintf("%s.%s is not described", where, key))
		}
	}
	return wrong
}

// at goes down into objects.
func at(v any, keys ...string) any {
	for _, k := range keys {
		o, _ := v.(object)
		v = o[k]
	}
	return v
}

// TestAPIIsAsDescribed asks all that can be asked, with the examples of the
// description: right, and wrong in every way that it tells of.
func TestAPIIsAsDescribed(t *testing.T) {
	privileged(t)
	namespace(t, "api")
	d := start(t, "interfaces: {}")
	a := newAPI(t, d)
	asked := map[string]bool{}
	for _, step := range []struct {
		method, path string
		code         int
		other        url.Values
	}{
		{"POST", "/v1/interfaces", 200, nil},
		{"POST", "/v1/interfaces", 409, nil},
		{"POST", "/v1/routes", 200, nil},
		{"POST", "/v1/routes", 409, nil},
		{"GET", "/v1/interfaces", 200, nil},
		{"GET", "/v1/routes", 200, nil},
		{"GET", "/v1/nexthops", 200, nil},
		{"GET", "/v1/neighbors", 200, nil},
		{"GET", "/v1/pppoe", 200, nil},
		{"GET", "/v1/connections", 200, nil},
		{"GET", "/v1/counters", 200, nil},
		{"GET", "/v1/drops", 200, nil},
		{"GET", "/v1/epoch", 200, nil},
		{"GET", "/v1/fib", 200, nil},
		{"GET", "/v1/health", 200, nil},
		{"GET", "/v1/openapi.yaml", 200, nil},
		{"GET", "/v1/lookup", 200, nil},
		{"GET", "/v1/lookup", 400, url.Values{"address": {"nowhere"}}},
		{"GET", "/v1/events", 200, nil},
		{"GET", "/v1/events", 400, url.Values{"since": {"yesterday"}}},
		{"GET", "/v1/events", 400, url.Values{"since": {"4711"}, "follow": {"true"}}},
		{"GET", "/v1/capture", 404, nil}, // capture_netns_test.go has one that goes on
		{"GET", "/v1/capture", 400, url.Values{"count": {"some"}}},
		{"GET", "/v1/log-level", 200, nil},
		{"PUT", "/v1/log-level", 200, nil},
		{"POST", "/v1/reload", 200, nil},
		{"DELETE", "/v1/routes", 400, url.Values{"metric": {"none"}}},
		{"DELETE", "/v1/routes", 200, nil},
		{"DELETE", "/v1/routes", 404, nil},
		{"DELETE", "/v1/interfaces/{name}", 200, nil},
		{"DELETE", "/v1/interfaces/{name}", 404, nil},
	} {
		code, kind, text := a.example(step.method, step.path, step.other)
		a.check(step.method, step.path, step.code, code, kind, text)
		asked[step.method+" "+step.path] = true
	}
	for path, ops := range a.doc["paths"].(object) {
		for method := range ops.(object) {
			if !asked[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s was not asked", method, path)
			}
		}
	}

	t.Run("wrong bodies", func(t *testing.T) {
		for _, c := range []struct {
			method, path string
			body         any
			code         int
		}{
			{"POST", "/v1/interfaces", "red", 400},
			{"POST", "/v1/interfaces", object{"red": object{"mut": 1500}}, 400},
			{"POST", "/v1/interfaces", object{"red": object{"kernel": object{"netns": "nowhere"}}}, 422},
			{"POST", "/v1/routes", object{"prefix": "2001:db8::/32"}, 400},
			{"PUT", "/v1/log-level", object{"level": "loud"}, 400},
			{"POST", "/v1/routes", strings.Repeat("long ", 20_000), 413},
		} {
			code, kind, text := a.ask(c.method, c.path, c.body)
			a.check(c.method, c.path, c.code, code, kind, text)
		}
		d.edit("interfaces: [")
		code, kind, text := a.ask("POST", "/v1/reload", nil)
		a.check("POST", "/v1/reload", 422, code, kind, text)
	})
}
