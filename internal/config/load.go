package config

import (
	"fmt"
	"io"
	"os"
)

// maxText is more than ten thousand routes, a line each. It bounds what a wrong path, as /dev/zero, can cost.
const maxText = 1 << 20

// Load reads and parses a file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Parse parses the text of a file. Its name is used in errors only, which are of type Errors.
func Parse(name string, text []byte) (*Config, error) {
	var c *Config
	err := parse(name, text, func(d *decoder, root *node) { c = d.config(root) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads a text with the decoder that read asks.
func parse(name string, text []byte, read func(*decoder, *node)) error {
	root, faults := parseTree(text)
	if len(faults) > 0 {
		return tell(name, text, faults)
	}
	d := newDecoder()
	read(d, root)
	if len(d.faults) > 0 {
		return tell(name, text, d.faults)
	}
	return nil
}

// request is what a text that comes from no file is called in errors.
const request = "request"

// ParseInterface parses one interface as it stands in a file, under its name:
// red: {addresses: [2001:db8:1::1/64]}. JSON will do. It may be on any other. The error is of type Errors.
func ParseInterface(text []byte) (i Interface, err error) {
	err = parse(request, text, func(d *decoder, n *node) {
		d.anyDev = true
		if is := d.interfaces(n); len(is) == 1 {
			i = is[0]
			i.Line = 0
		} else if len(d.faults) == 0 {
			d.fail(mark{}, n, wrong("", "found %d interfaces, want one", len(is)))
		}
	})
	return i, err
}

// ParseRoute parses one route as it stands in a file. Its paths may name any interface. The error is of type Errors.
func ParseRoute(text []byte) (r Route, err error) {
	err = parse(request, text, func(d *decoder, n *node) {
		d.anyDev = true
		r = d.route(n)
		r.Line = 0
	})
	return r, err
}
