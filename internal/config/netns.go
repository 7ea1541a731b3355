package config

import (
	"fmt"
	"strings"
)

// Netns says which network namespace is meant. The zero value is the router's own. It is comparable.
type Netns struct {
	text string // as it was written
	path string // the file that holds the namespace; empty if text is
}

// ParseNetns parses the name of a namespace in /run/netns, the absolute path of a namespace file, or pid:N.
func ParseNetns(s string) (Netns, error) {
	const use = "write a name in /run/netns, an absolute path, or pid:N"
	pid, isPID := strings.CutPrefix(s, "pid:")
	switch {
	case s == "":
		return Netns{}, wrong(use, "a namespace is empty")
	case isPID:
		return pidNetns(s, pid)
	case strings.HasPrefix(s, "/"):
		return Netns{s, s}, checkPath(s)
	case strings.Contains(s, "/"):
		return Netns{}, wrong(use, "namespace path %s is relative", show(s))
	case s == "." || s == ".." || len(s) > 255 || strings.ContainsFunc(s, notInName):
		return Netns{}, wrong(use, "%s is not the name of a namespace", show(s))
	}
	return Netns{s, "/run/netns/" + s}, nil
}

func pidNetns(s, pid string) (Netns, error) {
	const most = 1 << 22 // PID_MAX_LIMIT
	n, err := whole[int](pid, 1, most)
	if err != nil {
		return Netns{}, wrong("write pid: and the number of a process, as pid:4711", "%s names no process", show(s))
	}
	return Netns{s, fmt.Sprintf("/proc/%d/ns/net", n)}, nil
}

// notInName keeps to what a file name needs no quotes for: ip-netns(8) takes more.
func notInName(r rune) bool { return r <= ' ' || r >= 0x7f }

// Path returns the file to open, or nothing for the router's own namespace.
func (n Netns) Path() string { return n.path }

// String returns the namespace as it was written, or nothing for the router's own.
func (n Netns) String() string { return n.text }
