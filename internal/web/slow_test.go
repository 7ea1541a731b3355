package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
)

// hasty is as patient as a test.
var hasty = timeouts{time.Second, time.Second, time.Second, time.Second}

// Clients that take their time are ended, whatever it is that they do not do, and
// others are served meanwhile.
func TestSlowClients(t *testing.T) {
	cert, key := certified(t, "router")
	cases := []struct {
		name   string
		c      *config.HTTP
		begins string // what is sent at once
		drips  string // what is sent again and again, a byte at a time
	}{
		{"a head that takes long", &config.HTTP{}, "GET / HTTP/1.1\r\n", "X-Slow: yes\r\n"},
		{"no head at all", &config.HTTP{}, "", ""},
		{"no handshake", &config.HTTP{Certificate: cert, Key: key}, "", ""},
		{"a body that takes long", &config.HTTP{TokenFile: write(t, "token", token+"\n")}, "POST /v1/body HTTP/1.1\r\nHost: router\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 1000000\r\n\r\n", "x"},
		{"a body that nobody reads, and that does not come", &config.HTTP{}, "GET /metrics HTTP/1.1\r\nHost: router\r\nContent-Length: 10\r\n\r\n", ""},
		{"no other request", &config.HTTP{}, "GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, client := serveAs(t, c.c, reads, hasty)
			slow := connectTo(t, url)
			if _, err := io.WriteString(slow, c.begins); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, slow) // the server ends it, or resets it
			}()
			served(t, client, url)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				case <-tick.C:
				}
				if c.drips != "" {
					_, _ = io.WriteString(slow, c.drips[n%len(c.drips):][:1]) // it may have ended
				}
			}
		})
	}
}

// Who asks for what has no end, and takes nothing of it, is ended, and so is the answer.
func TestClientThatTakesNothing(t *testing.T) {
	ended := make(chan error, 1)
	url, client := serveAs(t, &config.HTTP{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 1<<16)
		for {
			if _, err := w.Write(b); err != nil {
				ended <- err
				return
			}
		}
	}), hasty)
	slow := connectTo(t, url)
	if _, err := io.WriteString(slow, "GET /v1/endless HTTP/1.1\r\nHost: router\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	served(t, client, url)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the answer ended by %v, want its deadline", err)
	}
}

// An answer that goes on longer than a request may take is not ended.
func TestAnswerThatTakesItsTime(t *testing.T) {
	url, client := serveAs(t, &config.HTTP{}, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		select {
		case <-q.Context().Done():
		case <-time.After(2 * hasty.read):
			fmt.Fprint(w, "whole")
		}
	}), hasty)
	res, err := client.Get(url + "/v1/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "whole" {
		t.Errorf("answer = %q, %v", b, err)
	}
}

// A client that sends more than is read of it gets its answer, and then the end of the
// connection, and not a reset before it has said all.
func TestRefusedUpload(t *testing.T) {
	url, _ := serve(t, &config.HTTP{})
	c := connectTo(t, url)
	fmt.Fprintf(c, "POST /v1/interfaces HTTP/1.1\r\nHost: router\r\nContent-Length: %d\r\n\r\n", 1<<20)
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusForbidden || !strings.Contains(string(b), "read-only") {
		t.Errorf("answer = %d %s, %v", res.StatusCode, b, err)
	}
	if _, err := io.WriteString(c, strings.Repeat("x", 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("then came %v, want the end", err)
	}
}

// reads reads what it gets, and says what that was.
var reads = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
	n, err := io.Copy(io.Discard, q.Body)
	fmt.Fprint(w, n, err)
})

func connectTo(t *testing.T, url string) net.Conn {
	t.Helper()
	_, at, _ := strings.Cut(url, "://")
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// served wants an answer for somebody else.
func served(t *testing.T, client *http.Client, url string) {
	t.Helper()
	res, err := client.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("another client got %d: %s, %v", res.StatusCode, b, err)
	}
}
