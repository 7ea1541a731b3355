package tcpstack

// GiveUpAfter is for tests that have not the patience of TCP.
var GiveUpAfter = (*Conn).giveUpAfter

// Timeouts is how often a timer ran out before what was sent was acknowledged.
func (s *Stack) Timeouts() uint64 { return s.net.Stats().TCP.Timeouts.Value() }

// Timestamps is for its fuzz target.
var Timestamps = timestamps
