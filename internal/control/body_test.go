package control

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A body that is too long is refused as such, whether the client tells its length or
// not.
func TestLongBodies(t *testing.T) {
	d := newDesk(t, 1)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", d.path) }}}
	defer client.CloseIdleConnections()
	long := strings.Repeat(" ", maxBody)
	cases := []struct {
		name, method, path string
		body               io.Reader // a *strings.Reader tells its length
		status             int
	}{
		{"as long as may be", "POST", "/v1/routes", strings.NewReader(long), 400},
		{"one more", "POST", "/v1/routes", strings.NewReader(long + " "), 413},
		{"of no known length", "POST", "/v1/interfaces", io.MultiReader(strings.NewReader(long), strings.NewReader(" ")), 413},
		{"a level", "PUT", "/v1/log-level", strings.NewReader(`{"level":"` + long), 413},
		{"a level of no known length", "PUT", "/v1/log-level", io.MultiReader(strings.NewReader(`{"level":"` + long + long)), 413},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			q, err := http.NewRequestWithContext(t.Context(), c.method, "http://router"+c.path, c.body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(b), `"error":`) {
				t.Errorf("status = %d, want %d: %s, %v", res.StatusCode, c.status, b, err)
			}
		})
	}
}
