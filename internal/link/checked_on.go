//go:build race || invariants

package link

// checked is whether ended batches are overwritten.
const checked = true
