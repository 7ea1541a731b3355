package ifmgr

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/pppoe"
)

// maxMail is how many frames wait for the loop. A session has a few of them now and
// then, and what is lost is sent again.
const maxMail = 32

// mail is frames on their way from workers to the loop. Nobody waits in it.
type mail struct {
	// Those who put have a guard and no turn, the one who takes a turn and no guard.
	mu     sync.Mutex
	frames [][]byte
	closed bool
}

// put copies a frame; false means that there is no room.
func (m *mail) put(b []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.frames) == maxMail {
		return false
	}
	m.frames = append(m.frames, append([]byte(nil), b...))
	return true
}

func (m *mail) take() (all [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, m.frames = m.frames, nil
	return all
}

func (m *mail) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames, m.closed = nil, true
}

// Recall says where the sessions that are open are noted, so that one whose router
// was killed is ended by the next. It comes before the first Attach.
func (m *Manager) Recall(dir string) { m.sessions = dir }

// noted is a session as the file has it.
type noted struct {
	Session uint16 `json:"session"`
	Peer    string `json:"peer"`
}

// note writes down the session of an interface; zero: there is none.
func (m *Manager) note(name string, s pppoe.Stale) {
	if m.sessions == "" {
		return
	}
	file := filepath.Join(m.sessions, name)
	var err error
	if s != (pppoe.Stale{}) {
		err = writeNoted(file, noted{s.ID, config.MAC(s.Peer).String()})
	} else if err = os.Remove(file); err == nil {
		_ = os.Remove(m.sessions) // unless others are in it
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("session not noted", zap.String("iface", name), zap.Error(err))
	}
}

func writeNoted(file string, n noted) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file) // half a note is none
}

// recalled is what was noted; zero if there is nothing, or nothing that makes sense.
func (m *Manager) recalled(name string) pppoe.Stale {
	if m.sessions == "" {
		return pppoe.Stale{}
	}
	s, err := readNoted(filepath.Join(m.sessions, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("session not recalled", zap.String("iface", name), zap.Error(err))
	}
	return s
}

func readNoted(file string) (s pppoe.Stale, err error) {
	var n noted
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		return s, err
	}
	mac, err := config.ParseMAC(n.Peer)
	if err != nil {
		return s, err
	}
	return pppoe.Stale{ID: n.Session, Peer: mac}, nil
}
