package lab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/router6d/router6d/"

// picture is who may import whom, of what is ours. To add an edge is to change
// the picture in ARCHITECTURE.md.
var picture = map[string][]string{
	"cmd/router6d": {"internal/capture", "internal/config", "internal/control", "internal/demo", "internal/events", "internal/health", "internal/metrics", "internal/router", "internal/service", "internal/web", "tcpstack"},

	"internal/web": {"internal/config", "internal/events", "internal/httpd"},

	"internal/control": {
		"internal/router", "internal/capture", "internal/config", "internal/events", "internal/header", "internal/health", "internal/httpd", "internal/loop",
		"dataplane", "fib", "ifmgr", "ifmgr/nd", "pppoe", "rib", "tcpstack",
	},
	"internal/metrics": {"dataplane", "fib", "ifmgr", "ifmgr/nd", "internal/httpd", "internal/loop", "internal/reassembly", "pppoe", "tcpstack"},
	"internal/capture": {"dataplane", "internal/header"},
	"internal/health":  {"internal/loop"},
	"internal/httpd":   nil,
	"internal/service": {},
	"internal/router":  {"dataplane", "fib", "ifmgr", "rib", "tcpstack", "internal/config", "internal/epoch", "internal/link", "internal/loop"},

	"dataplane": {"fib", "ifmgr", "ifmgr/nd", "internal/epoch", "internal/header", "internal/link", "internal/loop", "internal/rate", "internal/reassembly"},
	"tcpstack":  {"dataplane", "internal/header", "internal/link", "internal/rate"},
	"rib":       {"fib", "ifmgr", "internal/loop"},
	"fib":       {"ifmgr", "internal/epoch", "internal/link", "internal/loop"},
	"ifmgr":     {"ifmgr/nd", "internal/config", "internal/epoch", "internal/header", "internal/link", "internal/loop", "pppoe", "pppoe/ppp"},

	"ifmgr/nd": {"internal/header", "internal/rate"},

	"pppoe":     {"pppoe/ppp"},
	"pppoe/ppp": {},
	"pppoe/ac":  {"pppoe", "pppoe/ppp"},

	"internal/loop":   {"internal/epoch"},
	"internal/link":   {"internal/header"},
	"internal/epoch":  {},
	"internal/header": {},
	"internal/config": {},
	"internal/events": {},
	"internal/rate":   {},

	"internal/reassembly": {"internal/header"},

	// Faults for tests to see; nothing unless a build tag says so.
	"internal/fault": {},

	// Scenery.
	"internal/demo": {
		"internal/router", "internal/control", "internal/config", "internal/events", "internal/loop",
		"internal/netlab", "internal/netlab/fds", "dataplane", "fib", "ifmgr", "rib",
	},
	"internal/netlab":        {"internal/config", "internal/header", "internal/link"},
	"internal/netlab/fds":    {},
	"internal/netlab/nstest": {"internal/netlab/fds"},
	"internal/lab": {
		"dataplane", "fib", "ifmgr", "rib", "internal/epoch", "internal/header", "internal/link", "internal/loop",
	},
}

// faulty may have faults built in.
var faulty = []string{"dataplane", "fib", "ifmgr", "internal/epoch", "internal/loop", "internal/router"}

// outside is what only some may import of what is not ours.
var outside = map[string][]string{
	"go.uber.org/zap":                     {"cmd/router6d", "internal/control", "internal/router", "internal/demo", "internal/events", "internal/lab", "ifmgr"},
	"golang.zx2c4.com/wireguard":          {"internal/link"},
	"github.com/vishvananda":              {"ifmgr", "internal/netlab", "internal/netlab/nstest"},
	"github.com/spf13/cobra":              {"cmd/router6d"},
	"github.com/goccy/go-yaml":            {"internal/config"},
	"go.uber.org/goleak":                  {"internal/lab", "internal/netlab/nstest"},
	"testing":                             {"internal/lab", "internal/netlab/nstest"},
	"unsafe":                              {"fib", "internal/link", "internal/netlab"},
	"github.com/google/go-cmp":            {},
	"github.com/gaissmai/bart":            {},
	"pgregory.net/rapid":                  {},
	"github.com/anishathalye/porcupine":   {},
	"github.com/rogpeppe/go-internal":     {},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"gvisor.dev/gvisor":                   {"tcpstack"},
	"github.com/gopacket/gopacket":        {"internal/capture"},
	"github.com/mdlayher/ndp":             {},
	"golang.org/x/crypto":                 {"pppoe/ppp"},
	"github.com/coreos/go-systemd":        {"cmd/router6d"},
}

// A listed is what go list says of a package.
type listed struct {
	ImportPath string
	Imports    []string // without those of tests
}

func packages(t *testing.T) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// The picture of imports is true.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "test/") { // tests of the whole
			continue
		}
		allowed, known := picture[name]
		if !known {
			t.Errorf("%s is not in the picture", name)
		}
		for _, imported := range p.Imports {
			of, ours := strings.CutPrefix(imported, module)
			switch {
			case of == "internal/fault" && slices.Contains(faulty, name):
			case ours && !slices.Contains(allowed, of):
				t.Errorf("%s imports %s, which is not in the picture", name, of)
			case !ours && !mayImport(name, imported):
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

func mayImport(name, imported string) bool {
	for prefix, who := range outside {
		if imported == prefix || strings.HasPrefix(imported, prefix+"/") {
			return slices.Contains(who, name)
		}
	}
	return true
}

// Nothing that is built in imports what is for tests only.
func TestLabIsForTests(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, module+"internal/lab") {
			t.Errorf("%s imports internal/lab", p.ImportPath)
		}
	}
}
