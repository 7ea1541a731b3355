package config_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
)

var rewrite = flag.Bool("rewrite", false, "remake the expected errors in testdata")

// same compares what two texts mean; lines are not part of it.
var same = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b config.Netns) bool { return a == b }),
	cmpopts.IgnoreFields(config.Interface{}, "Line"),
	cmpopts.IgnoreFields(config.Route{}, "Line"),
}

func TestExampleFilesLoad(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("files = %v, %v, want at least four", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, c)
		})
	}
}

// roundTrip checks that a Config, written and parsed, is the same.
func roundTrip(t testing.TB, c *config.Config) {
	t.Helper()
	text := c.YAML()
	again, err := config.Parse("again.yaml", text)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if diff := cmp.Diff(c, again, same); diff != "" {
		t.Fatalf("parsed again, it differs (-got +want):\n%s\nin\n%s", diff, text)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	got, err := config.Load("../../configs/03-every-key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Control:       "/run/router6d/lab.sock",
		DetachTimeout: 500 * time.Millisecond,
		ICMPErrors:    500,
		Log:           config.Log{Level: config.LevelDebug, Format: config.FormatConsole},
		Metrics:       config.Metrics{Listen: netip.MustParseAddrPort("[::1]:9406")},
		Interfaces: []config.Interface{{
			Name: "red", Type: config.TypeTUN, Mode: config.ModeCreate, Recreate: true, MTU: 9000, HopLimit: 255, NoUnreachables: true, Queues: 2,
			Addresses: parsed(t, config.ParseAddress, "2001:db8:1::1/64", "2001:db8:ff::/127", "fe80::1/64"),
			Kernel: &config.Kernel{
				Netns:      parsed(t, config.ParseNetns, "/run/netns/red")[0],
				Addresses:  parsed(t, config.ParseAddress, "2001:db8:1::2/64", "2001:db8:ff::1/127"),
				Routes:     parsed(t, config.ParseRoutePrefix, "::/0", "2001:db8:9::/48"),
				TxQueueLen: 1000,
			},
		}, {
			Name: "blue", Type: config.TypeTUN, Mode: config.ModeCreate, MTU: 1500, HopLimit: 64,
		}},
		Routes: []config.Route{{
			Prefix: netip.MustParsePrefix("2001:db8:2::/64"),
			Metric: 1024, HopLimit: 32,
			Paths: parsed(t, config.ParsePath, "dev=red,via=2001:db8:1::9"),
		}, {
			Prefix: netip.MustParsePrefix("::/0"),
			Paths:  parsed(t, config.ParsePath, "dev=red,via=fe80::9,weight=100", "via=2001:db8:1::a", "dev=blue"),
		}, {
			Prefix: netip.MustParsePrefix("2001:db8:f::/48"),
			Refuse: config.RefuseUnreachable,
		}},
	}
	if diff := cmp.Diff(got, want, same); diff != "" {
		t.Errorf("config (-got +want):\n%s", diff)
	}
	if got, want := got.Interfaces[1].Line, 53; got != want {
		t.Errorf("line of blue = %d, want %d", got, want)
	}
	if got, want := got.Routes[0].Line, 57; got != want {
		t.Errorf("line of the first route = %d, want %d", got, want)
	}
}

func parsed[T any](t *testing.T, parse func(string) (T, error), texts ...string) (vs []T) {
	t.Helper()
	for _, s := range texts {
		v, err := parse(s)
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

func TestSmallestFileIsTheDefault(t *testing.T) {
	for _, text := range []string{
		"interfaces: {}\n",
		"interfaces:",
		"---\r\ninterfaces:\r\n...\r\n",
		"# none\nroutes: []\ninterfaces: {}",
	} {
		got, err := config.Parse("small.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, config.Default(), same); diff != "" {
			t.Errorf("%q (-got +want):\n%s", text, diff)
		}
	}
}

// TestMistakes runs testdata/*.txt: stories of a name, a text, what the text is told, separated by ---- and ====.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("files = %v, %v", files, err)
	}
	for _, file := range files {
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var remade []string
		for story := range strings.SplitSeq(string(old), "====\n") {
			head, want, _ := strings.Cut(story, "----\n")
			name, text, _ := strings.Cut(head, "\n")
			got := mistake(text)
			remade = append(remade, head+"----\n"+got)
			if !*rewrite && got != want {
				t.Errorf("%s: %s\ngot\n%s\nwant\n%s", file, name, got, want)
			}
		}
		if *rewrite {
			if err := os.WriteFile(file, []byte(strings.Join(remade, "====\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func mistake(text string) string {
	if _, err := config.Parse("r.yaml", []byte(text)); err != nil {
		return err.Error() + "\n"
	}
	return "accepted\n"
}

// TestColonsInLists is about what mend does: the library alone reads most of these as keys.
func TestColonsInLists(t *testing.T) {
	for _, list := range []string{
		"[2001:db8::1/64]", "[ 2001:db8::1/64 ]", "[2001:db8::1/64,]", "[2001:db8::1/64 ]", "[\"2001:db8::1/64\"]", "\n  [\n  2001:db8::1/64\n  ]",
	} {
		want := parsed(t, config.ParseAddress, "2001:db8::1/64")
		c, err := config.Parse("r.yaml", []byte("interfaces: {red: {mtu: 1500, addresses: "+list+"}}\n"))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(c.Interfaces[0].Addresses, want, same); diff != "" {
			t.Errorf("%s (-got +want):\n%s", list, diff)
		}
	}
	c, err := config.Parse("r.yaml", []byte("interfaces: {red: {kernel: {routes: [::/0, 2001:db8::/32, 8000::/1]}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Interfaces[0].Kernel.Routes, parsed(t, config.ParseRoutePrefix, "::/0", "2001:db8::/32", "8000::/1"), same); diff != "" {
		t.Errorf("routes (-got +want):\n%s", diff)
	}
}

func TestTextThatIsNoText(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"not UTF-8", "interfaces: {}\n# caf\xe9\n", "r.yaml:2:6: byte 0xe9 is not UTF-8\n    2 | # caf\ufffd\n      |      ^\n      = save the file as UTF-8"},
		{"a zero byte", "interfaces: \x00{}\n", "r.yaml:1:13: control character U+0000\n    1 | interfaces: \ufffd{}\n      |             ^\n      = remove it"},
		{"a lone carriage return", "a: 1\rb: 2", "r.yaml:1:5: control character U+000D\n    1 | a: 1\ufffdb: 2\n      |     ^\n      = remove it"},
		{"a byte order mark", "\ufeffinterfaces: {}\n", "r.yaml: the file begins with a byte order mark\n      = save the file without it"},
		{"too large", strings.Repeat("# padding\n", 1<<17), "r.yaml: the file has more than 1048576 bytes\n      = add routes at run time instead"},
		{"empty", "", "r.yaml: the file is empty\n      = the smallest file is one line, \"interfaces: {}\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("r.yaml", []byte(tt.text))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error =\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestHostileTextEndsSoon(t *testing.T) {
	for name, text := range map[string]string{
		"lists in each other":   strings.Repeat("[", 1<<19),
		"dashes":                strings.Repeat("- ", 1<<19),
		"keys":                  strings.Repeat("a: 1\n", 1<<17),
		"anchors":               strings.Repeat("&a ", 1<<18),
		"mistakes":              "interfaces:\n  red: {}\nroutes:\n" + strings.Repeat("  - {}\n", 1<<14),
		"one long key":          "interfaces: {" + strings.Repeat("x", 1<<19) + ": {a: 1, b: 2}}\n",
		"one long word":         strings.Repeat("x", 1<<20),
		"many names, all wrong": "interfaces: {" + strings.Repeat("a/b: {}, ", 1<<14) + "}\n",
	} {
		start := processorTime(t)
		_, err := config.Parse("r.yaml", []byte(text))
		took := processorTime(t) - start
		var es config.Errors
		if !errors.As(err, &es) || len(es) > 11 {
			t.Errorf("%s: error = %T with %d, want up to 11", name, err, len(es))
		}
		if len(err.Error()) > 1<<13 {
			t.Errorf("%s: error has %d bytes", name, len(err.Error()))
		}
		if took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// processorTime is what this process has had of the processors, however busy they
// are with others.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestTenThousandRoutesLoad(t *testing.T) {
	var b strings.Builder
	b.WriteString("interfaces: {red: {}}\nroutes:\n")
	for i := range 9_900 {
		b.WriteString("  - {prefix: \"2001:db8:" + hex(i) + "::/48\", dev: red}\n")
	}
	c, err := config.Parse("many.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(c.Routes), 9_900; got != want {
		t.Errorf("routes = %d, want %d", got, want)
	}
	roundTrip(t, c)
}

func hex(i int) string {
	const digits = "0123456789abcdef"
	return string([]byte{'1' + byte(i>>12&7), digits[i>>8&15], digits[i>>4&15], digits[i&15]})
}

func TestLoadNamesTheFileThatIsMissing(t *testing.T) {
	_, err := config.Load("testdata/missing.yaml")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "testdata/missing.yaml") {
		t.Errorf("error = %v", err)
	}
}
