package netlab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// Two namespaces, a cable, and a second of bytes that arrive as they were sent.
// It needs root, so it is compiled only.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	left, _ := netlab.NewNamespace("left")
	right, _ := netlab.NewNamespace("right")
	defer left.Delete()  //nolint:errcheck // an example
	defer right.Delete() //nolint:errcheck // an example

	_ = netlab.Connect(left, "eth0", right, "eth0")
	_ = left.AddAddress("eth0", netip.MustParsePrefix("2001:db8::1/64"))
	_ = right.AddAddress("eth0", netip.MustParsePrefix("2001:db8::2/64"))

	sink, _ := netlab.StartTCPSink(right, netip.MustParseAddrPort("[2001:db8::2]:0"))
	flow, _ := netlab.StartTCPFlow(ctx, left, netip.MustParseAddr("2001:db8::1"), sink.Addr(), 0)
	<-ctx.Done()
	report, err := flow.Stop(context.Background())
	_, _ = fmt.Fprintln(os.Stdout, report.Verified == report.Sent, err, sink.Stop())
}
