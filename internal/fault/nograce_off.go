//go:build !mutant_nograce

package fault

// NoGrace is whether grace periods are over at once.
const NoGrace = false
