package bras

import (
	"encoding/base64"
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
	silent  bool
	guest   *guest // nil without power
}

var servers atomic.Uint32 // have been started; gives them their addresses

// Start starts a server and returns when it answers, after 2 seconds on a machine
// that is idle. At the end of the test it and its devices are gone; if the test
// has failed, its logs are shown. Needs what nstest.Privileged wants.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	nstest.Privileged(t)
	options.fill()
	s := &Server{t: t, options: options, mac: fmt.Sprintf("02:52:36:00:00:%02x", byte(servers.Add(1)))}
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

// configure writes pppd's files, which each session reads at its start.
func (s *Server) configure() {
	s.t.Helper()
	s.write("/etc/ppp/options", "")
	s.write("/etc/ppp/server", s.options.pppd())
	s.write("/etc/ppp/pap-secrets", s.options.secrets())
	s.write("/etc/ppp/chap-secrets", s.options.secrets())
}

// connect sets up the guest's devices.
func (s *Server) connect() {
	s.t.Helper()
	s.Run("sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.vec0.disable_ipv6=1")
	s.Run(fmt.Sprintf("ip link set vec0 mtu %d up", s.options.MTU))
	if v := s.options.VLAN; v != 0 {
		s.Run(fmt.Sprintf("ip link add link vec0 name %[1]s type vlan id %d && sysctl -qw net.ipv6.conf.%[1]s.disable_ipv6=1 && ip link set %[1]s up",
			strings.ReplaceAll(s.options.device(), ".", "/"), v))
	}
	if s.options.Uplink != nil {
		s.Run(fmt.Sprintf("ip link set vec1 up && ip -6 address add %s dev vec1 nodad && ip -6 route add default via %s", uplink, Internet))
	}
	s.Run(fmt.Sprintf("ip -6 address add %s dev lo", Host))
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
	s.Run(strings.Join(args, " ") + " >" + serverLog + " 2>&1 </dev/null &")
	s.Run(`until [ "$(wc -l </proc/net/packet)" -ge 2 ]; do pgrep -x pppoe-server >/dev/null && sleep 0.02 || { cat ` + serverLog + `; exit 1; }; done`)
}

// write makes a file in the guest, for root alone.
func (s *Server) write(path, content string) {
	s.t.Helper()
	s.Run(fmt.Sprintf("umask 077; echo %s | base64 -d >%s.new && mv %[2]s.new %[2]s",
		base64.StdEncoding.EncodeToString([]byte(content)), path))
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
