package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // page.html
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/router6d/router6d/internal/events"
)

//go:embed page.html
var pageText string

// pageEvents is how many events are shown.
const pageEvents = 50

// A page is the status page: what the API says, as tables, which need no script. The
// script that is in it keeps them up to date.
type page struct {
	api      http.Handler
	template *template.Template
	policy   string // of what a browser may do with it
}

func newPage(api http.Handler) *page {
	t := template.Must(template.New("page").Funcs(template.FuncMap{
		"bytes": sizeText, "ago": agoText, "time": timeText,
		"list": listText, "details": events.Details, "seconds": secondsText,
	}).Parse(pageText))
	var empty strings.Builder // as it is sent: without the comments
	if err := t.Execute(&empty, nil); err != nil {
		panic(err) // it is part of the program
	}
	return &page{api, t, policy(empty.String())}
}

var inline = regexp.MustCompile(`(?s)<(style|script)>(.*?)</`)

// policy lets the page do what it has in itself, ask where it came from, and no more.
func policy(text string) string {
	p := "default-src 'none'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	for _, m := range inline.FindAllStringSubmatch(text, -1) {
		sum := sha256.Sum256([]byte(m[2]))
		p += fmt.Sprintf("; %s-src 'sha256-%s'", m[1], base64.StdEncoding.EncodeToString(sum[:]))
	}
	return p
}

// ServeHTTP implements http.Handler.
func (p *page) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	v := map[string]any{"Now": time.Now().Format(time.DateTime)}
	for name, path := range map[string]string{
		"Interfaces": "interfaces", "Sessions": "pppoe", "Connections": "connections",
		"Epoch": "epoch", "Drops": "drops", "Events": "events",
	} {
		v[name] = p.ask(q, "/v1/"+path)
	}
	drops, _ := v["Drops"].([]any)
	v["Drops"] = slices.DeleteFunc(drops, never)
	events, _ := v["Events"].([]any)
	v["Ends"] = ends(events)
	events = slices.Clone(events[max(0, len(events)-pageEvents):])
	slices.Reverse(events)
	v["Events"] = events
	if a := q.FormValue("address"); a != "" {
		v["Address"] = a
		v["Lookup"] = p.ask(q, "/v1/lookup?"+url.Values{"address": {a}}.Encode())
	}
	var b bytes.Buffer
	if err := p.template.Execute(&b, v); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.policy)
	_, _ = w.Write(b.Bytes()) // the client has gone
}

// ask is what the API answers, decoded; nil if that is not JSON.
func (p *page) ask(q *http.Request, path string) (v any) {
	ask, err := http.NewRequestWithContext(q.Context(), http.MethodGet, path, nil)
	if err != nil {
		return nil
	}
	a := &answer{head: http.Header{}}
	p.api.ServeHTTP(a, ask)
	_ = json.Unmarshal(a.body.Bytes(), &v) // nil
	return v
}

// An answer is what a handler writes, kept.
type answer struct {
	head http.Header
	body bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.head }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(int) {}

// never reports whether a reason dropped nothing.
func never(drop any) bool {
	d, _ := drop.(map[string]any)
	n, _ := d["packets"].(float64)
	return n == 0
}

// ends is the detaches among events, the newest first.
func ends(events []any) (all []any) {
	for _, e := range events {
		m, _ := e.(map[string]any)
		if m["event"] == "interface detached" || m["event"] == "interface orphaned" {
			all = append(all, e)
		}
	}
	slices.Reverse(all)
	return all[:min(len(all), pageEvents)]
}

// sizeText is a number of bytes for people.
func sizeText(v any) string {
	n, _ := v.(float64)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 1000 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.3g TB", n)
}

// agoText is how long ago a time was.
func agoText(v any) string {
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return ""
	}
	return time.Since(at).Round(time.Second).String()
}

// timeText is a time for people, to the second.
func timeText(v any) string {
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return at.Local().Format(time.DateTime)
}

// secondsText is how long something took; nothing if it has not come to that.
func secondsText(v any) string {
	if s, ok := v.(float64); ok {
		return events.Seconds(s).String()
	}
	return ""
}

// listText is the values of a list.
func listText(v any) string {
	list, _ := v.([]any)
	all := make([]string, len(list))
	for i, x := range list {
		all[i] = fmt.Sprint(x)
	}
	return strings.Join(all, " ")
}
