"""The network of an umlaut policy file, for Mininet.

    umlaut run my-policy.yaml &
    mn --custom test/mininet/policy_topo.py --topo=policy,my-policy.yaml \\
       --switch=ovsk,failMode=secure --controller=remote,port=6653

Switches, links, and hosts with a place (`at:`) are the network, as in a lab; ports are numbered as in
the file. A host has the MAC address, IP address and VLAN of the file, on the interface `eth0`. What
Mininet cannot have is left out, with a line that names it. Where the kernel has no Open vSwitch, add
`,datapath=user` to the switch. `=policy,FILE,PREFIX` puts a prefix before the names of switches.
"""

import re
import socket

import yaml
from mininet.log import warn
from mininet.node import Host, RemoteController
from mininet.topo import Topo

# An interface of a switch is NAME-ethPORT, and interfaces have at most 15 characters (IFNAMSIZ).
INTERFACE_LENGTH = 15
SWITCH_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
# The highest number that Open vSwitch gives to a port (ovs-vswitchd.conf.db(5), ofport_request).
MOST_PORTS = 65279
# Names in one line.
NAMED = 8
# How long a controller may take to accept a connection, in seconds.
CONNECT_LIMIT = 2
NETMASK = "/24"
NETMASK_6 = "/64"


class PolicyHost(Host):
    """A host that sends from a VLAN of its own if it has one. Silent: one that says and answers nothing
    of itself."""

    def config(self, vlan=None, ip=None, ip6=None, silent=False, **params):
        result = super().config(ip=None if vlan or silent else ip, **params)
        if silent:
            self.cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
            return result
        # User-space Open vSwitch does not finish checksums that hosts leave to hardware.
        self.cmd("ethtool -K eth0 tx off")
        device = "eth0"
        if vlan:
            device = f"vlan{vlan}"
            told = self.cmd(f"ip link add link eth0 name {device} type vlan id {vlan}").strip()
            if told:
                warn(f"*** {self.name} is not in VLAN {vlan} and has no address: {told}\n")
                return result
            self.cmd(f"ip link set {device} up")
            if ip:
                self.cmd(f"ip addr add {ip} dev {device}")
        if ip6:
            self.cmd(f"ip -6 addr add {ip6} dev {device} nodad")
        return result


class Remote(RemoteController):
    """A controller that runs elsewhere, as Mininet's own.

    Mininet 2.3 asks by telnet whether it listens. If telnet prints the controller's hello before it
    ends, Mininet takes the byte 1 in it (the element of versions, OpenFlow 1.3 section 7.5.1) for the
    mark before a process id, and reads on for that id without end (Node.monitor)."""

    def isListening(self, ip, port):
        try:
            socket.create_connection((ip, port), CONNECT_LIMIT).close()
            return True
        except OSError as why:
            warn(f"*** no controller at {ip}:{port}: {why}\n")
            return False


class LeftOut(Exception):
    """Why Mininet cannot have something."""


def number(text):
    """A number as policies write it: decimal, whatever zeros it begins with, or hex, octal, binary
    behind `0x`, `0o`, `0b`."""
    return int(text, 0 if text[:1] == "0" and text[1:2].isalpha() else 10)


class Policy:
    """The network that a policy file describes, as far as Mininet can have it. The file is one that
    `umlaut check` accepts."""

    def __init__(self, path):
        with open(path, encoding="utf-8-sig") as file:
            # The base loader leaves texts alone: MAC addresses are no numbers to base 60.
            root = yaml.load(file, Loader=yaml.BaseLoader) or {}
        self.left_out = []
        self.taken = {}
        self.names = {
            name: number(switch["dpid"] if isinstance(switch, dict) else switch)
            for name, switch in (root.get("switches") or {}).items()
        }
        self.dpids = set(self.names.values())
        self.links = []
        for ends in root.get("links") or []:
            self.read_link(*ends)
        self.hosts = {}
        nowhere = []
        for name, host in (root.get("hosts") or {}).items():
            if "at" in host:
                self.read_host(name, host)
            else:
                nowhere.append(name)
        if nowhere:
            names = ", ".join(nowhere[:NAMED]) + ", …" * (len(nowhere) > NAMED)
            self.left_out.append(f"hosts without a place (at): {names}")
        # A switch of which only members speak is one of the network, too.
        for slice_ in (root.get("slices") or {}).values():
            for member in slice_.get("members") or []:
                pins = [pin["port"] if isinstance(pin, dict) else pin
                        for pin in member.get("only_at") or []]
                self.dpids |= {self.end(text)[0] for text in [member.get("port"), *pins] if text}
        if 0 in self.dpids:
            self.dpids.remove(0)
            self.left_out.append(f"switch {self.written(0)}: Open vSwitch has no datapath id 0")

    def read_link(self, a, b):
        if isinstance(a, dict):
            a, b = b, a
        if isinstance(b, dict):
            # Mininet's topologies have no interfaces of the machine.
            dpid, port = self.end(a)
            self.dpids.add(dpid)
            self.taken[dpid, port] = f"interface {b['interface']}"
            self.left_out.append(
                f"interface {b['interface']} in {a}, which is none of Mininet's; ovs-vsctl add-port "
                f"plugs it in, with ofport_request={port}")
            return
        ends = self.end(a), self.end(b)
        self.dpids |= {dpid for dpid, _ in ends}
        try:
            for end, text in zip(ends, (a, b)):
                self.plug(end, text, f"link {a}-{b}")
            self.links.append(ends)
        except LeftOut as why:
            self.left_out.append(f"link {a}-{b}: {why}")

    def read_host(self, name, host):
        end = self.end(host["at"])
        self.dpids.add(end[0])
        try:
            self.plug(end, host["at"], f"host {name}")
        except LeftOut as why:
            self.left_out.append(f"host {name}: {why}")
            return
        ip = host.get("ip", "")
        self.hosts[name] = {
            "at": end,
            "mac": host["mac"].replace("-", ":").lower(),
            "ip": ip + NETMASK if ip and ":" not in ip else None,
            "ip6": ip + NETMASK_6 if ":" in ip else None,
            "vlan": number(host["vlan"]) if "vlan" in host else None,
        }

    def end(self, text):
        """`s1/3`, `0x1/0x3` or `1/local` as datapath id and port number, None for the local port."""
        switch, _, port = text.partition("/")
        dpid = self.names[switch] if switch in self.names else number(switch)
        return (dpid, None if port.lower() == "local" else number(port))

    def plug(self, end, text, what):
        """Notes a cable in a port that can have one."""
        dpid, port = end
        if dpid == 0:
            raise LeftOut("Open vSwitch has no datapath id 0")
        if port is None:
            raise LeftOut(f"{text} is the switch's own port, which takes no cable")
        if port > MOST_PORTS:
            raise LeftOut(f"{text}: ports of Open vSwitch end at {MOST_PORTS}")
        if end in self.taken:
            raise LeftOut(f"{self.taken[end]} is in {text} already")
        self.taken[end] = what

    def written(self, dpid):
        """A switch as the file writes it."""
        named = [name for name, known in self.names.items() if known == dpid]
        return f"{named[0]} ({dpid:#x})" if named else f"{dpid:#x}"

    def switch_names(self, prefix=""):
        """The name of each switch in Mininet: that of the file if it can be one of interfaces and there
        is no prefix, else its number. Nothing else has the name."""
        ports = {dpid: 1 for dpid in self.dpids}
        ends = [end for link in self.links for end in link]
        for dpid, port in ends + [host["at"] for host in self.hosts.values()]:
            ports[dpid] = max(ports[dpid], port)
        names = {}
        given = {dpid: name for name, dpid in self.names.items()} if not prefix else {}

        def take(dpid, name):
            free = name not in self.hosts and name not in names.values()
            if free and len(f"{name}-eth{ports[dpid]}") <= INTERFACE_LENGTH:
                names[dpid] = name
            return dpid in names

        for dpid in sorted(self.dpids):
            if SWITCH_NAME.fullmatch(given.get(dpid, "")):
                take(dpid, given[dpid])
        for dpid in sorted(self.dpids - set(names)):
            if not take(dpid, f"{prefix or 's'}{dpid:x}"):
                # So many that one of them is free.
                spare = range(len(self.dpids) + len(self.hosts) + 1)
                any(take(dpid, f"{prefix or 'u'}{index}") for index in spare)
        return names


class PolicyTopo(Topo):
    """The topology `policy`."""

    def build(self, path, prefix="", silent=False):
        policy = Policy(path)
        for line in policy.left_out:
            warn(f"*** left out: {line}\n")
        names = policy.switch_names(prefix)
        for dpid, name in sorted(names.items()):
            if not prefix and policy.names.get(name) != dpid:
                warn(f"*** switch {policy.written(dpid)} is {name} here\n")
            self.addSwitch(name, dpid=f"{dpid:016x}")
        for name, host in policy.hosts.items():
            dpid, port = host["at"]
            self.addHost(name, cls=PolicyHost, ip=host["ip"], ip6=host["ip6"], mac=host["mac"],
                         vlan=host["vlan"], silent=silent)
            self.addLink(name, names[dpid], intfName1="eth0", port2=port)
        for (a, port_a), (b, port_b) in policy.links:
            self.addLink(names[a], names[b], port1=port_a, port2=port_b)


topos = {"policy": PolicyTopo}
# In place of Mininet's own.
controllers = {"remote": Remote}
