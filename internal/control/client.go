package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"

	"github.com/router6d/router6d/internal/events"
)

// ErrNotRunning means that nobody answers on the control socket.
var ErrNotRunning = errors.New("no router answers")

// A Client asks a router over its control socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a Client of the socket at path. It does not connect yet.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}
	return c
}

// Interfaces lists all interfaces.
func (c *Client) Interfaces(ctx context.Context) ([]Interface, error) {
	return get[[]Interface](ctx, c, "interfaces", nil)
}

// Routes lists all routes on offer.
func (c *Client) Routes(ctx context.Context) ([]Route, error) {
	return get[[]Route](ctx, c, "routes", nil)
}

// Nexthops lists all targets of routes.
func (c *Client) Nexthops(ctx context.Context) ([]Nexthops, error) {
	return get[[]Nexthops](ctx, c, "nexthops", nil)
}

// Neighbors lists who is known on Ethernet links.
func (c *Client) Neighbors(ctx context.Context) ([]Neighbors, error) {
	return get[[]Neighbors](ctx, c, "neighbors", nil)
}

// Sessions lists PPPoE interfaces.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	return get[[]Session](ctx, c, "pppoe", nil)
}

// Connections lists those of the router's own TCP.
func (c *Client) Connections(ctx context.Context) ([]Connection, error) {
	return get[[]Connection](ctx, c, "connections", nil)
}

// Counters is the account of the packet path.
func (c *Client) Counters(ctx context.Context) (Counters, error) {
	return get[Counters](ctx, c, "counters", nil)
}

// Drops lists every reason for a packet to end.
func (c *Client) Drops(ctx context.Context) ([]Drop, error) {
	return get[[]Drop](ctx, c, "drops", nil)
}

// FIB is the size of the forwarding table.
func (c *Client) FIB(ctx context.Context) (FIB, error) {
	return get[FIB](ctx, c, "fib", nil)
}

// Epoch is the state of lifetimes.
func (c *Client) Epoch(ctx context.Context) (Epoch, error) {
	return get[Epoch](ctx, c, "epoch", nil)
}

// Health returns nil if the router moves, or why it does not.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "health", nil, nil, nil)
}

// Events lists the events after one that are still known.
func (c *Client) Events(ctx context.Context, since uint64) ([]events.Event, error) {
	return get[[]events.Event](ctx, c, "events", url.Values{"since": {strconv.FormatUint(since, 10)}})
}

// Follow calls fn with every event after one, and with those to come, until the
// router ends, ctx does or fn fails. Nil is all that are still known. Where
// events are lost there is one of the name events.Gap.
func (c *Client) Follow(ctx context.Context, since *uint64, fn func(events.Event) error) error {
	query := url.Values{"follow": {"true"}}
	if since != nil {
		query.Set("since", strconv.FormatUint(*since, 10))
	}
	res, err := c.ask(ctx, http.MethodGet, "events", query, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return problem(res)
	}
	for d := json.NewDecoder(res.Body); ; {
		var e events.Event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("follow events: %w", err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// Lookup asks where a packet would go. From may be empty.
func (c *Client) Lookup(ctx context.Context, address, from string) (Lookup, error) {
	return get[Lookup](ctx, c, "lookup", url.Values{"address": {address}, "from": {from}})
}

// AddInterface makes an interface; settings are as in the configuration file,
// in values that encode to JSON.
func (c *Client) AddInterface(ctx context.Context, name string, settings any) error {
	return c.do(ctx, http.MethodPost, "interfaces", nil, map[string]any{name: settings}, nil)
}

// DeleteInterface detaches an interface, and waits for the ledger.
func (c *Client) DeleteInterface(ctx context.Context, name string) (l Ledger, err error) {
	err = c.do(ctx, http.MethodDelete, "interfaces/"+url.PathEscape(name), nil, nil, &l)
	return l, err
}

// AddRoute offers a route; route is as in the configuration file.
func (c *Client) AddRoute(ctx context.Context, route any) (o Offered, err error) {
	err = c.do(ctx, http.MethodPost, "routes", nil, route, &o)
	return o, err
}

// DeleteRoute takes back a route.
func (c *Client) DeleteRoute(ctx context.Context, prefix, metric string) error {
	return c.do(ctx, http.MethodDelete, "routes", url.Values{"prefix": {prefix}, "metric": {metric}}, nil, nil)
}

// Reload has the router apply its configuration file anew, or tell what that
// would change.
func (c *Client) Reload(ctx context.Context, dry bool) (changes []Change, err error) {
	err = c.do(ctx, http.MethodPost, "reload", url.Values{"dry_run": {strconv.FormatBool(dry)}}, nil, &changes)
	return changes, err
}

// LogLevel changes the level of the log; empty leaves it. It returns the level now.
func (c *Client) LogLevel(ctx context.Context, level string) (string, error) {
	var now Level
	if level == "" {
		err := c.do(ctx, http.MethodGet, "log-level", nil, nil, &now)
		return now.Level, err
	}
	now.Level = level
	err := c.do(ctx, http.MethodPut, "log-level", nil, now, &now)
	return now.Level, err
}

func get[T any](ctx context.Context, c *Client, what string, query url.Values) (v T, err error) {
	err = c.do(ctx, http.MethodGet, what, query, nil, &v)
	return v, err
}

func (c *Client) do(ctx context.Context, method, what string, query url.Values, in, out any) error {
	res, err := c.ask(ctx, method, what, query, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return problem(res)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

func (c *Client) ask(ctx context.Context, method, what string, query url.Values, in any) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "router6d", Path: "/v1/" + what, RawQuery: query.Encode()}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	q, err := http.NewRequestWithContext(ctx, method, u.String(), &body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(q)
	if err != nil {
		return nil, c.explain(err)
	}
	return res, nil
}

// problem is the error that an answer tells of.
func problem(res *http.Response) error {
	var p Problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		return fmt.Errorf("router answered %s", res.Status)
	}
	return errors.New(p.Error)
}

// explain says what a failed connection means.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: is router6d running?", ErrNotRunning, c.path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("control socket %s: permission denied: only its owner may use it", c.path)
	}
	return err
}
