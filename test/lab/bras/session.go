package bras

import (
	"fmt"
	"math/bits"
	"strings"
)

// A Session is one of those the server's kernel has.
type Session struct {
	ID   uint16
	Peer string // MAC
}

// Sessions are those that there are now.
func (s *Server) Sessions() []Session {
	s.t.Helper()
	lines := strings.Split(s.Run("cat /proc/net/pppoe"), "\n")
	var all []Session
	for _, line := range lines[1:] { // of headings
		var id uint32
		var peer string
		if _, err := fmt.Sscanf(line, "%x %s", &id, &peer); err != nil {
			s.t.Fatalf("bras: /proc/net/pppoe has %q: %v", line, err)
		}
		// The kernel shows it in network order as if it were in the machine's.
		all = append(all, Session{bits.ReverseBytes16(uint16(id)), peer})
	}
	return all
}
