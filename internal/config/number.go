package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseMTU parses the MTU of an interface. RFC 8200 §5: a link of IPv6 carries at least 1280 bytes.
func ParseMTU(s string) (int, error) { return whole[int](s, 1280, math.MaxUint16) }

// ParseHopLimit parses the hop limit of the router's own packets.
func ParseHopLimit(s string) (uint8, error) { return whole[uint8](s, 1, math.MaxUint8) }

// ParseQueues parses how many workers read from an interface.
func ParseQueues(s string) (int, error) { return whole[int](s, 1, 16) }

// ParseTxQueueLen parses how many packets the kernel holds for the router.
func ParseTxQueueLen(s string) (int, error) { return whole[int](s, 1, 1_000_000) }

// parseDADTransmits parses how often others are asked whether an address is theirs.
func parseDADTransmits(s string) (int, error) { return whole[int](s, 0, 10) }

// parseICMPErrors parses how many errors a worker sends in a second.
func parseICMPErrors(s string) (int, error) { return whole[int](s, 1, 1_000_000) }

// ParseMetric parses the metric of a route. The lowest wins.
func ParseMetric(s string) (uint32, error) { return whole[uint32](s, 0, math.MaxUint32) }

// ParseWeight parses the share of a path among those of its route.
func ParseWeight(s string) (int, error) { return whole[int](s, 1, 100) }

// ParseDetachTimeout parses how long a detach may take.
func ParseDetachTimeout(s string) (time.Duration, error) {
	const least, most = 10 * time.Millisecond, 60 * time.Second
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, wrong("write a number with its unit, as 500ms or 1s", "%s is not a duration", show(s))
	case d < least || d > most:
		return 0, wrong(fmt.Sprintf("use %v to %v", least, most), "%v is out of range", d)
	}
	return d, nil
}

// parsePort parses a port of TCP or UDP.
func parsePort(s string) (uint16, error) { return whole[uint16](s, 1, math.MaxUint16) }

func parseTransport(s string) (Transport, error) { return oneOf(s, TCP, UDP) }

// parseChargenTransport takes no UDP.
func parseChargenTransport(s string) (Transport, error) {
	if Transport(s) == UDP {
		return "", wrong("use tcp",
			"chargen over UDP would be an amplifier: it sends more than it gets, to whoever a datagram says it is from")
	}
	return parseTransport(s)
}

// parseType parses what kind of port an interface is.
func parseType(s string) (Type, error) {
	return oneOf(s, TypeTUN, TypeTAP, TypePacket, TypeVLAN, TypePPPoE, TypeIPv4)
}

// ParseIdentity parses what becomes of an interface when its session ends.
func ParseIdentity(s string) (Identity, error) { return oneOf(s, IdentityKeep, IdentityRenew) }

// parseVLANID parses the ID of a VLAN. IEEE 802.1Q table 9-2: 0 is none, and 4095 is not to be used.
func parseVLANID(s string) (uint16, error) { return whole[uint16](s, 1, 4094) }

// parseProtocol parses the standard that a VLAN's tag is of.
func parseProtocol(s string) (Protocol, error) { return oneOf(s, Protocol8021Q, Protocol8021AD) }

// ParseMode parses who makes a device.
func ParseMode(s string) (Mode, error) { return oneOf(s, ModeCreate, ModeAttach) }

// ParseRefusal parses how packets are turned away.
func ParseRefusal(s string) (Refusal, error) {
	return oneOf(s, RefuseUnreachable, RefuseProhibit, RefuseBlackhole)
}

// ParseLevel parses a log level.
func ParseLevel(s string) (Level, error) {
	return oneOf(s, LevelDebug, LevelInfo, LevelWarn, LevelError)
}

// ParseFormat parses a log format.
func ParseFormat(s string) (Format, error) { return oneOf(s, FormatJSON, FormatConsole) }

func parseBool(s string) (bool, error) {
	word, err := oneOf(s, "true", "false")
	return word == "true", err
}

func whole[T int | uint8 | uint16 | uint32](s string, least, most T) (T, error) {
	use := fmt.Sprintf("use %d to %d", least, most)
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil && strings.Trim(s, "+-0123456789") != "" || s == "":
		return 0, wrong(use, "%s is not a whole number", show(s))
	case err != nil || n < uint64(least) || n > uint64(most):
		return 0, wrong(use, "%s is out of range", s)
	}
	return T(n), nil
}

func oneOf[T ~string](s string, words ...T) (T, error) {
	if slices.Contains(words, T(s)) {
		return T(s), nil
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return "", wrong("use "+strings.Join(all, ", "), "%s is not known here", show(s))
}
