// Package control is the router's control API: HTTP and JSON over a unix
// socket that only its owner may open. The command line uses nothing else.
//
// It holds no state: what is shown is read from the router in one turn, and
// what is changed is a method of the router.
//
// Files in reading order: api.go (what goes over the socket), show.go (from the
// router to that), server.go, follow.go, capture.go, client.go.
package control
