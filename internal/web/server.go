package web

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/httpd"
)

// timeouts are the patience with clients.
type timeouts struct {
	header time.Duration // of a request
	read   time.Duration // of a request, its body included
	write  time.Duration // for something to be taken
	idle   time.Duration // between requests
}

var patience = timeouts{httpd.HeaderTimeout, 10 * time.Second, 30 * time.Second, time.Minute}

const maxHeader = 16 << 10

// A Server answers in-band.
type Server struct {
	http http.Server
	l    net.Listener
}

// New returns a server of what there is at l: api below /v1/, metrics at /metrics,
// and the status page. It takes l, unless it fails.
func New(l net.Listener, c *config.HTTP, api, metrics http.Handler) (*Server, error) {
	return newServer(l, c, api, metrics, patience)
}

func newServer(l net.Listener, c *config.HTTP, api, metrics http.Handler, p timeouts) (*Server, error) {
	g, err := newGate(c.TokenFile)
	if err != nil {
		return nil, err
	}
	m := http.NewServeMux()
	m.Handle("/v1/", g.guard(api))
	m.Handle("GET /metrics", metrics)
	m.Handle("GET /{$}", newPage(api))
	s := &Server{l: limited{l, p.write}, http: http.Server{
		Handler: polite(m), ReadHeaderTimeout: p.header, ReadTimeout: p.read,
		IdleTimeout: p.idle, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong is theirs
	}}
	if c.Certificate == "" {
		return s, nil
	}
	cert, err := newCertificate(c.Certificate, c.Key)
	if err != nil {
		return nil, err
	}
	s.l = tls.NewListener(s.l, &tls.Config{GetCertificate: cert.get, NextProtos: []string{"http/1.1"}})
	return s, nil
}

// Run answers until ctx ends, and then lets answers under way finish.
func (s *Server) Run(ctx context.Context) error { return httpd.Serve(ctx, &s.http, s.l) }

// polite says what browsers may do with what they get, and takes from answers that go
// on the time in which a request has to be read. A body that nobody reads is still
// waited for after the answer, and not for ever.
func polite(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		if q.Body == http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // always can
		}
		h.ServeHTTP(w, q)
	})
}

// A limited listener has connections that end when the client takes nothing.
type limited struct {
	net.Listener
	write time.Duration
}

// Accept implements net.Listener.
func (l limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return impatient{c, l.write}, nil
}

type impatient struct {
	net.Conn
	write time.Duration
}

// Write implements net.Conn.
func (c impatient) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.write))
	return c.Conn.Write(b)
}

// CloseWrite tells the client that this was all, so that one that has more to send
// than is read of it sees its answer end before it is reset.
func (c impatient) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
