// Package nstest is for tests that need privilege: it gives a test binary
// network and mount namespaces of its own, and says what a test left behind.
// It imports testing, and is not part of the daemon.
//
// Without ROUTER6D_PRIVILEGED=1 it does nothing, even for root.
//
// Files, in reading order:
//
//	rerun.go       Main: the test binary again, in new namespaces
//	privileged.go  Privileged: skip, or insist
//	leaks.go       NoLeaks: goroutines and descriptors are as before
package nstest
