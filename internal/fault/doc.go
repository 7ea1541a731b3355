// Package fault holds the faults that can be built into the router, to see that
// the tests see them. Without a build tag all of it is constant and compiled
// away.
//
//	torture           Hold stops workers between lookup and send, and who has found
//	                  a PPPoE session before he sends through it
//	mutant_nograce    nobody waits for readers
//	mutant_nowithdraw the FIB is not told that an interface goes
//	mutant_noguard    the router's own TCP sends outside of its epoch
package fault
