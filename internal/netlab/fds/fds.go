// Package fds lists the descriptors this process holds, to see what it forgot
// to close.
package fds

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Set is descriptors, by number, with what they are open on: a path, or a
// name as "socket:[4242]".
type Set map[int]string

// Open lists the descriptors of this process.
func Open() (Set, error) {
	const dir = "/proc/self/fd"
	// Unlike ReadDir, Open has the runtime open its poller, if nothing has yet:
	// it will not look like a leak later.
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	entries, err := f.ReadDir(-1)
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	open := make(Set, len(entries))
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		number, bad := strconv.Atoi(e.Name())
		if err == nil && bad == nil { // not so f
			open[number] = target
		}
	}
	return open, nil
}

// Since returns the descriptors that were not there before, or were open on
// something else.
func (s Set) Since(before Set) Set {
	added := make(Set)
	for number, target := range s {
		if before[number] != target {
			added[number] = target
		}
	}
	return added
}

// String lists them in order, one a line.
func (s Set) String() string {
	var b strings.Builder
	for _, number := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%d: %s\n", number, s[number])
	}
	return b.String()
}
