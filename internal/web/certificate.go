package web

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// A certificate is two files, which are read again when they have changed.
type certificate struct {
	files [2]string // the certificate, and its key

	// Handshakes are on goroutines of their own. Held to look at two files.
	mu    sync.Mutex
	times [2]time.Time
	last  *tls.Certificate
}

// newCertificate fails if the files are no certificate.
func newCertificate(cert, key string) (*certificate, error) {
	c := &certificate{files: [2]string{cert, key}}
	_, err := c.get(nil)
	return c, err
}

// get is for tls.Config. Where the files are no certificate now, as while they are
// being replaced, the last one goes on.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var times [2]time.Time
	for i, name := range c.files {
		if st, err := os.Stat(name); err == nil {
			times[i] = st.ModTime()
		}
	}
	if c.last != nil && times == c.times {
		return c.last, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	switch {
	case err == nil:
		c.last, c.times = &pair, times
	case c.last == nil:
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return c.last, nil
}
