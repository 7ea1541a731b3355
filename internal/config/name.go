package config

import (
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is IFNAMSIZ without the final zero byte.
const maxName = 15

// CheckName says whether the kernel would take s as the name of a device. It is narrower than the kernel in two things:
// a name is printable ASCII, and has no comma, which ends a name in ParsePath.
func CheckName(s string) error {
	const rule = "use 1 to 15 letters, digits, '-', '_' or '.'"
	switch {
	case s == "":
		return wrong(rule, "an interface name is empty")
	case len(s) > maxName:
		return wrong(rule, "interface name %s has %d bytes", show(s), len(s))
	case s == "." || s == "..":
		return wrong(rule, "%s is not an interface name", show(s))
	case s == "all" || s == "default":
		return wrong("choose another name", "interface name %s belongs to the kernel's sysctl tree", show(s))
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%,", r) {
			return wrong(rule, "interface name %s has %q in it", show(s), r)
		}
	}
	return nil
}

// ParseSocket parses the path of a unix socket.
func ParseSocket(s string) (string, error) {
	const longest = 107 // sun_path without the final zero byte, unix(7)
	if len(s) > longest {
		return "", wrong("use a shorter one", "socket path has %d bytes, and the kernel takes %d", len(s), longest)
	}
	return s, checkPath(s)
}

// ParseFile parses the path of a file.
func ParseFile(s string) (string, error) { return s, checkPath(s) }

// ParseName parses a name that somebody else has given: of a user, a service, an access concentrator. Where it goes, there
// is room for 255 bytes.
func ParseName(s string) (string, error) {
	const longest = 255
	switch {
	case s == "":
		return "", wrong("leave the key out, or write a name", "the name is empty")
	case len(s) > longest:
		return "", wrong("use the one you were given", "the name has %d bytes, and there is room for %d", len(s), longest)
	case strings.ContainsFunc(s, unprintable) || !utf8.ValidString(s):
		return "", wrong("remove it", "name %s has a character in it that cannot be seen", show(s))
	}
	return s, nil
}

// ParsePassword parses a password, which its message does not repeat.
func ParsePassword(s string) (string, error) {
	const longest = 255
	if len(s) > longest {
		return "", wrong("use the one you were given", "the password has %d bytes, and there is room for %d", len(s), longest)
	}
	return s, nil
}

// checkPath says whether s is the absolute path of a file, written in one way only.
func checkPath(s string) error {
	switch {
	case strings.ContainsFunc(s, unprintable) || !utf8.ValidString(s):
		return wrong("remove it", "path %s has a character in it that cannot be seen", show(s))
	case !filepath.IsAbs(s):
		return wrong("write the whole path, from /", "path %s is relative", show(s))
	case s == "/":
		return wrong("name a file in it", "path %s is the root directory", show(s))
	case filepath.Clean(s) != s:
		return wrong("write "+filepath.Clean(s), "path %s has parts that lead nowhere", show(s))
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
