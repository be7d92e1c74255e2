"""A tree of three switches and four hosts under `umlaut run`, by Mininet's pingall.

Hosts 1 and 4 are one slice by MAC address, hosts 2 and 3 another by port. Pings must succeed inside
the slices and fail between them, in both versions. Prints a line per version and exits with 1 on
any other outcome.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading

from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topolib import TreeTopo

from bounded import within
from policy_topo import Remote

PORT = 26653
DEADLINE = 60
# How long pings may take, in seconds: those between slices wait for a second each.
PINGS = 120
BRIDGES = ("s1", "s2", "s3")
POLICY = """
umlaut: 1
switches: {s2: 0x2, s3: 0x3}
slices:
  outer: {members: [{mac: "00:00:00:00:00:01"}, {mac: "00:00:00:00:00:04"}]}
  inner: {members: [{port: s2/2}, {port: s3/1}]}
"""
SLICES = [{"h1", "h4"}, {"h2", "h3"}]


def same_slice(a, b):
    return any({a, b} <= members for members in SLICES)


class Controller:
    """`umlaut run` as a child, which ends with this process; its log is read until a line with the
    wanted text comes."""

    def __init__(self, binary, policy):
        command = [binary, "run", "--until-eof", "--listen", f"127.0.0.1:{PORT}", policy]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stderr:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()

    def wait(self, text, count=1):
        def seen():
            return sum(text in line for line in self.lines) >= count

        with self.changed:
            if not self.changed.wait_for(seen, DEADLINE):
                raise SystemExit(f"no {text!r} from the controller:\n{''.join(self.lines[-20:])}")

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(DEADLINE)


def clean():
    """Removes the switches and the cables between them; those of hosts go with their shells."""
    for bridge in BRIDGES:
        subprocess.run(["ovs-vsctl", "--timeout=10", "--if-exists", "del-br", bridge])
    for name in os.listdir("/sys/class/net"):
        if name.startswith(tuple(f"{bridge}-eth" for bridge in BRIDGES)):
            subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)


def run(binary, version):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as policy:
        policy.write(POLICY)
        policy.flush()
        controller = Controller(binary, policy.name)
        controller.wait("listening")
        with within(DEADLINE, "make its nodes", clean):
            net = Mininet(
                topo=TreeTopo(depth=2, fanout=2),
                switch=lambda name, **kw: OVSSwitch(
                    name, datapath="user", failMode="secure", protocols=version,
                    reconnectms=1000, **kw),
                controller=lambda name: Remote(name, ip="127.0.0.1", port=PORT),
                autoSetMacs=True,
            )
        try:
            with within(DEADLINE, "start its network", clean):
                net.start()
            controller.wait("switch ready", count=3)
            controller.wait("link up", count=4)
            with within(PINGS, "ping all", clean):
                wrong = ping_all(net)
            print(f"mininet tree, {version}: {len(wrong)} of 12 pairs are wrong {wrong}")
            return not wrong
        finally:
            with within(DEADLINE, "stop its network", clean):
                net.stop()
            controller.stop()


def ping_all(net):
    """The pairs of which a ping arrived that should not have, or did not that should have."""
    for host in net.hosts:
        # User-space Open vSwitch does not finish checksums that hosts leave to hardware.
        host.cmd(f"ethtool -K {host.defaultIntf()} tx off")
    # The members by MAC are found once each has spoken.
    net.pingAll(timeout="1")
    wrong = []
    for a in net.hosts:
        for b in net.hosts:
            if a == b:
                continue
            arrived = "1 received" in a.cmd(f"ping -c 1 -W 1 {b.IP()}")
            if arrived != same_slice(a.name, b.name):
                wrong.append(f"{a.name} -> {b.name}: {'arrived' if arrived else 'lost'}")
    return wrong


def main():
    if os.geteuid() != 0:
        raise SystemExit("Mininet needs root")
    results = [run(sys.argv[1], version) for version in ("OpenFlow10", "OpenFlow13")]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if all(results) else 1)


main()
