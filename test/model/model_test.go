package model

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// Every interleaving: nothing asserted fails, and nobody waits for ever.
func TestLifetimeHolds(t *testing.T) {
	if verdict := explore(t, ""); verdict != "" {
		t.Error(verdict)
	}
}

// What is wrong with each mutant is found, and is what should be found.
func TestLifetimeMutants(t *testing.T) {
	const (
		anothersDevice  = `assertion violated \(\(device\[number\[via\]\]==via\)`
		deadLookup      = `assertion violated \(\(w==0\)\|\|\(gen<w\)\)`
		stillNamed      = `assertion violated \(leads!=1\)`
		leftBehind      = `assertion violated \(\(refs\[1\]==0\)&&\(held\[1\]==0\)\)`
		afterTheReport  = `assertion violated \(\(\(via!=1\)\|\| !\(reported\)\)`
		nobodyWakesLoop = `invalid end state`
	)
	for mutant, want := range map[string]string{
		"LOAD_BEFORE_ENTER":     anothersDevice,
		"NO_GUARD":              anothersDevice,
		"NO_GRACE":              anothersDevice,
		"STAMP_BEFORE_WITHDRAW": anothersDevice,
		"LOOK_BEFORE_WATCH":     nobodyWakesLoop,
		"NO_GATE":               deadLookup,
		"NOTE_AFTER_RESTORE":    deadLookup,
		"NO_WITHDRAW":           stillNamed,
		"PURGE_IN_TWO_STEPS":    leftBehind,
		"ORPHAN_WITHOUT_SEVER":  afterTheReport,
		// Not a bug of ours but what is assumed: that the kernel ends a device
		// within a quarter of the timeout.
		"SLOW_KERNEL": afterTheReport,
	} {
		t.Run(mutant, func(t *testing.T) {
			if verdict := explore(t, mutant); !regexp.MustCompile(want).MatchString(verdict) {
				t.Errorf("found %q, want %s", verdict, want)
			}
		})
	}
}

// Each mutant in the model is tried.
func TestEveryMutantIsTried(t *testing.T) {
	model, err := os.ReadFile("lifetime.pml")
	if err != nil {
		t.Fatal(err)
	}
	test, err := os.ReadFile("model_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`#ifn?def (\w+)`).FindAllSubmatch(model, -1) {
		if !bytes.Contains(test, append([]byte(`"`), append(m[1], '"')...)) {
			t.Errorf("%s is not tried", m[1])
		}
	}
}

var found = regexp.MustCompile(`(?m)^pan:1: .*$`)

// explore returns the first thing wrong that SPIN finds in the model with a
// mutation; nothing if it has seen all states without.
func explore(t *testing.T, mutation string) string {
	t.Helper()
	nstest.Privileged(t)
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	model, err := filepath.Abs("lifetime.pml")
	if err != nil {
		t.Fatal(err)
	}
	spin := []string{"-a"}
	if mutation != "" {
		spin = append(spin, "-D"+mutation)
	}
	run("spin", append(spin, model)...)
	run("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
	out := run("./pan", "-m100000")
	switch {
	case found.MatchString(out):
		return found.FindString(out)
	case strings.Contains(out, "errors: 0") && !strings.Contains(out, "max search depth too small"):
		t.Log(regexp.MustCompile(`(?m)^.*states, stored.*$`).FindString(out))
		return ""
	}
	t.Fatalf("SPIN did not come to an end:\n%s", out)
	return ""
}
