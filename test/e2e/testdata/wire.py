"""Puts packets on devices and says what comes back.

Usage: wire.py DEVICE...

Reads commands from standard input, one JSON object a line, and answers each
with one line of JSON:

  {"packet": "IPv6(dst='2001:db8:2::2')/...", "repeat": 1}

The packet is a scapy expression, or a list of some; bytes go as they are. It is
put on the first device as if the kernel had sent it. Then a ping to the router
follows, and everything that arrived on any device before its answer is the
answer: the router takes packets in order.
"""

import json
import logging
import os
import socket
import struct
import sys

logging.getLogger("scapy").setLevel(logging.CRITICAL)

from scapy.all import *  # noqa: E402,F403

ETH_P_ALL, ETH_P_IPV6 = 3, 0x86DD
SOL_PACKET, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 263, 23, 33
ROUTER, SELF = "2001:db8:1::1", "2001:db8:1::2"


def open_device(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.bind((name, ETH_P_ALL))
    s.settimeout(30)
    return s


devices = {name: open_device(name) for name in sys.argv[1:]}
first = sys.argv[1]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sender.bind((first, 0))
serial = 0


def send(packet):
    data = packet if isinstance(packet, bytes) else bytes(packet)
    while True:
        try:
            sender.sendto(data, (first, ETH_P_IPV6))
            return data
        except OSError as e:
            if e.errno != 105:  # ENOBUFS: the device is full, the router is busy
                raise


def describe(name, data, sent):
    p = IPv6(data)
    a = {"dev": name, "src": p.src, "dst": p.dst, "hop_limit": p.hlim, "next": p.nh, "len": len(data)}
    if p.nh == 58:
        icmp = data[40:]
        a["type"], a["code"] = icmp[0], icmp[1]
        a["param"] = struct.unpack("!I", icmp[4:8])[0]
        pseudo = data[8:40] + struct.pack("!I3xB", len(icmp), 58)
        total = sum(struct.unpack("!%dH" % ((len(pseudo + icmp) + 1) // 2), pseudo + icmp + b"\0" * (len(icmp) % 2)))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        a["checksum_ok"] = total == 0xFFFF
        a["quotes"] = any(icmp[8:] == s[: 1280 - 48] for s in sent)
    a["same"] = any(data == s for s in sent)
    # What a router changes is the hop limit alone.
    a["forwarded"] = any(len(s) > 7 and data == s[:7] + bytes([(s[7] - 1) & 0xFF]) + s[8:] for s in sent)
    return a


def marker():
    global serial
    serial += 1
    return serial, IPv6(src=SELF, dst=ROUTER) / ICMPv6EchoRequest(id=0x6D61, seq=serial & 0xFFFF, data=struct.pack("!I", serial))


def is_reply(data, serial):
    return len(data) == 52 and data[6] == 58 and data[40] == 129 and data[44:46] == b"ma" and struct.unpack("!I", data[48:])[0] == serial


def run(command):
    packets = eval(command["packet"])
    if not isinstance(packets, list):
        packets = [packets]
    ready = [p if isinstance(p, bytes) else bytes(p) for p in packets]
    sent = [send(p) for _ in range(command.get("repeat", 1)) for p in ready]
    number, m = marker()
    send(m)
    answers, done = [], False
    while not done:
        data = devices[first].recv(65536)
        if is_reply(data, number):
            done = True
        else:
            answers.append(describe(first, data, ready))
    for name, s in devices.items():
        if name == first:
            continue
        s.setblocking(False)
        try:
            while True:
                answers.append(describe(name, s.recv(65536), ready))
        except BlockingIOError:
            pass
    return {"sent": len(sent), "answers": answers}


for line in sys.stdin:
    try:
        answer = run(json.loads(line))
    except Exception as e:  # told, for the test to fail
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
