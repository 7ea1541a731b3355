// Package web is what the router offers in-band to people and machines over HTTP:
// the status page, the API that the control socket has, and the metrics. Who has no
// token may look, and change nothing.
//
// It knows no router: it is given handlers, and a listener.
//
// Files in reading order: server.go, gate.go, certificate.go, page.go.
package web
