package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
)

const token = "0123456789abcdef"

// api says what was asked of it.
var api = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprintf(w, "%s %s", q.Method, q.URL.Path) })

// serve runs a server until the end of the test. It returns its URL and a client.
func serve(t *testing.T, c *config.HTTP) (url string, client *http.Client) {
	t.Helper()
	return serveAs(t, c, api, patience)
}

func serveAs(t *testing.T, c *config.HTTP, h http.Handler, p timeouts) (url string, client *http.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(l, c, h, api, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = s.Run(ctx) })
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		run.Wait()
	})
	scheme := "http"
	if c.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + l.Addr().String(), &http.Client{Transport: transport}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certified is a certificate and its key, in files.
func certified(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// Everybody may look; only who has the token changes things, or sees packets.
func TestGate(t *testing.T) {
	cert, key := certified(t, "router")
	open := &config.HTTP{}
	secret := &config.HTTP{Certificate: cert, Key: key, TokenFile: write(t, "token", token+"\n")}
	cases := []struct {
		name, method, path, token string
		c                         *config.HTTP
		status                    int
	}{
		{"look", "GET", "/v1/interfaces", "", open, 200},
		{"look at metrics", "GET", "/metrics", "", open, 200},
		{"change without a token to be had", "POST", "/v1/reload", token, open, 403},
		{"packets without a token to be had", "GET", "/v1/capture", "", open, 403},
		{"look, where there is a token", "GET", "/v1/interfaces", "", secret, 200},
		{"change without it", "DELETE", "/v1/routes", "", secret, 401},
		{"change with another", "DELETE", "/v1/routes", token + "x", secret, 401},
		{"change with half of it", "DELETE", "/v1/routes", token[:8], secret, 401},
		{"change with it", "DELETE", "/v1/routes", token, secret, 200},
		{"packets with it", "GET", "/v1/capture", token, secret, 200},
		{"somewhere else", "GET", "/v2/", "", open, 404},
		{"to the metrics", "POST", "/metrics", "", open, 405},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			url, client := serve(t, c.c)
			q, err := http.NewRequest(c.method, url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				q.Header.Set("Authorization", "Bearer "+c.token)
			}
			res, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if b, _ := io.ReadAll(res.Body); res.StatusCode != c.status {
				t.Errorf("status = %d, want %d: %s", res.StatusCode, c.status, b)
			}
		})
	}
}

// A certificate that is replaced is used at the next handshake, and a broken one is
// not.
func TestCertificateIsReadAgain(t *testing.T) {
	cert, key := certified(t, "old")
	url, client := serve(t, &config.HTTP{Certificate: cert, Key: key})
	who := func() string {
		t.Helper()
		client.CloseIdleConnections()
		res, err := client.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.TLS.PeerCertificates[0].Subject.CommonName
	}
	replace := func(path, with string, at time.Time) {
		t.Helper()
		b, err := os.ReadFile(with)
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err == nil {
			err = os.Chtimes(path, at, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := who(); got != "old" {
		t.Errorf("certificate of %s, want old", got)
	}
	newCert, newKey := certified(t, "new")
	replace(cert, newCert, time.Now().Add(time.Second))
	if got := who(); got != "old" {
		t.Errorf("certificate of %s, want old: its key is another one's", got)
	}
	replace(key, newKey, time.Now().Add(time.Second))
	if got := who(); got != "new" {
		t.Errorf("certificate of %s, want new", got)
	}
}

func TestMistakesAreTold(t *testing.T) {
	cert, key := certified(t, "router")
	for name, c := range map[string]*config.HTTP{
		"no such file":    {Certificate: "/nowhere", Key: key},
		"not a key":       {Certificate: cert, Key: cert},
		"no token":        {TokenFile: "/nowhere"},
		"a token too few": {TokenFile: write(t, "token", "short")},
	} {
		if _, err := New(nil, c, api, api); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

// The page has what the API says in tables, and nothing that it says runs.
func TestPage(t *testing.T) {
	said := map[string]string{
		"/v1/interfaces": `[{"id":1,"name":"<script>alert(1)</script>","state":"up","since":"2026-01-01T00:00:00Z","type":"tun","mtu":1500,"addresses":["2001:db8::1/64"],"traffic":{"rx_bytes":1234567,"tx_bytes":0}}]`,
		"/v1/epoch":      `{"uptime_seconds":12,"lookup_dead_total":0,"orphans":0,"detach_clean_total":3,"detach_orphaned_total":0}`,
		"/v1/drops":      `[{"reason":"no_route","packets":1000001,"text":"no route"},{"reason":"too_big","packets":0,"text":"too big"}]`,
		"/v1/events":     `[{"seq":1,"time":"2026-01-01T00:00:00Z","level":"info","event":"interface detached","fields":{"iface":"red","cause":"requested","took":0.0218,"withdraw":1.05e-05}}]`,
		"/v1/lookup":     `{"verdict":"forward","interface":"red","mtu":1500,"steps":[{"prefix":"::/0","target":"dev red","metric":0}]}`,
	}
	h := newPage(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, said[q.URL.Path]) }))
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/?address=2001:db8::2", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{head: http.Header{}}
	h.ServeHTTP(a, q)
	body := a.body.String()
	for _, want := range []string{"&lt;script&gt;alert(1)", "1.23 MB", "2001:db8::1/64", "iface=red cause=requested took=21.8ms", ">10.5µs", ">21.8ms", "no_route<td>1000001", "<b>forward</b> by red", "dead lookups"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"<script>alert", "too_big", "http://", "https://"} {
		if strings.Contains(body, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if p := a.head.Get("Content-Security-Policy"); !strings.Contains(p, "script-src 'sha256-") || !strings.Contains(p, "style-src 'sha256-") {
		t.Errorf("policy = %q", p)
	}
}
