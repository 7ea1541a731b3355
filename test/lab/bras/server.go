package bras

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// A Server is an access concentrator that runs until the end of its test.
type Server struct {
	t       testing.TB
	options Options
	mac     string
	// uplinkMAC is that of its other line.
	uplinkMAC string
	silent    bool
	guest     *guest // nil without power
}

var servers atomic.Uint32 // have been started; gives them their addresses

// Start starts a server and returns when it answers, after 2 seconds on a machine
// that is idle. At the end of the test it and its devices are gone; if the test
// has failed, its logs are shown. Needs what nstest.Privileged wants.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	nstest.Privileged(t)
	options.fill()
	n := byte(servers.Add(1))
	s := &Server{t: t, options: options, mac: fmt.Sprintf("02:52:36:00:00:%02x", n), uplinkMAC: fmt.Sprintf("02:52:37:00:00:%02x", n)}
	s.lay()
	t.Cleanup(s.stop)
	s.PowerOn()
	return s
}

// PowerOn starts the server anew, with the options it has come to have.
func (s *Server) PowerOn() {
	s.t.Helper()
	if s.guest != nil {
		s.t.Fatal("bras: has power")
	}
	g, err := boot(s.options.Namespace, s.lines())
	s.guest = g
	s.must(err)
	s.configure()
	s.connect()
	s.serve()
}

// PowerCut ends the server from one instant to the next. Its clients are told
// nothing, but the line has no carrier until PowerOn.
func (s *Server) PowerCut() {
	s.t.Helper()
	s.powered()
	s.unplug()
	s.must(s.options.Namespace.DeleteLink(s.options.bridge()))
	s.must(s.guest.kill())
	s.guest = nil
}

// SetAuth changes what is demanded of those who dial in from now on.
func (s *Server) SetAuth(auth Auth) {
	s.t.Helper()
	s.options.Auth = auth
	s.configure()
}

// SetSecret changes who may dial in from now on.
func (s *Server) SetSecret(user, password string) {
	s.t.Helper()
	s.options.User, s.options.Password = user, password
	s.configure()
}

// MAC is the server's address.
func (s *Server) MAC() string { return s.mac }

// Run runs a shell command in the guest and returns what it said. A command that
// fails ends the test.
func (s *Server) Run(command string) string {
	s.t.Helper()
	s.powered()
	output, err := s.guest.run(command)
	s.must(err)
	return output
}

// configure writes pppd's files, which each session reads at its start. Changed
// ones take the place of the old at once.
func (s *Server) configure() {
	s.t.Helper()
	secrets := s.options.secrets()
	s.Run(strings.Join([]string{
		"umask 077", "mkdir -p /etc/ppp/new", "cd /etc/ppp/new",
		write("options", ""), write("server", s.options.pppd()),
		write("pap-secrets", secrets), write("chap-secrets", secrets),
		"mv * ..",
	}, " && "))
}

// connect sets up the guest's devices.
func (s *Server) connect() {
	s.t.Helper()
	commands := []string{
		"sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.vec0.disable_ipv6=1",
		fmt.Sprintf("ip link set vec0 mtu %d up", s.options.MTU),
		fmt.Sprintf("ip -6 address add %s dev lo", Host),
	}
	if v := s.options.VLAN; v != 0 {
		commands = append(commands,
			fmt.Sprintf("ip link add link vec0 name vlan type vlan id %d", v),
			"sysctl -qw net.ipv6.conf.vlan.disable_ipv6=1",
			"ip link set vlan up")
	}
	if s.options.Uplink != nil {
		commands = append(commands, "ip link set vec1 up",
			fmt.Sprintf("ip -6 address add %s dev vec1 nodad", uplink),
			fmt.Sprintf("ip -6 route add default via %s", Internet))
	}
	s.Run(strings.Join(commands, " && "))
	s.plug()
	s.impair()
}

// serve starts the server and waits for its socket.
func (s *Server) serve() {
	s.t.Helper()
	args := []string{
		"pppoe-server", "-F", "-I", s.options.device(), "-C", quote(s.options.Name),
		"-L", Host4.String(), "-R", Host4.Next().String(), "-N", "1000", "-r",
		"-q", "/etc/ppp/session", "-O", "/etc/ppp/server",
	}
	for _, name := range s.options.Services {
		args = append(args, "-S", quote(name))
	}
	s.Run(strings.Join(args, " ") + " >" + serverLog + " 2>&1 </dev/null & " +
		`while [ "$(wc -l </proc/net/packet)" -lt 2 ]; do kill -0 $! && sleep 0.02 || { cat ` + serverLog + `; exit 1; }; done`)
}

// write is the shell's command to write a file: it needs no other program, and
// fits on a line.
func write(path, content string) string {
	var octal strings.Builder
	for _, b := range []byte(content) {
		fmt.Fprintf(&octal, `\%03o`, b)
	}
	return fmt.Sprintf("printf %%b '%s' >%s", &octal, path)
}

func (s *Server) stop() {
	if s.guest != nil {
		if s.t.Failed() {
			s.t.Logf("bras %s:\n%s", s.options.Name, s.guest.logs())
		}
		if err := s.guest.kill(); err != nil {
			s.t.Error(err)
		}
	}
	s.lift()
}

func (s *Server) powered() {
	s.t.Helper()
	if s.guest == nil {
		s.t.Fatal("bras: has no power")
	}
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("bras %s: %v", s.options.Name, err)
	}
}
