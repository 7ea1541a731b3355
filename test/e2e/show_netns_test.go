package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/router6d/router6d/internal/control"
)

// The keys of every JSON object that people may rely on. Those with a question
// mark may be absent.
var documented = map[string]string{
	"show interfaces": "id name type origin state disabled? since device netns? lower? vlan? protocol? mac? mtu hop_limit addresses holders traffic",
	"show routes":     "prefix source metric origin target active reason?",
	"show nexthops":   "slot target routes nexthops reason?",
	"show counters": "received originated sent consumed held released dropped balanced batches " +
		"icmp_errors_sent icmp_errors_limited reassembly",
	"show drops": "reason packets text",
	"show fib":   "generation prefixes pairs slots nexthops trie_bytes waiting_bytes idle_bytes pair_bytes bytes_per_route",
	"show epoch": "lookup_dead_total draining_tx_total tx_deadfile_total admission_refused_total attached_total " +
		"detach_clean_total detach_orphaned_total orphans interfaces holders detach_phase_mean_seconds epoch_current readers grace_total grace_mean_seconds " +
		"grace_max_seconds deferred grace_oldest_seconds slowest? snapshot_gen fib_prefixes fib_pairs fib_slots " +
		"fib_nexthops loop_turns uptime_seconds",
	"show events":           "seq time level logger? event fields?",
	"lookup 2001:db8:2::2":  "address verdict interface hop_limit mtu source steps",
	"lookup 2001:db8:11::1": "address verdict interface gateway hop_limit mtu source steps",
	"interface del blue": "id name cause result error? routes_affected slots_rewritten packets_purged readers " +
		"readers_waiting? holders? withdraw_seconds grace_seconds hold_seconds close_seconds total_seconds",
	"lookup 2001:db8:f000::1 --from 2001:db8:1::2": "address from verdict steps",
}

// everyRoute is the lab of configs/02.
const everyRoute = standard + `
  green:
    addresses: [2001:db8:3::1/64]
    kernel: {netns: green, addresses: [2001:db8:3::2/64], routes: ["::/0"]}
routes:
  - {prefix: 2001:db8:10::/48, dev: red}
  - {prefix: 2001:db8:11::/48, via: 2001:db8:1::2}
  - {prefix: 2001:db8:11::/48, dev: blue, via: "fe80::2", metric: 10}
  - prefix: "::/0"
    paths: [{dev: red, via: 2001:db8:1::2, weight: 2}, {dev: green}]
  - {prefix: 2001:db8:f000::/48, refuse: unreachable}
`

func startEveryRoute(t *testing.T) *daemon {
	t.Helper()
	for _, name := range []string{"red", "blue", "green"} {
		namespace(t, name)
	}
	return start(t, everyRoute)
}

func TestJSONHasTheDocumentedKeys(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	for _, words := range slices.Sorted(maps.Keys(documented)) {
		if strings.HasPrefix(words, "interface") {
			continue
		}
		checkKeys(t, d, words)
	}
	checkKeys(t, d, "interface del blue")
}

func checkKeys(t *testing.T, d *daemon, words string) {
	t.Helper()
	var objects []map[string]any
	text := d.do(words + " --json")
	if strings.HasPrefix(text, "{") {
		text = "[" + text + "]"
	}
	if err := json.Unmarshal([]byte(text), &objects); err != nil || len(objects) == 0 {
		t.Errorf("%s: %d objects, %v", words, len(objects), err)
	}
	for _, o := range objects {
		for key := range strings.FieldsSeq(documented[words]) {
			key, may := strings.CutSuffix(key, "?")
			if _, ok := o[key]; !ok && !may {
				t.Errorf("%s: %v lacks %s", words, o, key)
			}
			delete(o, key)
		}
		for key := range o {
			t.Errorf("%s: key %s is not documented", words, key)
		}
	}
}

// TestTextIsReadable is what a person sees in a terminal of 100 columns.
func TestTextIsReadable(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, refusals+"  - {prefix: 2001:db8:11::/48, via: 2001:db8:1::2}\n"+
		"  - {prefix: '::/0', hop-limit: 255, paths: [{dev: red, via: 2001:db8:1::2, weight: 2}, {dev: blue, via: 'fe80::2'}, {dev: red, via: 2001:db8:1::3}]}\n")
	d.do("show nexthops")
	d.do("interface del blue")
	for _, c := range []struct{ words, begins string }{
		{"show interfaces", "ID NAME TYPE STATE"},
		{"show routes", "PREFIX SOURCE METRIC"},
		{"show nexthops", "SLOT TARGET"},
		{"show counters", "received"},
		{"show drops", "PACKETS REASON MEANING"},
		{"show fib", "generation"},
		{"show epoch", "lookup_dead_total 0"},
		{"show events", "1 "},
		{"lookup 2001:db8:11::1", "2001:db8:11::1: forward dev red via 2001:db8:1::2"},
		{"interface del red", "red (id 1) detached clean: requested"},
	} {
		t.Run(c.words, func(t *testing.T) {
			out := lines(d.do(c.words))
			if first := strings.Join(strings.Fields(out[0]), " "); !strings.HasPrefix(first, c.begins) {
				t.Errorf("first line = %q, want %q", out[0], c.begins)
			}
			for _, l := range out {
				if n := utf8.RuneCountInString(l); n > 100 {
					t.Errorf("%d columns: %s", n, l)
				}
				if strings.TrimRight(l, " ") != l {
					t.Errorf("spaces at the end of %q", l)
				}
			}
			checkColumns(t, out)
		})
	}
}

func TestColumnsStandUnderTheirHeads(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	d.do("interface del green")
	for _, words := range []string{"show interfaces", "show routes", "show nexthops", "show drops"} {
		checkColumns(t, lines(d.do(words)))
	}
}

// checkColumns wants each head of a table to stand over what it heads.
func checkColumns(t *testing.T, table []string) {
	t.Helper()
	head := table[0]
	if head != strings.ToUpper(head) {
		return // no table
	}
	for _, row := range table[1:] {
		if strings.HasPrefix(row, "    ") {
			continue // a note about the row above
		}
		for i := 1; i < len(head); i++ {
			begins := head[i] != ' ' && head[i-1] == ' '
			if begins && i < len(row) && (row[i-1] != ' ' || row[i] == ' ' && strings.TrimSpace(row[i:]) != "" && !gap(row, i)) {
				t.Errorf("column %d is not under its head:\n%s\n%s", i, head, row)
			}
		}
	}
}

// gap reports whether a cell of the row is empty at i: two spaces follow.
func gap(row string, i int) bool { return strings.HasPrefix(row[i:], "  ") }

func TestShowInterfaces(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	all := ask[[]control.Interface](d, "show interfaces")
	var got []string
	for _, in := range all {
		got = append(got, fmt.Sprintf("%d %s %s %s@%s %d %d %s", in.ID, in.Name, in.State, in.Device, in.Netns, in.MTU, in.HopLimit, in.Addresses[0]))
		if len(in.Addresses) != 2 || !in.Addresses[1].Addr().IsLinkLocalUnicast() {
			t.Errorf("addresses of %s = %v, want a link-local one too", in.Name, in.Addresses)
		}
	}
	want := []string{
		"1 red up red@red 1500 64 2001:db8:1::1/64",
		"2 blue up blue@blue 1500 64 2001:db8:2::1/64",
		"3 green up green@green 1500 64 2001:db8:3::1/64",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestRoutesAtRunTime(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	const p = "2001:db8:20::/48"
	for _, step := range []struct {
		words string
		code  int
		says  string
		to    string // of a packet to the prefix, afterwards
	}{
		{"route add " + p + " --dev blue", 0, "", "blue"},
		{"route add " + p + " --dev red", 1, "route exists", "blue"},
		{"route add " + p + " --dev red --metric 5", 0, "", "blue"},
		{"route del " + p, 0, "", "red"},
		{"route del " + p, 1, "no static route to " + p + " with metric 0, only with 5", "red"},
		{"route add " + p + " --refuse prohibit --metric 1", 0, "", "prohibit"},
		{"route del " + p + " --metric 1", 0, "", "red"},
		{"route del " + p + " --metric 5", 0, "", "default"},
		{"route del " + p + " --metric 5", 1, "no such route", "default"},
		{"route add " + p + " --via 2001:db8:2::2 --hop-limit 9", 0, "", "blue"},
		{"interface del blue", 0, "clean", "default"}, // the route is offered still, but leads nowhere
		{"interface add blue --address 2001:db8:2::1/64 --netns blue --kernel-address 2001:db8:2::2/64 --kernel-route ::/0", 0, "", "blue"},
		{"route del " + p, 0, "", "default"},
		{"route add " + p + " --path dev=blue,weight=3 --path via=2001:db8:1::2", 0, "", "red blue"},
		{"route del " + p, 0, "", "default"},
		{"route add 2001:db8:20::1/48 --dev red", 1, "2001:db8:20::/48", "default"},
		{"route add " + p, 1, "the route leads nowhere", "default"},
		{"route add " + p + " --dev red --refuse prohibit", 1, "refuse", "default"},
		{"route add " + p + " --refuse prohibit --hop-limit 9", 1, "a refusal has no hop-limit", "default"},
		{"route add " + p + " --dev red --hop-limit 256", 1, "256 is out of range", "default"},
		{"route add 192.0.2.0/24 --dev red", 1, "192.0.2.0/24", "default"},
		{"route del 2001:db8:11::/48 --metric 10", 0, "", "default"}, // also one of the file
	} {
		d.cli(step.words).want(t, step.code, step.says)
		l := ask[control.Lookup](d, "lookup 2001:db8:20::1")
		to := l.Interface
		if to == "" {
			to = l.Verdict
		}
		if l.Steps[len(l.Steps)-1].Prefix == "::/0" {
			to = "default"
		}
		if strings.Contains(step.words, "--hop-limit") && step.code == 0 && l.HopLimit != 9 {
			t.Errorf("after %s the hop limit is %d, want 9", step.words, l.HopLimit)
		}
		if !strings.Contains(step.to, to) {
			t.Errorf("after %s the way is %s, want %s: %+v", step.words, to, step.to, l)
		}
	}
}

func TestLookupSaysWhy(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	d.do("interface del blue")
	for _, c := range []struct {
		words   string
		verdict string
		steps   []string
	}{
		{"lookup 2001:db8:1::2", "forward", []string{"2001:db8:1::/64"}},
		{"lookup 2001:db8:1::1", "deliver", []string{"2001:db8:1::1/128"}},
		{"lookup 2001:db8:f000::1", "unreachable", []string{"2001:db8:f000::/48"}},
		{"lookup 2001:db8:ff::1", "forward", []string{"::/0"}},
	} {
		l := ask[control.Lookup](d, c.words)
		var steps []string
		for _, s := range l.Steps {
			steps = append(steps, s.Prefix)
		}
		if l.Verdict != c.verdict || !slices.Equal(steps, c.steps) {
			t.Errorf("%s = %s by %v, want %s by %v", c.words, l.Verdict, steps, c.verdict, c.steps)
		}
	}
	// A route without a way is passed over, and it is said why.
	d.do("route add 2001:db8:30::/48 --dev blue")
	l := ask[control.Lookup](d, "lookup 2001:db8:30::1")
	if len(l.Steps) != 2 || !strings.Contains(l.Steps[0].Reason, "blue") || l.Steps[1].Prefix != "::/0" {
		t.Errorf("lookup = %+v, want the route to blue passed over", l)
	}
	d.cli("lookup nonsense").want(t, 1, `"nonsense" is not an IPv6 address`)
	d.cli("lookup ff02::1").want(t, 1, "multicast is not forwarded")
	d.cli("lookup fe80::1").want(t, 1, "of one link")
	d.cli("lookup ::1 --from 192.0.2.1").want(t, 1, `"192.0.2.1" is not an IPv6 address`)
}

// TestLookupFrom finds sources for both ways of the default route.
func TestLookupFrom(t *testing.T) {
	privileged(t)
	d := startEveryRoute(t)
	by := map[string]int{}
	from := netip.MustParseAddr("2001:db8:1::100")
	for range 60 {
		from = from.Next()
		l, err := d.Lookup(t.Context(), "2001:db8:ff::1", from.String())
		if err != nil {
			t.Fatal(err)
		}
		by[l.Interface]++
		again, err := d.Lookup(t.Context(), "2001:db8:ff::1", from.String())
		if err != nil || again.Interface != l.Interface {
			t.Errorf("from %s by %s, then by %s, %v", from, l.Interface, again.Interface, err)
		}
	}
	if by["red"] == 0 || by["green"] == 0 || by["red"]+by["green"] != 60 {
		t.Errorf("ways of 60 sources = %v, want red and green", by)
	}
}
