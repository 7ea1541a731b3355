package metrics

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/router6d/router6d/internal/httpd"
)

const (
	requestTimeout = 5 * time.Second  // for the whole of a request
	answerTimeout  = 30 * time.Second // for a client that reads slowly
)

// A Server answers GET /metrics. Whoever reaches it may ask: it listens where it
// is told to, and should be told an address of this host alone.
type Server struct {
	http http.Server
	l    net.Listener
}

// Listen opens the port. Who asks before Run waits.
func Listen(at netip.AddrPort, m *Metrics) (*Server, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	return &Server{l: l, http: http.Server{
		Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout,
	}}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.l.Addr() }

// Close gives up the port of a Server that never ran.
func (s *Server) Close() error { return s.l.Close() }

// Run answers until ctx ends, and then lets answers under way finish.
func (s *Server) Run(ctx context.Context) error { return httpd.Serve(ctx, &s.http, s.l) }
