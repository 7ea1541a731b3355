package lab

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// FullTable is the IPv6 prefixes of a real full Internet routing table: 160,147
// of the default-free zone, out of the test data of the module bart. Borrowed.
func FullTable(t testing.TB) []netip.Prefix {
	t.Helper()
	all, err := fullTable()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var fullTable = sync.OnceValues(func() ([]netip.Prefix, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		return nil, fmt.Errorf("full table: find the module bart: %w", err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "internal", "tests", "testdata", "prefixes.txt.gz"))
	if err != nil {
		return nil, fmt.Errorf("full table: %w", err)
	}
	defer f.Close() // nothing was written
	return readPrefixes(f)
})

func readPrefixes(r io.Reader) (all []netip.Prefix, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("full table: %w", err)
	}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		// The file has IPv4 prefixes as well.
		if p, err := netip.ParsePrefix(lines.Text()); err == nil && p.Addr().Is6() {
			all = append(all, p)
		}
	}
	return all, lines.Err()
}

// Prefixes is n prefixes: a sample of the full table, or the table grown by
// more-specific ones of its own. The same ones at every call.
func Prefixes(t testing.TB, n int) []netip.Prefix {
	t.Helper()
	rng := rand.New(rand.NewPCG(6, 6))
	full := FullTable(t)
	if n <= len(full) {
		some := make([]netip.Prefix, n)
		for i, k := range rng.Perm(len(full))[:n] {
			some[i] = full[k]
		}
		return some
	}
	all := append([]netip.Prefix(nil), full...)
	seen := make(map[netip.Prefix]bool, n)
	for _, p := range full {
		seen[p] = true
	}
	for len(all) < n {
		p := within(full[rng.IntN(len(full))], rng)
		if !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// within is a prefix in p, up to 16 bits longer.
func within(p netip.Prefix, rng *rand.Rand) netip.Prefix {
	a := p.Addr().As16()
	bits := min(128, p.Bits()+1+rng.IntN(16))
	for i := p.Bits(); i < bits; i++ {
		a[i/8] |= byte(rng.Uint32()&1) << (7 - i%8)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked()
}
