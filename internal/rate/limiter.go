package rate

import "time"

// A Limiter is a token bucket: burst at once, rate a second in the long run. The
// zero value allows nothing.
type Limiter struct {
	rate, burst int
	tokens      float64
	last        time.Time
}

// NewLimiter returns a full bucket.
func NewLimiter(rate, burst int) Limiter {
	return Limiter{rate: rate, burst: burst, tokens: float64(burst)}
}

// Take asks for one token. A clock that goes back gives none.
func (l *Limiter) Take(now time.Time) bool {
	if !l.last.IsZero() {
		l.tokens = min(float64(l.burst), l.tokens+max(0, now.Sub(l.last).Seconds())*float64(l.rate))
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
