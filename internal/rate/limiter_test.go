package rate_test

import (
	"testing"
	"time"

	"github.com/router6d/router6d/internal/rate"
)

func TestLimiter(t *testing.T) {
	l := rate.NewLimiter(100, 5)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	take := func(asked, want int) {
		t.Helper()
		got := 0
		for range asked {
			if l.Take(now) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d of %d, want %d", got, asked, want)
		}
	}
	take(10, 5)
	now = now.Add(20 * time.Millisecond)
	take(10, 2)
	now = now.Add(-time.Hour)
	take(10, 0)
	now = now.Add(time.Hour + time.Second)
	take(10, 5)
	if none := new(rate.Limiter); none.Take(now) {
		t.Error("the zero value allows something")
	}
}
