package control

import (
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/events"
)

// A document is as much of OpenAPI as openapi.yaml uses.
type document struct {
	OpenAPI    string                          `yaml:"openapi"`
	Info       map[string]any                  `yaml:"info"`
	Servers    []map[string]string             `yaml:"servers"`
	Paths      map[string]map[string]operation `yaml:"paths"`
	Components struct {
		Schemas map[string]schema `yaml:"schemas"`
	} `yaml:"components"`
}

type operation struct {
	Summary     string      `yaml:"summary"`
	Parameters  []parameter `yaml:"parameters"`
	RequestBody struct {
		Required bool               `yaml:"required"`
		Content  map[string]content `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Description string             `yaml:"description"`
		Content     map[string]content `yaml:"content"`
	} `yaml:"responses"`
}

type parameter struct {
	Name        string `yaml:"name"`
	In          string `yaml:"in"`
	Required    bool   `yaml:"required"`
	Schema      schema `yaml:"schema"`
	Description string `yaml:"description"`
	Example     any    `yaml:"example"`
}

type content struct {
	Schema  schema `yaml:"schema"`
	Example any    `yaml:"example"`
}

type schema struct {
	Ref           string            `yaml:"$ref"`
	Type          string            `yaml:"type"`
	Format        string            `yaml:"format"`
	Description   string            `yaml:"description"`
	Enum          []string          `yaml:"enum"`
	Items         *schema           `yaml:"items"`
	Properties    map[string]schema `yaml:"properties"`
	Required      []string          `yaml:"required"`
	Additional    any               `yaml:"additionalProperties"` // a bool or a schema
	MinProperties int               `yaml:"minProperties"`
	MaxProperties int               `yaml:"maxProperties"`
}

func described(t *testing.T) (d document) {
	t.Helper()
	if err := yaml.UnmarshalWithOptions(openAPIText, &d, yaml.DisallowUnknownField()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIHasEveryOperation(t *testing.T) {
	d := described(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info["title"] == nil || d.Info["version"] == nil {
		t.Errorf("openapi %s, info %v", d.OpenAPI, d.Info)
	}
	var got []string
	for path, ops := range d.Paths {
		for method, o := range ops {
			got = append(got, strings.ToUpper(method)+" "+path)
			if o.Summary == "" || o.Responses["200"].Description == "" {
				t.Errorf("%s %s has no summary or no answer", method, path)
			}
			for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(o.Parameters, func(p parameter) bool { return p.Name == name[1] && p.In == "path" && p.Required }) {
					t.Errorf("%s %s does not describe {%s}", method, path, name[1])
				}
			}
		}
	}
	slices.Sort(got)
	want := slices.Sorted(maps.Keys((&Server{level: zap.NewAtomicLevel()}).operations()))
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("operations (-openapi.yaml +server):\n%s", diff)
	}
}

// TestOpenAPIHasEveryParameter looks into the source for what is asked of a
// request.
func TestOpenAPIHasEveryParameter(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:FormValue\(|PathValue\(|parseFlag\(q, )"(\w+)"\)`).FindAllSubmatch(text, -1) {
			want[string(m[1])] = true
		}
	}
	got := map[string]bool{}
	for _, ops := range described(t).Paths {
		for _, o := range ops {
			for _, p := range o.Parameters {
				got[p.Name] = true
				if p.Description == "" || p.Example == nil || p.Schema.Type == "" {
					t.Errorf("parameter %s has no description, example or type", p.Name)
				}
			}
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("parameters (-openapi.yaml +source):\n%s", diff)
	}
}

// answers is what goes over the socket, by the name of its schema.
var answers = map[string]any{
	"Interface": Interface{}, "Traffic": Traffic{}, "Route": Route{}, "Offered": Offered{}, "Nexthops": Nexthops{},
	"Nexthop": Nexthop{}, "Neighbors": Neighbors{}, "Neighbor": Neighbor{}, "Address": Address{},
	"Counters": Counters{}, "Reassembly": Reassembly{}, "Drop": Drop{}, "Epoch": Epoch{}, "FIB": FIB{}, "Lookup": Lookup{}, "Step": Step{},
	"Ledger": Ledger{}, "Change": Change{}, "Event": events.Event{}, "Health": Health{}, "Problem": Problem{},
	"Level":      Level{},
	"Session":    Session{},
	"SessionEnd": SessionEnd{},
	"Connection": Connection{},
	"Nothing":    struct{}{},
}

// TestOpenAPISchemasAreTheStructs compares them by reflection.
func TestOpenAPISchemasAreTheStructs(t *testing.T) {
	schemas := described(t).Components.Schemas
	for name, v := range answers {
		got, ok := schemas[name]
		if !ok {
			t.Errorf("no schema %s", name)
			continue
		}
		var required []string
		props := map[string]string{}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			key, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			props[key] = jsonType(f.Type)
			if option != "omitempty" && option != "omitzero" {
				required = append(required, key)
			}
		}
		told := map[string]string{}
		for key, s := range got.Properties {
			told[key] = s.text()
		}
		if diff := cmp.Diff(told, props); diff != "" {
			t.Errorf("properties of %s (-openapi.yaml +struct):\n%s", name, diff)
		}
		if diff := cmp.Diff(got.Required, required); diff != "" {
			t.Errorf("required of %s (-openapi.yaml +struct):\n%s", name, diff)
		}
		if got.Description == "" || got.Additional != false {
			t.Errorf("%s has no description, or leaves room for more", name)
		}
	}
	for name := range schemas {
		if _, ok := answers[name]; !ok && !strings.HasSuffix(name, "Settings") {
			t.Errorf("schema %s is of no struct", name)
		}
	}
}

// jsonType is how a Go type goes over the socket, as schema.text has it.
func jsonType(of reflect.Type) string {
	switch of {
	case reflect.TypeFor[time.Time]():
		return "string date-time"
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](), reflect.TypeFor[netip.AddrPort]():
		return "string"
	}
	switch of.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array of " + jsonType(of.Elem())
	case reflect.Map:
		return "object of " + jsonType(of.Elem())
	case reflect.Struct:
		return of.Name()
	case reflect.Interface:
		return "anything"
	}
	if of.ConvertibleTo(reflect.TypeFor[int]()) {
		return "integer"
	}
	return of.String()
}

func (s schema) text() string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case s.Type == "array":
		return "array of " + s.Items.text()
	case s.Type == "object" && s.Additional == true:
		return "object of anything"
	case s.Type == "object":
		m, _ := s.Additional.(map[string]any)
		of, _ := m["type"].(string)
		return "object of " + of
	}
	return strings.TrimSpace(s.Type + " " + s.Format)
}

// TestOpenAPISettingsAreThoseOfTheFile asks the parser which keys there are.
func TestOpenAPISettingsAreThoseOfTheFile(t *testing.T) {
	parse := func(text string) error {
		_, err := config.ParseInterface([]byte(text))
		return err
	}
	parseRoute := func(text string) error {
		_, err := config.ParseRoute([]byte(text))
		return err
	}
	for name, err := range map[string]error{
		"InterfaceSettings": parse("{red: 5}"), "KernelSettings": parse("{red: {kernel: 5}}"),
		"RouteSettings": parseRoute("5"), "PathSettings": parseRoute("{prefix: '::/0', paths: [5]}"),
	} {
		_, list, _ := strings.Cut(err.Error(), "with the keys ")
		list, _, _ = strings.Cut(list, "\n")
		want := strings.Split(list, ", ")
		slices.Sort(want)
		got := slices.Sorted(maps.Keys(described(t).Components.Schemas[name].Properties))
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s (-openapi.yaml +parser):\n%s\n%v", name, diff, err)
		}
	}
}

// TestOpenAPIExamplesAreTaken gives the examples of bodies to the parsers.
func TestOpenAPIExamplesAreTaken(t *testing.T) {
	d := described(t)
	for path, parse := range map[string]func([]byte) error{
		"/v1/interfaces": func(b []byte) error { _, err := config.ParseInterface(b); return err },
		"/v1/routes":     func(b []byte) error { _, err := config.ParseRoute(b); return err },
		"/v1/log-level":  func(b []byte) error { var l struct{ Level zap.AtomicLevel }; return json.Unmarshal(b, &l) },
	} {
		for _, method := range []string{"post", "put"} {
			body := d.Paths[path][method].RequestBody.Content["application/json"]
			if body.Example == nil {
				continue
			}
			text, err := json.Marshal(body.Example)
			if err == nil {
				err = parse(text)
			}
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
		}
	}
}

// TestOpenAPINamesTheSocket: whoever reads it finds the router.
func TestOpenAPINamesTheSocket(t *testing.T) {
	if !strings.Contains(string(openAPIText), "--unix-socket "+config.DefaultControl+" ") {
		t.Errorf("openapi.yaml does not name %s", config.DefaultControl)
	}
}
