package dataplane

import "time"

// A limiter is a token bucket: burst at once, rate a second in the long run.
type limiter struct {
	rate, burst int
	tokens      float64
	last        time.Time
}

// What the router answers, per interface that asks. RFC 4443 §2.4(f) wants a
// limit on errors that fits the link: this is about 10 Mbit/s of full quotes.
const (
	errorRate, errorBurst = 1000, 200
	echoRate, echoBurst   = 10_000, 1000

	// Advertisements to all who are on a link, for those who ask without an address;
	// and redirects, RFC 4861 §8.2.
	announceRate, announceBurst = 50, 20
	redirectRate, redirectBurst = 100, 20
)

func newLimiter(rate, burst int) limiter {
	return limiter{rate: rate, burst: burst, tokens: float64(burst)}
}

// take asks for one token.
func (l *limiter) take(now time.Time) bool {
	if !l.last.IsZero() {
		l.tokens = min(float64(l.burst), l.tokens+now.Sub(l.last).Seconds()*float64(l.rate))
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
