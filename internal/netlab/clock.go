package netlab

import "time"

// past is a deadline that has always passed: it wakes whoever waits.
var past = time.Unix(1, 0)

var start = time.Now()

// clock is the time since the program started. It never jumps.
func clock() time.Duration {
	return time.Since(start)
}

// in is the deadline d from now.
func in(d time.Duration) time.Time {
	return start.Add(clock() + d)
}
