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

const (
	readTimeout  = 10 * time.Second // of a request, its body included
	writeTimeout = 30 * time.Second // for something to be taken
	idleTimeout  = time.Minute      // between requests
	maxHeader    = 16 << 10
)

// A Server answers in-band.
type Server struct {
	http http.Server
	l    net.Listener
}

// New returns a server of what there is at l: api below /v1/, metrics at /metrics,
// and the status page. It takes l, unless it fails.
func New(l net.Listener, c *config.HTTP, api, metrics http.Handler) (*Server, error) {
	g, err := newGate(c.TokenFile)
	if err != nil {
		return nil, err
	}
	m := http.NewServeMux()
	m.Handle("/v1/", g.guard(api))
	m.Handle("GET /metrics", metrics)
	m.Handle("GET /{$}", newPage(api))
	s := &Server{l: limited{l}, http: http.Server{
		Handler: polite(m), ReadHeaderTimeout: httpd.HeaderTimeout, ReadTimeout: readTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
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
// on the time in which a request has to be read.
func polite(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		if q.Method == http.MethodGet {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // always can
		}
		h.ServeHTTP(w, q)
	})
}

// A limited listener has connections that end when the client takes nothing.
type limited struct{ net.Listener }

// Accept implements net.Listener.
func (l limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return impatient{c}, nil
}

type impatient struct{ net.Conn }

// Write implements net.Conn.
func (c impatient) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	return c.Conn.Write(b)
}
