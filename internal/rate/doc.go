// Package rate says whether something that happens often may happen once more. It
// has no clock: who asks says when.
package rate
