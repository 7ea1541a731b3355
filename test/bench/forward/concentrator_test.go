//go:build bench

package forward

import (
	crand "crypto/rand"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ac"
)

const (
	dialIn  = "ppp0"  // the concentrator's device in dst
	carried = "veth1" // the link that it serves
)

// A concentrator is what a router dials into: the machine of pppoe/ac, a packet
// socket and, towards dst, a TUN that puts segments together again and cuts what
// does not go through PPPoE as it is.
type concentrator struct {
	wire *link.PacketSocket
	host tun.Device
	pool *link.Pool

	mu      sync.Mutex // both directions and the clock step it
	machine *ac.Concentrator
}

func concentrate(string) error {
	wire, err := link.OpenPacketSocket(carried, [6]byte{}, 1)
	if err != nil {
		return err
	}
	host, err := tun.CreateTUN(dialIn, pppoe.DefaultMTU)
	if err != nil {
		return err
	}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	c := &concentrator{wire: wire, host: host, pool: link.NewPool(3)}
	c.machine = ac.New(ac.Config{MAC: wire.HardwareAddr(), Name: "bench", MTU: pppoe.DefaultMTU, Random: rand.New(rand.NewChaCha8(seed))})
	go c.up()
	go c.down()
	go c.tick()
	return nil
}

// up takes frames from the wire, and hands packets to dst.
func (c *concentrator) up() {
	b := link.NewBatch(c.pool)
	bufs := tunBuffers(link.VectorSize)
	packets := make([][]byte, 0, len(bufs))
	for {
		if c.wire.Recv(b) != nil {
			continue // down for now
		}
		packets = packets[:0]
		var answers [][]byte
		c.mu.Lock()
		for i := range b.Len() {
			out := c.machine.Receive(time.Now(), b.At(i).Bytes())
			answers = append(answers, out.Send...)
			if out.Packet != nil {
				buf := bufs[len(packets)]
				packets = append(packets, buf[:tunOffset+copy(buf[tunOffset:], out.Packet)])
			}
		}
		c.mu.Unlock()
		b.End()
		c.send(answers)
		if len(packets) > 0 {
			_, _ = c.host.Write(packets, tunOffset) // lost, as on any link
		}
	}
}

// down takes packets from dst to the one session that there is.
func (c *concentrator) down() {
	n := c.host.BatchSize()
	bufs, sizes := tunBuffers(n), make([]int, n)
	for {
		n, err := c.host.Read(bufs, sizes, tunOffset)
		if err != nil {
			continue // down for now, or more segments than fit
		}
		var frames [][]byte
		c.mu.Lock()
		if all := c.machine.Sessions(); len(all) > 0 {
			for i := range n {
				frames = append(frames, c.machine.Encapsulate(all[0], bufs[i][tunOffset:][:sizes[i]]))
			}
		}
		c.mu.Unlock()
		c.send(frames)
	}
}

// tick lets the machine do what is due.
func (c *concentrator) tick() {
	for now := range time.Tick(100 * time.Millisecond) {
		c.mu.Lock()
		out := c.machine.Expire(now)
		c.mu.Unlock()
		c.send(out.Send)
	}
}

// send puts frames on the wire, so many at a time as an injected batch may be of.
func (c *concentrator) send(frames [][]byte) {
	b := link.NewBatch(c.pool)
	for some := range slices.Chunk(frames, 32) {
		b.Inject(some...)
		_ = c.wire.Send(&b.Vector) // lost, as on any link
		b.End()
	}
}
