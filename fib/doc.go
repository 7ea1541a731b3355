// Package fib answers where a packet goes: longest-prefix match over an
// immutable Snapshot that the loop publishes and workers read under a Guard.
// It chooses nothing and logs nothing: which routes there are, and in which
// order they are preferred, is rib's to say.
//
// A prefix owns no nexthops. It names a pair: a slot of the group table, and
// the pair to ask when that slot is empty. The trie has the pair of the longest
// prefix for every address.
//
//	address         trie      pairs              groups (slots)
//	                          ┌──────┬───────┐
//	2001:db8::/48 ─────▶ 7 ─▶ │slot 4│cover 5│  4: forward ppp0   gone: empty
//	                          ├──────┼───────┤
//	                     5 ─▶ │slot 3│cover 2│  3: forward eth1, fe80::2
//	                          ├──────┼───────┤
//	2001:db8::/32 ─────▶ 2 ─▶ │slot 9│cover 1│  9: blackhole
//	                          ├──────┼───────┤
//	::/0 ──────────────▶ 1 ─▶ │slot 6│cover 0│  6: forward eth0, fe80::1
//	                          ├──────┼───────┤
//	nothing matched      0 ─▶ │slot 0│   –   │  0: unreachable, for ever
//	                          └──────┴───────┘
//
// The /48 has two routes on offer, ppp0 and then eth1. Pairs are interned, so
// equal ones exist once: a full table over 16 gateways has some 20,000. A pair
// has the length of its prefix besides, so that the chain of an address tells
// all the prefixes that it is in.
//
// When an interface goes, its slots are rewritten without it and one pointer is
// stored. A slot left empty is stepped over, down the prefix's own candidates
// and on to the covering prefix, which is what longest match over the routes
// that are left would say. When it returns the slots are filled again. Neither
// looks at a single prefix.
//
// Files in reading order: snapshot.go, trie.go, group.go, nexthop.go, bucket.go;
// then the writer's side: table.go, txn.go, slot.go, pair.go, batch.go, edit.go,
// plant.go, block.go; below both: addr.go, arena.go, memory_mapped.go,
// memory_heap.go, paged.go.
package fib
