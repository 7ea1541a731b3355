package events

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Details is the fields of an event for people: those that say which interface first,
// and the rest by name.
func Details(fields map[string]any) string {
	keys := slices.Sorted(maps.Keys(fields))
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		v := fields[k]
		if s, ok := v.(float64); ok && slices.Contains(durations, k) {
			v = Seconds(s)
		}
		all = append(all, fmt.Sprintf("%s=%v", k, v))
	}
	return strings.Join(all, " ")
}

func rank(field string) int {
	first := []string{"iface", "id", "cause"}
	if i := slices.Index(first, field); i >= 0 {
		return i
	}
	return len(first)
}

// durations are the fields that are seconds.
var durations = []string{"took", "withdraw", "grace", "hold", "close", "uptime"}

// Seconds is a time in seconds as people read it.
func Seconds(s float64) time.Duration {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Second:
		return d.Round(time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}
