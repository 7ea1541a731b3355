package fds_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/router6d/router6d/internal/netlab/fds"
)

func TestSince(t *testing.T) {
	before, err := fds.Open()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // nothing was written
	after, err := fds.Open()
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(maps.Values(after.Since(before)))
	if want := []string{os.DevNull}; !slices.Equal(got, want) {
		t.Errorf("new descriptors = %v, want %v", got, want)
	}
	if got := before.Since(before); len(got) != 0 {
		t.Errorf("new since itself = %v, want none", got)
	}
}

func TestSinceSeesANumberUsedAgain(t *testing.T) {
	before := fds.Set{3: "socket:[1]", 4: "/dev/null"}
	after := fds.Set{3: "socket:[2]", 4: "/dev/null"}
	if got, want := after.Since(before).String(), "3: socket:[2]\n"; got != want {
		t.Errorf("Since = %q, want %q", got, want)
	}
}
