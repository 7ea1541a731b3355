//go:build !torture

package torture

import "testing"

func holdWorkers(*testing.T, int64, func()) {}
