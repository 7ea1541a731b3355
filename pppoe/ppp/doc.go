// Package ppp is one end of a PPP link, client or server: RFC 1661, the ways to
// authenticate (RFC 1334, 1994, 2759), IPV6CP (RFC 5072) and IPCP (RFC 1332). It is a
// machine that is given packets and the time, and gives back packets and when it wants
// to be called. It starts nothing, and carries no IP itself.
//
//	Dead ──Begin──▶ Establish ──▶ Authenticate ──▶ Network ◀──▶ Open
//	 ▲                  ▲  LCP up       both ends        IPV6CP up,
//	 │                  │                proved          and down
//	 └── end, a cause   └──────── LCP negotiates anew ───┘
//
// Read link, automaton, control; then lcp, auth, mschap; network, ipv6cp,
// ipcp; packet is bytes.
package ppp
