package ppp

// State is where the negotiation of one protocol is, RFC 1661 §4.2.
type State uint8

// The states, in the order of the RFC's table.
const (
	Initial State = iota
	Starting
	Closed
	Stopped
	Closing
	Stopping
	ReqSent
	AckRcvd
	AckSent
	Opened

	states
)

// String is the RFC's name.
func (s State) String() string {
	return [states]string{
		"Initial", "Starting", "Closed", "Stopped", "Closing", "Stopping", "Req-Sent", "Ack-Rcvd", "Ack-Sent", "Opened",
	}[s]
}

// event is what happens to a protocol, RFC 1661 §4.3.
type event uint8

const (
	eventUp event = iota
	eventDown
	eventOpen
	eventClose
	eventTimeout // TO+: the restart counter is above zero
	eventExpire  // TO-: it is not
	eventGoodRequest
	eventBadRequest
	eventAck
	eventNak // or a Configure-Reject
	eventTerminate
	eventTerminateAck
	eventUnknown
	eventHarmlessReject // RXJ+
	eventFatalReject    // RXJ-
	eventEcho           // Echo-Request, Echo-Reply or Discard-Request

	events
)

// action is what is to be done, RFC 1661 §4.4. They are done in the order of their
// bits: what is under us first hears that we are down, then counters are set, and
// what is sent goes before it is said that we are up.
type action uint16

const (
	tld action = 1 << iota // this layer down
	irc                    // initialize the restart counter
	zrc                    // zero it
	scr                    // send Configure-Request
	sca                    // send Configure-Ack
	scn                    // send Configure-Nak or -Reject
	str                    // send Terminate-Request
	sta                    // send Terminate-Ack
	scj                    // send Code-Reject
	ser                    // send Echo-Reply
	tlu                    // this layer up
	tls                    // this layer started
	tlf                    // this layer finished

	actions = iota
)

// transition is a cell of the table.
type transition struct {
	do   action
	next State
}

// table is that of RFC 1661 §4.1. A cell that the RFC leaves empty can't happen,
// and does nothing. Nobody waits for what the options r, p and x allow: an Open
// of what is open does nothing, and nothing is passive.
var table = [events][states]transition{
	eventUp: stay(map[State]transition{Initial: {0, Closed}, Starting: {irc | scr, ReqSent}}),
	eventDown: stay(map[State]transition{
		Closed: {0, Initial}, Stopped: {tls, Starting}, Closing: {0, Initial}, Stopping: {0, Starting},
		ReqSent: {0, Starting}, AckRcvd: {0, Starting}, AckSent: {0, Starting}, Opened: {tld, Starting},
	}),
	eventOpen: stay(map[State]transition{
		Initial: {tls, Starting}, Closed: {irc | scr, ReqSent}, Closing: {0, Stopping},
	}),
	eventClose: stay(map[State]transition{
		Starting: {tlf, Initial}, Stopped: {0, Closed}, Stopping: {0, Closing},
		ReqSent: {irc | str, Closing}, AckRcvd: {irc | str, Closing}, AckSent: {irc | str, Closing}, Opened: {tld | irc | str, Closing},
	}),
	eventTimeout: stay(map[State]transition{
		Closing: {str, Closing}, Stopping: {str, Stopping}, ReqSent: {scr, ReqSent}, AckRcvd: {scr, ReqSent}, AckSent: {scr, AckSent},
	}),
	eventExpire: stay(map[State]transition{
		Closing: {tlf, Closed}, Stopping: {tlf, Stopped}, ReqSent: {tlf, Stopped}, AckRcvd: {tlf, Stopped}, AckSent: {tlf, Stopped},
	}),
	eventGoodRequest: stay(map[State]transition{
		Closed: {sta, Closed}, Stopped: {irc | scr | sca, AckSent},
		ReqSent: {sca, AckSent}, AckRcvd: {sca | tlu, Opened}, AckSent: {sca, AckSent}, Opened: {tld | scr | sca, AckSent},
	}),
	eventBadRequest: stay(map[State]transition{
		Closed: {sta, Closed}, Stopped: {irc | scr | scn, ReqSent},
		ReqSent: {scn, ReqSent}, AckRcvd: {scn, AckRcvd}, AckSent: {scn, ReqSent}, Opened: {tld | scr | scn, ReqSent},
	}),
	eventAck: stay(map[State]transition{
		Closed: {sta, Closed}, Stopped: {sta, Stopped},
		ReqSent: {irc, AckRcvd}, AckRcvd: {scr, ReqSent}, AckSent: {irc | tlu, Opened}, Opened: {tld | scr, ReqSent},
	}),
	eventNak: stay(map[State]transition{
		Closed: {sta, Closed}, Stopped: {sta, Stopped},
		ReqSent: {irc | scr, ReqSent}, AckRcvd: {scr, ReqSent}, AckSent: {irc | scr, AckSent}, Opened: {tld | scr, ReqSent},
	}),
	eventTerminate: stay(map[State]transition{
		Closed: {sta, Closed}, Stopped: {sta, Stopped}, Closing: {sta, Closing}, Stopping: {sta, Stopping},
		ReqSent: {sta, ReqSent}, AckRcvd: {sta, ReqSent}, AckSent: {sta, ReqSent}, Opened: {tld | zrc | sta, Stopping},
	}),
	eventTerminateAck: stay(map[State]transition{
		Closing: {tlf, Closed}, Stopping: {tlf, Stopped}, AckRcvd: {0, ReqSent}, Opened: {tld | scr, ReqSent},
	}),
	eventUnknown: stay(map[State]transition{
		Closed: {scj, Closed}, Stopped: {scj, Stopped}, Closing: {scj, Closing}, Stopping: {scj, Stopping},
		ReqSent: {scj, ReqSent}, AckRcvd: {scj, AckRcvd}, AckSent: {scj, AckSent}, Opened: {scj, Opened},
	}),
	eventHarmlessReject: stay(map[State]transition{AckRcvd: {0, ReqSent}}),
	eventFatalReject: stay(map[State]transition{
		Closed: {tlf, Closed}, Stopped: {tlf, Stopped}, Closing: {tlf, Closed}, Stopping: {tlf, Stopped},
		ReqSent: {tlf, Stopped}, AckRcvd: {tlf, Stopped}, AckSent: {tlf, Stopped}, Opened: {tld | irc | str, Stopping},
	}),
	eventEcho: stay(map[State]transition{Opened: {ser, Opened}}),
}

// stay is a row in which every state that is not named stays as it is.
func stay(row map[State]transition) (all [states]transition) {
	for s := range states {
		all[s].next = s
	}
	for s, x := range row {
		all[s] = x
	}
	return all
}
