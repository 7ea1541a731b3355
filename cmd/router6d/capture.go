package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/capture"
	"github.com/router6d/router6d/internal/control"
)

func captureCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "capture INTERFACE",
		Short: "Packets as they pass an interface, and why some end here",
		Long: "Packets as they pass an interface of a running router, with the reason of each\n" +
			"that is dropped: pcapng into a file or a pipe, and a line each on a terminal. It\n" +
			"ends with the interface, the router, or an interrupt. Forwarding does not wait for\n" +
			"it: what is not taken in time is lost, and counted.",
		Example: "  router6d capture red --write red.pcapng\n  router6d capture red --drops | tshark -r - -T fields -e frame.comment",
		Args:    operands(1, 1),
	}
	socket := socketFlag(c)
	f := c.Flags()
	file := f.StringP("write", "w", "", "write pcapng to this file, and not to the standard output")
	drops := f.Bool("drops", false, "only what is dropped")
	count := f.Uint64("count", 0, "end after so many packets (default no end)")
	snap := f.Uint16("snaplen", 0, "bytes that are kept of each packet (default all)")
	c.RunE = func(c *cobra.Command, names []string) error {
		what := control.CaptureRequest{Interface: names[0], Drops: *drops, Count: *count, Snap: int(*snap)}
		return control.NewClient(*socket).Capture(c.Context(), what, func(stream io.Reader) error {
			return receive(stream, *file, c.ErrOrStderr())
		})
	}
	return c
}

// receive takes a capture to where it is to go, and says what it was.
func receive(stream io.Reader, file string, notes io.Writer) error {
	out := os.Stdout
	if file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // what people say to each other
		if err != nil {
			return err
		}
		defer f.Close() // it is closed below
		out = f
	}
	show := func(p capture.Packet) { fmt.Fprintln(out, p) }
	if !isTerminal(out) {
		stream, show = io.TeeReader(stream, out), func(capture.Packet) {}
	}
	err := follow(stream, show, notes)
	if file != "" {
		err = errors.Join(err, out.Close())
	}
	return err
}

// follow shows each packet of a capture and says at its end how many there were.
func follow(stream io.Reader, show func(capture.Packet), notes io.Writer) error {
	r, err := capture.NewReader(stream)
	if err != nil {
		return err
	}
	fmt.Fprintln(notes, "capture begun")
	n := 0
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		n++
		show(p)
	}
	lost, err := r.Lost()
	fmt.Fprintf(notes, "%d packets captured, %d lost\n", n, lost)
	return err
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
