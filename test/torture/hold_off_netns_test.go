//go:build !torture

package torture

import "testing"

func (f *flapper) holdWorkers(*testing.T) {}

func (f *flapper) release() { f.freed.Store(true) }
