// Package torture has only tests: what the router must survive, on real devices,
// with harnesses that see it if it does not. The mutants (see package fault)
// are the proof that they see.
//
//	go test                                        plain go test: nothing, it needs privilege
//	ROUTER6D_PRIVILEGED=1 go test -tags torture    the router as it is
//	… -tags 'torture mutant_nograce' -run Tags     must be caught
//	… -tags 'torture mutant_nowithdraw' -run Tags  must be caught
//	… -tags 'torture mutant_noguard' -run TimersOver, or RedialsUnder: likewise
package torture
