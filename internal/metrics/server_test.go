package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// serve runs a server on a free port of this host until the test ends.
func serve(t *testing.T, m *Metrics) (url string) {
	t.Helper()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
	})
	return "http://" + s.Addr().String()
}

// get returns the status and the type of an answer.
func get(t *testing.T, url, accept string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", accept)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("Content-Type")
}

func TestServer(t *testing.T) {
	s := newScene(t)
	url := serve(t, s.Metrics)
	for _, c := range []struct {
		path, accept string
		status       int
		kind         string
	}{
		{"/metrics", "", http.StatusOK, "text/plain"},
		{"/metrics", "application/openmetrics-text;version=1.0.0", http.StatusOK, "application/openmetrics-text"},
		{"/", "", http.StatusNotFound, "text/plain"},
		{"/debug/pprof/", "", http.StatusNotFound, "text/plain"},
	} {
		status, kind := get(t, url+c.path, c.accept)
		if status != c.status || !strings.HasPrefix(kind, c.kind) {
			t.Errorf("%s: status = %d, type = %s, want %d, %s", c.path, status, kind, c.status, c.kind)
		}
	}
}

func TestPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, loop := alone()
	stop(t, loop)
	if s, err := Listen(netip.MustParseAddrPort(l.Addr().String()), m); err == nil {
		t.Errorf("listens on %v, want an error", s.Addr())
	}
}

func TestServerThatNeverRan(t *testing.T) {
	m, loop := alone()
	stop(t, loop)
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Of many who ask at once all are answered, a few at a time.
func TestScrapesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, turnedAway atomic.Int64
		h := orderly(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			now.Add(1)
			if n := now.Load(); n > maxScrapes {
				t.Errorf("%d at once, want %d", n, maxScrapes)
			}
			time.Sleep(time.Second)
			now.Add(-1)
		}))
		ask := func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
			if w.Code == http.StatusServiceUnavailable {
				turnedAway.Add(1)
			}
		}
		scrapes := func(n int) {
			var all sync.WaitGroup
			for range n {
				all.Go(ask)
			}
			all.Wait()
		}
		scrapes(10 * maxScrapes)
		if n := turnedAway.Load(); n != 0 {
			t.Errorf("%d were turned away, want none", n)
		}
		scrapes(20 * maxScrapes) // in twice the time that there is
		if turnedAway.Load() == 0 {
			t.Error("nobody was turned away")
		}
	})
}
