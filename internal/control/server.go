package control

import (
	"cmp"
	"context"
	_ "embed" // openapi.yaml
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/health"
	"github.com/router6d/router6d/internal/httpd"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/router"
	"github.com/router6d/router6d/rib"
)

const (
	maxBody  = 64 << 10 // a request is one interface or one route
	maxDrain = 1 << 20  // is read of a body that is refused
)

// A Server answers on the control socket.
type Server struct {
	// Reload applies the configuration file anew, or tells what that would change.
	// Set before Run; nil: there is no file.
	Reload func(ctx context.Context, dry bool) ([]router.Change, error)

	r     *router.Router
	ring  *events.Ring
	level zap.AtomicLevel // of the log
	http  http.Server
	l     net.Listener

	ending context.Context // over when streams are to end
	end    context.CancelFunc
}

// Listen opens the socket at path, with mode 0600, in a directory that it makes if
// there is none. A socket that nobody answers on is replaced; one that a router
// answers on is not. Who asks before Run waits. The level is that of the log,
// which can be changed.
func Listen(path string, r *router.Router, ring *events.Ring, level zap.AtomicLevel) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	old := unix.Umask(0o177) // so that nobody can open it before a chmod
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{r: r, ring: ring, level: level, l: l}
	s.ending, s.end = context.WithCancel(context.Background())
	s.http.Handler = s.routes()
	s.http.ReadHeaderTimeout = httpd.HeaderTimeout
	return s, nil
}

func clearStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if st.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("control socket %s: something else is there: %s", path, st.Mode())
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		defer c.Close()
		return fmt.Errorf("control socket %s: a router%s answers on it", path, peer(c))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// peer tells which process is at the other end.
func peer(c net.Conn) (text string) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	_ = raw.Control(func(fd uintptr) { // the text stays empty
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			text = fmt.Sprintf(" (pid %d)", cred.Pid)
		}
	})
	return text
}

// Close gives up the socket of a Server that never ran.
func (s *Server) Close() error {
	s.end()
	return s.l.Close()
}

// Handler is what the socket answers, for those who let others ask. Its streams end
// when Run does.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Run answers until ctx ends, and then lets answers under way finish. Streams end
// at once.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.end)()
	return httpd.Serve(ctx, &s.http, s.l)
}

func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	for pattern, h := range s.operations() {
		m.HandleFunc(pattern, h)
	}
	return bounded(known(m))
}

// known answers what is no operation as the API answers everything.
func known(m *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h, pattern := m.Handler(q)
		if pattern != "" {
			m.ServeHTTP(w, q)
			return
		}
		said := silent{}
		h.ServeHTTP(said, q)
		if allow := http.Header(said).Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s can't be done to %s: use %s", q.Method, q.URL.Path, allow))
			return
		}
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no %s: see /v1/openapi.yaml", q.URL.Path))
	})
}

// A silent answer is nothing but its head.
type silent http.Header

// Header implements http.ResponseWriter.
func (s silent) Header() http.Header { return http.Header(s) }

// Write implements http.ResponseWriter.
func (s silent) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (s silent) WriteHeader(int) {}

// errTooLong is what is wrong with a body of more than maxBody.
var errTooLong = fmt.Errorf("a request has a body of %d bytes at most", maxBody)

// bounded refuses a body that is too long: before it is sent, if the client says so.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ContentLength > maxBody {
			if q.Header.Get("Expect") == "" { // it is on its way, and who sends all before he reads is to hear why
				_, _ = io.CopyN(io.Discard, q.Body, maxDrain) // the client has gone
			}
			refuse(w, http.StatusRequestEntityTooLarge, errTooLong)
			return
		}
		q.Body = http.MaxBytesReader(w, q.Body, maxBody)
		h.ServeHTTP(w, q)
	})
}

// operations is all that can be asked; openapi.yaml describes it.
func (s *Server) operations() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /v1/openapi.yaml":         openAPI,
		"GET /v1/interfaces":           show(s, showInterfaces),
		"GET /v1/routes":               show(s, showRoutes),
		"GET /v1/nexthops":             show(s, showNexthops),
		"GET /v1/pppoe":                show(s, showSessions),
		"GET /v1/connections":          func(w http.ResponseWriter, _ *http.Request) { answer(w, showConnections(s.r)) },
		"GET /v1/neighbors":            show(s, showNeighbors),
		"GET /v1/epoch":                show(s, showEpoch),
		"GET /v1/fib":                  show(s, showFIB),
		"GET /v1/counters":             func(w http.ResponseWriter, _ *http.Request) { answer(w, showCounters(s.r.Plane)) },
		"GET /v1/drops":                func(w http.ResponseWriter, _ *http.Request) { answer(w, showDrops(s.r.Plane.Stats())) },
		"GET /v1/health":               s.health,
		"GET /v1/events":               takes(s.events, "since", "follow"),
		"GET /v1/lookup":               takes(s.lookup, "address", "from"),
		"GET /v1/capture":              takes(s.capture, "interface", "drops", "count", "snaplen"),
		"POST /v1/interfaces":          s.addInterface,
		"DELETE /v1/interfaces/{name}": s.deleteInterface,
		"POST /v1/routes":              s.addRoute,
		"DELETE /v1/routes":            takes(s.deleteRoute, "prefix", "metric"),
		"POST /v1/reload":              takes(s.reload, "dry_run"),
		"GET /v1/log-level":            s.logLevel,
		"PUT /v1/log-level":            s.setLogLevel,
	}
}

// takes refuses what fn would not look at: a misspelled dry_run is no reload.
func takes(fn http.HandlerFunc, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if err := q.ParseForm(); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		for name := range q.Form {
			if !slices.Contains(names, name) {
				refuse(w, http.StatusBadRequest, fmt.Errorf("there is no parameter %q here: use %s", name, strings.Join(names, ", ")))
				return
			}
		}
		fn(w, q)
	}
}

// parseFlag is false for who does not say.
func parseFlag(q *http.Request, name string) (bool, error) {
	if !q.Form.Has(name) {
		return false, nil
	}
	text := q.FormValue(name)
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is not true or false", name, text)
	}
	return v, nil
}

func (s *Server) logLevel(w http.ResponseWriter, _ *http.Request) { answer(w, Level{s.level.String()}) }

func (s *Server) setLogLevel(w http.ResponseWriter, q *http.Request) {
	level, err := body(q, parseLevel)
	if err == nil {
		s.level.SetLevel(level)
	}
	reply(w, Level{s.level.String()}, err)
}

// parseLevel takes those of a configuration. They are zap's, which has more.
func parseLevel(text []byte) (zapcore.Level, error) {
	var v Level
	if err := json.Unmarshal(text, &v); err != nil {
		return 0, fmt.Errorf(`level: %w; write it as {"level":"debug"}`, err)
	}
	level, err := config.ParseLevel(v.Level)
	if err != nil {
		return 0, fmt.Errorf("level: %w", err)
	}
	return zapcore.ParseLevel(string(level))
}

//go:embed openapi.yaml
var openAPIText []byte

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPIText) // the client has gone
}

// show answers with what fn reads of the router in one turn.
func show[T any](s *Server, fn func(*router.Router, *loop.Turn) T) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		var v T
		err := s.r.Loop.Do(q.Context(), func(t *loop.Turn) error { v = fn(s.r, t); return nil })
		reply(w, v, err)
	}
}

// health is asked by what restarts a router that does not move: the answer is in
// the status.
func (s *Server) health(w http.ResponseWriter, q *http.Request) {
	if err := health.Check(q.Context(), s.r.Loop); err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, Health{Healthy: true})
}

func (s *Server) events(w http.ResponseWriter, q *http.Request) {
	since, err := parseSince(q.FormValue("since"))
	follow, e := parseFlag(q, "follow")
	switch err = errors.Join(err, e); {
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	case follow:
		s.follow(w, q, since)
	default:
		all := s.ring.Since(*cmp.Or(since, new(uint64)))
		if all == nil {
			all = []events.Event{}
		}
		answer(w, all)
	}
}

// parseSince is nil for who does not say.
func parseSince(text string) (*uint64, error) {
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("since: %q is not a number", text)
	}
	return &n, nil
}

func (s *Server) lookup(w http.ResponseWriter, q *http.Request) {
	to, err := parseAddr("address", q.FormValue("address"))
	if err == nil {
		err = routed(to)
	}
	var from netip.Addr
	if text := q.FormValue("from"); err == nil && text != "" {
		from, err = parseAddr("from", text)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	show(s, func(r *router.Router, t *loop.Turn) Lookup { return showLookup(r, t, from, to) })(w, q)
}

func parseAddr(what, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s: %q is not an IPv6 address", what, text)
	}
	return a, nil
}

// routed refuses an address of which no route decides.
func routed(a netip.Addr) error {
	switch {
	case a.IsMulticast():
		return fmt.Errorf("address: %v is a group, and multicast is not forwarded", a)
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("address: %v is of one link, and no matter of routes", a)
	}
	return nil
}

func (s *Server) addInterface(w http.ResponseWriter, q *http.Request) {
	c, err := body(q, config.ParseInterface)
	if err == nil {
		_, err = s.r.AddInterface(q.Context(), c)
	}
	reply(w, struct{}{}, err)
}

func (s *Server) deleteInterface(w http.ResponseWriter, q *http.Request) {
	res, err := s.r.DeleteInterface(q.Context(), q.PathValue("name"))
	if err != nil {
		reply(w, struct{}{}, fmt.Errorf("%s: %w", q.PathValue("name"), err))
		return
	}
	answer(w, NewLedger(res))
}

func (s *Server) addRoute(w http.ResponseWriter, q *http.Request) {
	c, err := body(q, config.ParseRoute)
	if err != nil {
		reply(w, struct{}{}, err)
		return
	}
	now, err := s.r.AddRoute(q.Context(), c)
	reply(w, showOffered(now), err)
}

func (s *Server) deleteRoute(w http.ResponseWriter, q *http.Request) {
	p, err := config.ParseRoutePrefix(q.FormValue("prefix"))
	var metric uint32
	if text := q.FormValue("metric"); err == nil && text != "" {
		metric, err = config.ParseMetric(text)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, struct{}{}, s.r.DeleteRoute(q.Context(), p, metric))
}

func (s *Server) reload(w http.ResponseWriter, q *http.Request) {
	if s.Reload == nil {
		refuse(w, http.StatusUnprocessableEntity, errors.New("this router was not started from a file"))
		return
	}
	dry, err := parseFlag(q, "dry_run")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	steps, err := s.Reload(q.Context(), dry)
	reply(w, showChanges(steps), err)
}

// errBody marks what is wrong with a request.
type errBody struct{ error }

// Unwrap gives the reason.
func (e errBody) Unwrap() error { return e.error }

func body[T any](q *http.Request, parse func([]byte) (T, error)) (v T, err error) {
	text, err := io.ReadAll(q.Body)
	if err == nil {
		v, err = parse(text)
	}
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return v, errTooLong
	}
	if err != nil {
		return v, errBody{err}
	}
	return v, nil
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		refuse(w, status(err), err)
		return
	}
	answer(w, v)
}

// status is how an error is told in HTTP.
func status(err error) int {
	var bad errBody
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, errTooLong):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ifmgr.ErrNotFound), errors.Is(err, rib.ErrNoRoute):
		return http.StatusNotFound
	case errors.Is(err, ifmgr.ErrExists), errors.Is(err, router.ErrRouteExists):
		return http.StatusConflict
	case errors.Is(err, loop.ErrStopped):
		return http.StatusServiceUnavailable
	}
	return http.StatusUnprocessableEntity
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

func refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(Problem{err.Error()}) // the client has gone
}
