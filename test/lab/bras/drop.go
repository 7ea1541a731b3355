package bras

// Terminate ends all sessions in good order: LCP Terminate-Request, then PADT.
func (s *Server) Terminate() {
	s.t.Helper()
	s.Run("pkill -TERM -x pppd")
}

// PADT ends all sessions with a PADT alone.
func (s *Server) PADT() {
	s.t.Helper()
	s.Run("pkill -KILL -x pppd")
}

// Forget ends all sessions without a word.
func (s *Server) Forget() {
	s.t.Helper()
	s.Silence(true)
	s.PADT()
	s.Run("while pgrep -x pppd >/dev/null; do sleep 0.02; done") // its PADT is lost by then
	s.Silence(false)
}

// Silence has all frames lost, in both directions, or ends that. Sessions stay
// for as long as either side believes in them.
func (s *Server) Silence(silent bool) {
	s.t.Helper()
	s.silent = silent
	s.impair()
}

// Freeze stops pppd, or lets it go on: packets pass, but nobody answers an echo
// request or anything else of PPP.
func (s *Server) Freeze(frozen bool) {
	s.t.Helper()
	if frozen {
		s.Run("pkill -STOP -x pppd")
		return
	}
	s.Run("pkill -CONT -x pppd")
}
