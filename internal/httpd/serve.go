// Package httpd runs an HTTP server for as long as a context lasts.
package httpd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	// HeaderTimeout is how long a client may take for the head of a request.
	HeaderTimeout = 5 * time.Second
	// shutdownTimeout is for answers under way.
	shutdownTimeout = 2 * time.Second
)

// Serve answers on l until ctx ends, and then lets answers under way finish, for
// two seconds at most. It takes l.
func Serve(ctx context.Context, s *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		if ctx.Err() == nil {
			return err
		}
		served <- err // the listener was closed as ctx ended
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := s.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	<-served
	return err
}
