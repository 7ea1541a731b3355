package ppp

import (
	"crypto/des"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // broken, and what the protocol is made of
)

// ntResponse is GenerateNTResponse of RFC 2759 §8.1: 24 bytes.
func ntResponse(challenge, peer []byte, user, password string) []byte {
	hash := challengeHash(peer, challenge, user)
	key := make([]byte, 21)
	copy(key, ntHash(utf16le(password)))
	out := make([]byte, 24)
	for i := range 3 {
		c, err := des.NewCipher(desKey(key[7*i:]))
		if err != nil {
			panic("ppp: a DES key of the wrong size")
		}
		c.Encrypt(out[8*i:], hash)
	}
	return out
}

// challengeHash is that of RFC 2759 §8.2. A domain in front of the name is no part
// of it.
func challengeHash(peer, challenge []byte, user string) []byte {
	h := sha1.New()
	h.Write(peer)
	h.Write(challenge)
	h.Write([]byte(user[strings.LastIndexByte(user, '\\')+1:]))
	return h.Sum(nil)[:8]
}

// ntHash is NtPasswordHash of RFC 2759 §8.3.
func ntHash(b []byte) []byte {
	h := md4.New()
	h.Write(b)
	return h.Sum(nil)
}

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// desKey spreads 7 bytes over 8, each with a bit of parity, RFC 2759 §8.6.
func desKey(b []byte) []byte {
	var wide [8]byte
	copy(wide[1:], b[:7])
	x := binary.BigEndian.Uint64(wide[:])
	key := make([]byte, 8)
	for i := range key {
		k := byte(x>>(49-7*i)) << 1
		key[i] = k | byte(1^bits.OnesCount8(k)&1)
	}
	return key
}

// authenticatorResponse is that of RFC 2759 §8.7.
func authenticatorResponse(password string, nt, peer, challenge []byte, user string) string {
	h := sha1.New()
	h.Write(ntHash(ntHash(utf16le(password))))
	h.Write(nt)
	h.Write([]byte("Magic server to client signing constant"))
	digest := h.Sum(nil)
	h.Reset()
	h.Write(digest)
	h.Write(challengeHash(peer, challenge, user))
	h.Write([]byte("Pad to make it do more than one iteration"))
	return fmt.Sprintf("S=%X", h.Sum(nil))
}
