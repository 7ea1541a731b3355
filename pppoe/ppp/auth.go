package ppp

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"strings"
	"time"
)

// Auth is how one end proves who it is.
type Auth uint8

// The ways to do so, the weakest first.
const (
	NoAuth   Auth = iota
	PAP           // RFC 1334
	CHAPMD5       // RFC 1994
	MSCHAPv2      // RFC 2759

	auths
)

// String is the name in logs.
func (a Auth) String() string { return [auths]string{"none", "pap", "chap-md5", "ms-chapv2"}[a] }

// The algorithms of CHAP, as the option has them.
const (
	algorithmMD5      = 5
	algorithmMSCHAPv2 = 0x81
)

// option is the data of LCP's option.
func (a Auth) option() []byte {
	switch a {
	case PAP:
		return binary.BigEndian.AppendUint16(nil, uint16(ProtoPAP))
	case CHAPMD5:
		return append(binary.BigEndian.AppendUint16(nil, uint16(ProtoCHAP)), algorithmMD5)
	case MSCHAPv2:
		return append(binary.BigEndian.AppendUint16(nil, uint16(ProtoCHAP)), algorithmMSCHAPv2)
	case NoAuth, auths:
	}
	return nil
}

// parseAuth is what an option asks for; NoAuth if that is not known.
func parseAuth(data []byte) Auth {
	for a := PAP; a < auths; a++ {
		if string(a.option()) == string(data) {
			return a
		}
	}
	return NoAuth
}

// Codes of PAP and CHAP.
const (
	papRequest Code = iota + 1
	papAck
	papNak
)

const (
	chapChallenge Code = iota + 1
	chapResponse
	chapSuccess
	chapFailure
)

// authPatience is how long the other end may take to say yes or no. A server may
// ask a third party, which has its own timeouts.
const authPatience = 30 * time.Second

// auth is one end's proof to the other. An end that has to prove, and one that has
// to be convinced, have one each.
type auth struct {
	l        *Link
	kind     Auth
	id       uint8
	last     Control   // what was sent, and is sent again; zero: nothing
	proto    Protocol  // of last
	deadline time.Time // when that is due; zero: never
	interval time.Duration
	until    time.Time // when patience ends
	done     bool

	challenge []byte // ours
	expected  string // the authenticator's proof, MS-CHAPv2
}

// begin starts the proof. convince is the end that has to be convinced.
func (a *auth) begin(now time.Time, kind Auth, convince bool) {
	*a = auth{l: a.l, kind: kind, id: a.id, done: kind == NoAuth, until: now.Add(authPatience), interval: firstRestart}
	switch {
	case a.done:
	case kind == PAP && !convince:
		a.id++
		user, password := a.l.cfg.User, a.l.cfg.Password
		data := append([]byte{byte(len(user))}, user...)
		data = append(append(data, byte(len(password))), password...)
		a.send(now, ProtoPAP, Control{papRequest, a.id, data})
	case kind != PAP && convince:
		a.id++
		a.challenge = make([]byte, 16)
		a.l.fill(a.challenge)
		data := append([]byte{byte(len(a.challenge))}, a.challenge...)
		a.send(now, ProtoCHAP, Control{chapChallenge, a.id, append(data, a.l.cfg.Name...)})
	}
}

// send sends what is sent again until it is answered.
func (a *auth) send(now time.Time, p Protocol, c Control) {
	a.proto, a.last = p, c
	a.l.transmit(p, c)
	a.deadline = now.Add(a.interval)
	a.interval = min(2*a.interval, lastRestart)
}

// wake is when expire wants to be called; zero: never.
func (a *auth) wake() time.Time {
	if a.done {
		return time.Time{}
	}
	return earliest(a.deadline, a.until)
}

func (a *auth) expire(now time.Time) {
	switch {
	case a.done:
	case !now.Before(a.until):
		a.l.end(AuthTimeout, "")
	case !a.deadline.IsZero() && !now.Before(a.deadline):
		a.send(now, a.proto, a.last)
	}
}

// prove is a packet to the end that proves itself.
func (a *auth) prove(now time.Time, p Protocol, c Control) {
	switch {
	case a.kind == PAP && p == ProtoPAP && c.ID == a.id && c.Code == papAck,
		a.kind == CHAPMD5 && p == ProtoCHAP && c.ID == a.id && c.Code == chapSuccess:
		a.succeed(now)
	case a.kind == MSCHAPv2 && p == ProtoCHAP && c.ID == a.id && c.Code == chapSuccess && !a.done:
		// RFC 2759 §5: the server proves that it knows the password, too.
		if a.expected == "" || !strings.HasPrefix(string(c.Data), a.expected) {
			a.l.end(AuthFailed, "the server does not know the password")
			return
		}
		a.succeed(now)
	case a.kind == PAP && p == ProtoPAP && c.ID == a.id && c.Code == papNak:
		a.l.end(AuthFailed, papMessage(c.Data))
	case a.kind > PAP && p == ProtoCHAP && c.ID == a.id && c.Code == chapFailure:
		a.l.end(AuthFailed, string(c.Data))
	case a.kind > PAP && p == ProtoCHAP && c.Code == chapChallenge:
		a.respond(now, c) // at any time, RFC 1994 §2
	}
}

func papMessage(b []byte) string {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return ""
	}
	return string(b[1 : 1+int(b[0])])
}

// respond answers a challenge.
func (a *auth) respond(now time.Time, c Control) {
	challenge, _, ok := value(c.Data)
	if !ok || len(challenge) == 0 {
		return
	}
	a.id = c.ID
	var proof []byte
	user, password := a.l.cfg.User, a.l.cfg.Password
	if a.kind == CHAPMD5 {
		proof = chapMD5(c.ID, password, challenge)
	} else {
		if len(challenge) != 16 {
			return
		}
		own := make([]byte, 16)
		a.l.fill(own)
		nt := ntResponse(challenge, own, user, password)
		a.expected = authenticatorResponse(password, nt, own, challenge, user)
		proof = append(append(append(own, make([]byte, 8)...), nt...), 0)
	}
	data := append([]byte{byte(len(proof))}, proof...)
	response := Control{chapResponse, c.ID, append(data, user...)}
	if a.done {
		a.l.transmit(ProtoCHAP, response)
		return
	}
	a.interval = firstRestart
	a.send(now, ProtoCHAP, response) // RFC 1994 §4.2: again, if what it is answered with is lost
}

// value splits the data of a challenge or response, RFC 1994 §4.1.
func value(b []byte) (v, name []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, nil, false
	}
	return b[1 : 1+int(b[0])], b[1+int(b[0]):], true
}

func (a *auth) succeed(now time.Time) {
	if !a.done {
		a.done = true
		a.l.proved(now)
	}
}

// convince is a packet to the end that has to be convinced.
func (a *auth) convince(now time.Time, p Protocol, c Control) {
	switch {
	case a.kind == PAP && p == ProtoPAP && c.Code == papRequest:
		a.convincePAP(now, c)
	case a.kind > PAP && p == ProtoCHAP && c.Code == chapResponse && c.ID == a.id:
		a.convinceCHAP(now, c)
	}
}

func (a *auth) convincePAP(now time.Time, c Control) {
	user, rest, ok := value(c.Data)
	given, _, ok2 := value(rest)
	if !ok || !ok2 {
		return
	}
	password, known := a.l.cfg.Secret(string(user))
	if !known || subtle.ConstantTimeCompare([]byte(password), given) == 0 {
		a.l.transmit(ProtoPAP, Control{papNak, c.ID, []byte{0}})
		a.l.end(AuthFailed, string(user))
		return
	}
	a.l.transmit(ProtoPAP, Control{papAck, c.ID, []byte{0}})
	a.succeed(now)
}

func (a *auth) convinceCHAP(now time.Time, c Control) {
	proof, name, ok := value(c.Data)
	if !ok {
		return
	}
	password, known := a.l.cfg.Secret(string(name))
	good, message := false, ""
	switch {
	case !known:
	case a.kind == CHAPMD5:
		good = subtle.ConstantTimeCompare(proof, chapMD5(a.id, password, a.challenge)) == 1
	case len(proof) == 49:
		peer, nt := proof[:16], proof[24:48]
		good = subtle.ConstantTimeCompare(nt, ntResponse(a.challenge, peer, string(name), password)) == 1
		message = authenticatorResponse(password, nt, peer, a.challenge, string(name))
	}
	if !good {
		a.l.transmit(ProtoCHAP, Control{chapFailure, c.ID, []byte("E=691 R=0")})
		a.l.end(AuthFailed, string(name))
		return
	}
	a.l.transmit(ProtoCHAP, Control{chapSuccess, c.ID, []byte(message)})
	a.succeed(now)
}

// chapMD5 is RFC 1994 §4.1: the hash over identifier, secret and challenge.
func chapMD5(id uint8, password string, challenge []byte) []byte {
	h := md5.New()
	h.Write([]byte{id})
	h.Write([]byte(password))
	h.Write(challenge)
	return h.Sum(nil)
}
