//go:build !torture

package fault

// Hold is where a worker can be stopped.
func Hold(string) {}
