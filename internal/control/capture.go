package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/capture"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/router"
)

const (
	// lookInterval is how soon a capture ends after its interface.
	lookInterval = 100 * time.Millisecond
	// lastWords is for what is under way when a capture ends.
	lastWords = time.Second
)

// CaptureRequest says what is to be captured.
type CaptureRequest struct {
	Interface string
	Drops     bool   // only what is dropped
	Count     uint64 // of packets, and then it ends; zero: no end
	Snap      int    // bytes kept of each; zero: all
}

func (c *CaptureRequest) query() url.Values {
	return url.Values{
		"interface": {c.Interface},
		"drops":     {strconv.FormatBool(c.Drops)},
		"count":     {strconv.FormatUint(c.Count, 10)},
		"snaplen":   {strconv.Itoa(c.Snap)},
	}
}

func parseCapture(q *http.Request) (c CaptureRequest, err error) {
	c.Interface = q.FormValue("interface")
	if c.Drops, err = parseFlag(q, "drops"); err != nil {
		return c, err
	}
	if c.Count, err = parseNumber("count", q.FormValue("count")); err != nil {
		return c, err
	}
	snap, err := parseNumber("snaplen", q.FormValue("snaplen"))
	c.Snap = int(snap)
	return c, err
}

// parseNumber is zero for who does not say.
func parseNumber(what, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number", what, text)
	}
	return n, nil
}

// capture streams pcapng until the client has enough, its half of the connection
// ends, the interface or the router does. A client that is late delays its own
// stream, and after that loses packets.
func (s *Server) capture(w http.ResponseWriter, q *http.Request) {
	c, err := parseCapture(q)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	t := &tapping{r: s.r, name: c.Interface, count: c.Count, tap: dataplane.NewTap(c.Snap, c.Drops)}
	if err := s.r.Loop.Do(q.Context(), t.begin); err != nil {
		reply(w, struct{}{}, err)
		return
	}
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	out := http.NewResponseController(w)
	defer context.AfterFunc(s.ending, func() {
		_ = out.SetWriteDeadline(time.Now().Add(lastWords)) // who is stalled is cut off
		cancel()
	})()
	w.Header().Set("Content-Type", "application/x-pcapng")
	if t.Writer, err = capture.NewWriter(w, c.Interface, t.tap.Snap(), t.tap.Frames()); err == nil {
		err = t.stream(ctx, out)
	}
	t.untap()
	if err == nil { // else the client has gone
		_ = t.end()
	}
}

// A tapping is one capture. It has the interface's ID, and no hold of it.
type tapping struct {
	*capture.Writer
	r     *router.Router
	name  string
	id    ifmgr.ID
	count uint64
	tap   *dataplane.Tap
}

// begin finds the interface and taps it.
func (t *tapping) begin(turn *loop.Turn) error {
	id, ok := t.r.Interfaces.Lookup(turn, t.name)
	if !ok {
		return fmt.Errorf("%s: %w", t.name, ifmgr.ErrNotFound)
	}
	t.id = id
	return t.r.Plane.Tap(turn, id, t.tap)
}

func (t *tapping) untap() {
	// A loop that has ended has no workers either.
	_ = t.r.Loop.Do(context.Background(), func(turn *loop.Turn) error {
		t.r.Plane.Untap(turn, t.tap)
		return nil
	})
}

// errOver ends a capture of so many packets.
var errOver = errors.New("enough")

// stream writes what is seen until there is an end. It fails when the client
// takes no more.
func (t *tapping) stream(ctx context.Context, out *http.ResponseController) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		err := t.tap.Each(func(s *dataplane.Sight) error { return t.packet(ctx, s) })
		if errors.Is(err, errOver) {
			return nil
		}
		if err = errors.Join(err, t.Flush(), out.Flush()); err != nil {
			return err
		}
		select {
		case <-t.tap.More():
		case <-tick.C:
			if t.over(ctx) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *tapping) packet(ctx context.Context, s *dataplane.Sight) error {
	if ctx.Err() != nil || t.full() {
		return errOver
	}
	err := t.Packet(s)
	if err == nil && t.full() {
		return errOver
	}
	return err
}

func (t *tapping) full() bool { return t.count > 0 && t.Seen() >= t.count }

// over reports whether the interface has ended, when nobody from before can see a
// packet of it any more.
func (t *tapping) over(ctx context.Context) bool {
	var quiet chan struct{} // nil while the interface is there
	err := t.r.Loop.Do(ctx, func(turn *loop.Turn) error {
		if now, _ := t.r.Interfaces.Lookup(turn, t.name); now != t.id {
			quiet = make(chan struct{})
			turn.AfterGrace(func(*loop.Turn) { close(quiet) })
		}
		return nil
	})
	if err != nil || quiet == nil {
		return err != nil
	}
	select {
	case <-quiet:
	case <-ctx.Done():
	}
	return true
}

// end writes what was seen before there was an end, and how much was lost.
func (t *tapping) end() error {
	err := t.tap.Each(func(s *dataplane.Sight) error { return t.packet(context.Background(), s) })
	if err != nil && !errors.Is(err, errOver) {
		return err
	}
	return t.End(t.tap.Lost())
}

// Capture calls use with a stream of pcapng. When ctx ends the stream does, with
// its statistics.
func (c *Client) Capture(ctx context.Context, what CaptureRequest, use func(io.Reader) error) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	asking := context.AfterFunc(ctx, cancel)
	var conn net.Conn
	own := NewClient(c.path)
	dial := own.http.Transport.(*http.Transport).DialContext
	own.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		conn, err = dial(ctx, network, address)
		return conn, err
	}
	res, err := own.ask(hard, http.MethodGet, "capture", what.query(), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return problem(res)
	}
	if !asking() {
		return ctx.Err()
	}
	// The end of our half tells the router; what it still has to say is waited for.
	defer context.AfterFunc(ctx, func() {
		_ = conn.(*net.UnixConn).CloseWrite() // it has ended otherwise
		time.AfterFunc(2*lastWords, cancel)
	})()
	return use(res.Body)
}
