package fib

import "slices"

const (
	pageBits = 6
	pageSize = 1 << pageBits
)

// paged is an array that shares what did not change with the version it was
// copied from. A transaction changes the pages it made, and copies others.
type paged[T any] struct {
	pages []*page[T]
	gen   uint64 // of the transaction that owns the list of pages
}

type page[T any] struct {
	gen   uint64 // of the transaction that owns the page
	items [pageSize]T
}

func (a *paged[T]) at(i uint32) T { return a.pages[i>>pageBits].items[i%pageSize] }

// set writes item i for transaction gen, and grows the array to hold it.
func (a *paged[T]) set(gen uint64, i uint32, v T) {
	if a.gen != gen {
		a.pages, a.gen = slices.Clone(a.pages), gen
	}
	n := int(i >> pageBits)
	for len(a.pages) <= n {
		a.pages = append(a.pages, &page[T]{gen: gen})
	}
	if p := a.pages[n]; p.gen != gen {
		a.pages[n] = &page[T]{gen, p.items}
	}
	a.pages[n].items[i%pageSize] = v
}
