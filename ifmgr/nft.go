package ifmgr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A table of nf_tables that drops the IPv6 of one link before and behind the
// kernel's stack. Packet sockets see what is received before that, and what they
// send passes neither hook. The table is its socket's: it goes when that is closed,
// by whomever.
const (
	nftOwner  = 2    // NFT_TABLE_F_OWNER
	nftRaw    = -300 // before all that others hook there
	nftFilter = "filter"
)

// hooks is where packets are dropped, and by which side of them a link is known.
var hooks = []struct {
	chain     string
	hook, key uint32
}{
	{"in", unix.NF_INET_PRE_ROUTING, unix.NFT_META_IIF},
	{"out", unix.NF_INET_POST_ROUTING, unix.NFT_META_OIF},
}

// dropIPv6 makes a table for the link of that number in the caller's network
// namespace, which is there until the file is closed.
func dropIPv6(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "nf_tables")
	if err := nftDo(fd, nftTable(index, fd)); err != nil {
		return nil, errors.Join(fmt.Errorf("make nf_tables table: %w", err), f.Close())
	}
	return f, nil
}

// nftTable is the requests that make the table, all or nothing.
func nftTable(index, owner int) []byte {
	table := fmt.Sprintf("router6d-%d-%d-%d", index, os.Getpid(), owner) // an orphan may have one still
	all := nftMessage(unix.NFNL_MSG_BATCH_BEGIN, 0)
	all = append(all, nftMessage(nftType(unix.NFT_MSG_NEWTABLE), unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(table)),
		nl.NewRtAttr(unix.NFTA_TABLE_FLAGS, nftWord(nftOwner)))...)
	for _, h := range hooks {
		at := nl.NewRtAttr(unix.NFTA_CHAIN_HOOK, nil)
		at.AddRtAttr(unix.NFTA_HOOK_HOOKNUM, nftWord(h.hook))
		priority := int32(nftRaw)
		at.AddRtAttr(unix.NFTA_HOOK_PRIORITY, nftWord(uint32(priority)))
		all = append(all, nftMessage(nftType(unix.NFT_MSG_NEWCHAIN), unix.NLM_F_ACK|unix.NLM_F_CREATE,
			nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated(table)),
			nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated(h.chain)),
			nl.NewRtAttr(unix.NFTA_CHAIN_TYPE, nl.ZeroTerminated(nftFilter)),
			at)...)
		all = append(all, nftMessage(nftType(unix.NFT_MSG_NEWRULE), unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_APPEND,
			nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(table)),
			nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(h.chain)),
			nftDrop(h.key, index))...)
	}
	return append(all, nftMessage(unix.NFNL_MSG_BATCH_END, 0)...)
}

// nftDrop is the expressions of a rule: load the number of the link, compare, drop.
func nftDrop(key uint32, index int) *nl.RtAttr {
	all := nl.NewRtAttr(unix.NFTA_RULE_EXPRESSIONS, nil)
	expression := func(name string) *nl.RtAttr {
		e := all.AddRtAttr(unix.NFTA_LIST_ELEM, nil)
		e.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated(name))
		return e.AddRtAttr(unix.NFTA_EXPR_DATA, nil)
	}
	meta := expression("meta")
	meta.AddRtAttr(unix.NFTA_META_KEY, nftWord(key))
	meta.AddRtAttr(unix.NFTA_META_DREG, nftWord(unix.NFT_REG_1))
	cmp := expression("cmp")
	cmp.AddRtAttr(unix.NFTA_CMP_SREG, nftWord(unix.NFT_REG_1))
	cmp.AddRtAttr(unix.NFTA_CMP_OP, nftWord(unix.NFT_CMP_EQ))
	cmp.AddRtAttr(unix.NFTA_CMP_DATA, nil).AddRtAttr(unix.NFTA_DATA_VALUE, binary.NativeEndian.AppendUint32(nil, uint32(index)))
	drop := expression("immediate")
	drop.AddRtAttr(unix.NFTA_IMMEDIATE_DREG, nftWord(unix.NFT_REG_VERDICT))
	drop.AddRtAttr(unix.NFTA_IMMEDIATE_DATA, nil).AddRtAttr(unix.NFTA_DATA_VERDICT, nil).
		AddRtAttr(unix.NFTA_VERDICT_CODE, nftWord(0)) // NF_DROP
	return all
}

func nftType(msg int) int { return unix.NFNL_SUBSYS_NFTABLES<<8 | msg }

// nftWord is a number as nf_tables has it.
func nftWord(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func nftMessage(msg, flags int, attrs ...*nl.RtAttr) []byte {
	req := nl.NewNetlinkRequest(msg, flags)
	head := &nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_IPV6, Version: unix.NFNETLINK_V0}
	if flags == 0 { // begin and end name the subsystem instead
		head.NfgenFamily, head.ResId = unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES
	}
	req.AddData(head)
	for _, a := range attrs {
		req.AddData(a)
	}
	return req.Serialize()
}

// nftDo sends requests and reads the answers, which are there when it was sent.
func nftDo(fd int, requests []byte) error {
	if err := unix.Sendto(fd, requests, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if errno := nftErrno(m); errno != 0 {
				return errno
			}
		}
	}
}

func nftErrno(m syscall.NetlinkMessage) unix.Errno {
	if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
}
