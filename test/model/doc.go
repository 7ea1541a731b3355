// Package model has only a test: SPIN explores lifetime.pml, which is the end of an
// interface step by step, in every interleaving there is. Torture finds what is
// likely; this finds what is possible.
//
// It needs spin and gcc, and ROUTER6D_PRIVILEGED=1, since only make test installs
// what is missing.
package model
