package header

// Groups on a link, RFC 4291 §2.7.1: all nodes, all routers; all routers of a site;
// and that to which reports of MLDv2 go, RFC 3810 §5.2.14. Nobody changes them.
var (
	AllNodes        = [16]byte{0: 0xff, 1: 0x02, 15: 1}
	AllRouters      = [16]byte{0: 0xff, 1: 0x02, 15: 2}
	AllRoutersSite  = [16]byte{0: 0xff, 1: 0x05, 15: 2}
	AllMLDv2Routers = [16]byte{0: 0xff, 1: 0x02, 15: 0x16}
)

// IsMulticast reports whether a names a group, ff00::/8, RFC 4291 §2.7.
func IsMulticast(a *[16]byte) bool { return a[0] == 0xff }

// IsUnspecified reports whether a is ::, RFC 4291 §2.5.2.
func IsUnspecified(a *[16]byte) bool { return *a == [16]byte{} }

// IsLoopback reports whether a is ::1, RFC 4291 §2.5.3.
func IsLoopback(a *[16]byte) bool { return *a == [16]byte{15: 1} }

// IsLinkLocal reports whether a is unicast that no router forwards, fe80::/10,
// RFC 4291 §2.5.6.
func IsLinkLocal(a *[16]byte) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }
