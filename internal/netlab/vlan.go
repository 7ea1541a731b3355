package netlab

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TagLink has a host be in a VLAN, without the kernel's 8021q: a program puts tags on
// all that the link sends, and takes them off what it receives; what has others is
// dropped. Tags are as in a frame, 0x8100_0064, the outermost first.
func (n *Namespace) TagLink(name string, tags ...uint32) error {
	return n.withLink("tag", name, func(dev netlink.Link) error {
		attrs := netlink.QdiscAttrs{LinkIndex: dev.Attrs().Index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}
		if err := netlink.QdiscAdd(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "clsact"}); err != nil {
			return err
		}
		for parent, program := range map[uint32][]instruction{
			netlink.HANDLE_MIN_EGRESS: pushTags(tags), netlink.HANDLE_MIN_INGRESS: popTags(tags),
		} {
			if err := filterLink(dev.Attrs().Index, parent, program); err != nil {
				return err
			}
		}
		return nil
	})
}

func filterLink(index int, parent uint32, program []instruction) error {
	fd, err := loadProgram(program)
	if err != nil {
		return err
	}
	defer closeFD(fd) // the filter keeps it
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          fd, Name: "tags", DirectAction: true,
	})
}

// An instruction is struct bpf_insn: registers are destination and source, low
// half-byte first.
type instruction struct {
	code      uint8
	registers uint8
	offset    int16
	constant  int32
}

// What the programs are made of. Register 6 keeps the packet.
const (
	ok, shot = 0, 2 // verdicts: TC_ACT_OK, TC_ACT_SHOT

	vlanPresent, vlanTCI, vlanProto = 20, 24, 28 // in struct __sk_buff
	helperPush, helperPop           = 18, 19     // bpf_skb_vlan_push, bpf_skb_vlan_pop
)

func move(dst, src uint8) instruction         { return instruction{0xbf, src<<4 | dst, 0, 0} }
func set(dst uint8, v int32) instruction      { return instruction{0xb7, dst, 0, v} }
func load(dst uint8, field int16) instruction { return instruction{0x61, 6<<4 | dst, field, 0} }
func and(dst uint8, v int32) instruction      { return instruction{0x57, dst, 0, v} }
func call(helper int32) instruction           { return instruction{0x85, 0, 0, helper} }

// unless drops the packet, unless dst is v.
func unless(dst uint8, v int32) []instruction {
	return append([]instruction{{0x15, dst, 2, v}}, end(shot)...)
}

func end(verdict int32) []instruction { return []instruction{set(0, verdict), {0x95, 0, 0, 0}} }

func pushTags(tags []uint32) []instruction {
	p := []instruction{move(6, 1)}
	for i := len(tags) - 1; i >= 0; i-- {
		p = append(p, move(1, 6), set(2, wireOrder(tags[i])), set(3, int32(tags[i]&0xffff)), call(helperPush))
		p = append(p, unless(0, 0)...)
	}
	return append(p, end(ok)...)
}

func popTags(tags []uint32) []instruction {
	p := []instruction{move(6, 1)}
	for _, tag := range tags {
		p = append(append(p, load(2, vlanPresent)), unless(2, 1)...)
		p = append(append(p, load(2, vlanProto)), unless(2, wireOrder(tag))...)
		p = append(append(p, load(2, vlanTCI), and(2, 0xfff)), unless(2, int32(tag&0xfff))...)
		p = append(append(p, move(1, 6), call(helperPop)), unless(0, 0)...)
	}
	return append(p, end(ok)...)
}

// wireOrder is the type of a tag as the kernel keeps it.
func wireOrder(tag uint32) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], uint16(tag>>16))
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// loadProgram is BPF_PROG_LOAD of bpf(2).
func loadProgram(program []instruction) (fd int, err error) {
	license := []byte("GPL\x00")
	attr := struct {
		kind, count          uint32
		program, license     uint64
		logLevel, logSize    uint32
		log                  uint64
		kernelVersion, flags uint32
	}{
		kind: unix.BPF_PROG_TYPE_SCHED_CLS, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	r, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if errno != 0 {
		return 0, fmt.Errorf("load program: %w", errno)
	}
	return int(r), nil
}
