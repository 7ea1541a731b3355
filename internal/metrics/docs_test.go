package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/lab"
)

// complete is a scrape with every metric in it.
func complete(t *testing.T) scrape {
	t.Helper()
	s := newScene(t)
	s.Attach("a", routerA+"/64")
	s.AttachEthernet(lab.Settings("e"))
	wan := config.Interface{Name: "wan", Type: config.TypePPPoE, Mode: config.ModeAttach, Lower: "e", PPPoE: &config.PPPoE{}}
	if _, err := s.Interfaces.Add(t.Context(), wan); err != nil {
		t.Fatal(err)
	}
	return ask(t, s.Metrics)
}

// TestDocsListEveryMetric: the tables of docs/metrics.md are what a scrape says.
func TestDocsListEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `"+namespace+"_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("docs/metrics.md has a line twice")
	}
	for _, f := range complete(t).ours() {
		want = append(want, row(f))
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("docs/metrics.md lacks\n%s", line)
		}
	}
	for _, line := range got {
		// An expression to be woken by is told in a row as well.
		if name, _, _ := strings.Cut(line[3:], "`"); isName(name) && !slices.Contains(want, line) {
			t.Errorf("docs/metrics.md has what no scrape has\n%s", line)
		}
	}
}

func isName(s string) bool { return regexp.MustCompile(`^\w+$`).MatchString(s) }

// row is a family as docs/metrics.md has it.
func row(f *dto.MetricFamily) string {
	names := map[string]bool{}
	var all []string
	for _, m := range f.Metric {
		for _, l := range m.Label {
			if !names[l.GetName()] {
				names[l.GetName()] = true
				all = append(all, l.GetName())
			}
		}
	}
	slices.Sort(all)
	with := " "
	if len(all) > 0 {
		with = " " + strings.Join(all, ", ") + " "
	}
	return fmt.Sprintf("| `%s` | %s |%s| %s |", f.GetName(), strings.ToLower(f.GetType().String()), with, f.GetHelp())
}

// inExpression is a metric of ours in a PromQL expression.
var inExpression = regexp.MustCompile(namespace + `_\w+`)

// known says whether Prometheus has a series of that name after a scrape.
func (s scrape) known(name string) bool {
	if f := s[name]; f != nil {
		return f.GetType() != dto.MetricType_HISTOGRAM
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if f := s[strings.TrimSuffix(name, suffix)]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
			return true
		}
	}
	return false
}

// TestDocsUseMetricsThatExist: so do the expressions in docs/metrics.md.
func TestDocsUseMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	s := complete(t)
	for _, name := range inExpression.FindAllString(string(text), -1) {
		if s[name] == nil && !s.known(name) {
			t.Errorf("docs/metrics.md has %s, which no scrape has", name)
		}
	}
}

// A dashboard is what Grafana reads, as far as it matters here.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr, RefID, LegendFormat string
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/router6d.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboardUsesMetricsThatExist: and the main ones are on it.
func TestDashboardUsesMetricsThatExist(t *testing.T) {
	s, d := complete(t), readDashboard(t)
	used := map[string]bool{}
	look := func(where, expr string) {
		names := inExpression.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %q", where, expr)
		}
		for _, name := range names {
			used[name] = true
			if !s.known(name) {
				t.Errorf("%s: no scrape has %s", where, name)
			}
		}
		if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
			t.Errorf("%s: brackets of %q", where, expr)
		}
	}
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			look(p.Title, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			look("variable "+v.Name, v.Definition)
		}
	}
	for _, name := range []string{
		"interface_receive_bytes_total", "interface_transmit_bytes_total", "dropped_packets_total", "detach_total",
		"detach_phase_seconds_bucket", "grace_seconds_bucket", "lookup_dead_total", "orphans", "epoch_current", "qs_age_seconds",
	} {
		if !used[namespace+"_"+name] {
			t.Errorf("%s is on no panel", name)
		}
	}
}

// A label that an expression groups by, or a legend names, is one that there is.
func TestDashboardUsesLabelsThatExist(t *testing.T) {
	known := map[string]bool{"instance": true, "job": true, "le": true}
	for _, f := range complete(t).ours() {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				known[l.GetName()] = true
			}
		}
	}
	groups, legend := regexp.MustCompile(`(?:by|on|group_left|without) ?\(([\w, ]*)\)`), regexp.MustCompile(`{{ *(\w+) *}}`)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			var names []string
			for _, m := range groups.FindAllStringSubmatch(target.Expr, -1) {
				names = append(names, strings.Split(m[1], ",")...)
			}
			for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				names = append(names, m[1])
			}
			for _, name := range names {
				if !known[strings.TrimSpace(name)] {
					t.Errorf("%s: no metric has the label %s", p.Title, name)
				}
			}
		}
	}
}

// Panels have numbers of their own and do not lie on one another.
func TestDashboardIsLaidOut(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("uid = %q, title = %q, schema version = %d", d.UID, d.Title, d.SchemaVersion)
	}
	const columns = 24
	at, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the number of another panel, %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W == 0 || g.H == 0 || g.X+g.W > columns {
			t.Errorf("%s lies outside: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := at[[2]int{x, y}]; other != "" {
					t.Errorf("%s lies on %s", p.Title, other)
				}
				at[[2]int{x, y}] = p.Title
			}
		}
	}
}
