package dataplane

// What the router answers, per worker and so per interface that asks. RFC 4443 §2.4(f)
// wants a limit on errors that fits the link, and can be configured: see LimitErrors.
const (
	errorRate, errorFraction = 1000, 5
	echoRate, echoBurst      = 10_000, 1000

	// Advertisements to all who are on a link, for those who ask without an address;
	// and redirects, RFC 4861 §8.2.
	announceRate, announceBurst = 50, 20
	redirectRate, redirectBurst = 100, 20
)
