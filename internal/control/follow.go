package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/router6d/router6d/internal/events"
)

// follow streams events, one JSON object a line, until the client goes or the
// router ends. A client that is late has a goroutine of its own wait for it, and
// nobody else: what the ring forgets meanwhile it is told as a gap. Who does not
// say since when gets what there is, and that has no gap.
func (s *Server) follow(w http.ResponseWriter, q *http.Request, since *uint64) {
	last := s.ring.Last()
	if since != nil && *since > last {
		refuse(w, http.StatusBadRequest, fmt.Errorf("since: %d is yet to come, the last event is %d: is it of a router before this one?", *since, last))
		return
	}
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := stream{json.NewEncoder(w), http.NewResponseController(w), 0}
	var err error
	var all []events.Event
	if since == nil {
		all = s.ring.Since(0)
	} else {
		out.last = *since
	}
	for out.send(all) == nil && err == nil { // until the client or the router ends
		all, err = s.ring.Next(ctx, out.last)
	}
}

// A stream is an answer that goes on.
type stream struct {
	*json.Encoder
	*http.ResponseController
	last uint64 // event that was sent
}

// send writes events and hands them on.
func (s *stream) send(all []events.Event) error {
	for _, e := range all {
		if err := s.Encode(e); err != nil {
			return err
		}
		s.last = e.Seq
	}
	return s.Flush()
}
