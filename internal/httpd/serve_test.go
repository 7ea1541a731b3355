package httpd

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

// TestServeFinishesWhatIsUnderWay ends the context while a request is answered.
func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &http.Server{ReadHeaderTimeout: HeaderTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop()
		_, _ = io.WriteString(w, "whole")
	})}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, s, l) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "whole" {
		t.Errorf("answer = %q, %v", text, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve = %v, want its end", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it listens on")
	}
}

// TestServeEndsWithItsListener is about a listener that is closed as the context ends.
func TestServeEndsWithItsListener(t *testing.T) {
	defer goleak.VerifyNone(t)
	for range 20 { // which of the two is seen first is a matter of luck
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Serve(ctx, &http.Server{ReadHeaderTimeout: HeaderTimeout}, l); err != nil {
			t.Errorf("serve = %v, want its end", err)
		}
	}
}
