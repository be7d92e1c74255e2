"""The network of an umlaut policy file, for Mininet.

    umlaut run my-policy.yaml &
    mn --custom test/mininet/policy_topo.py --topo=policy,my-policy.yaml \\
       --switch=ovsk,failMode=secure --controller=remote,port=6653

Switches, links, and hosts with a place (`at:`) are the network, as in a lab; ports are numbered as in
the file. A host has the MAC address, IP address and VLAN of the file, on the interface `eth0`. Where
the kernel has no Open vSwitch, add `,datapath=user` to the switch. `=policy,FILE,PREFIX` puts a prefix
before the names of switches.
"""

import re

import yaml
from mininet.node import Host
from mininet.topo import Topo

# An interface of a switch is NAME-ethPORT, and interfaces have at most 15 characters.
SWITCH_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}$")
NETMASK = "/24"


class PolicyHost(Host):
    """A host that sends from a VLAN of its own if it has one. Silent: one that says and answers nothing
    of itself."""

    def config(self, vlan=None, ip=None, silent=False, **params):
        result = super().config(ip=None if vlan or silent else ip, **params)
        if silent:
            self.cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
            return result
        # User-space Open vSwitch does not finish checksums that hosts leave to hardware.
        self.cmd("ethtool -K eth0 tx off")
        if vlan:
            self.cmd(f"ip link add link eth0 name vlan{vlan} type vlan id {vlan}")
            self.cmd(f"ip link set vlan{vlan} up")
            if ip:
                self.cmd(f"ip addr add {ip} dev vlan{vlan}")
        return result


class Policy:
    """What a policy file says of the network. Everything is text until it is a number here."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            # The base loader leaves texts alone: MAC addresses are no numbers to base 60.
            root = yaml.load(file, Loader=yaml.BaseLoader) or {}
        self.names = {name: int(dpid, 0) for name, dpid in (root.get("switches") or {}).items()}
        self.hosts = {
            name: {key: value for key, value in host.items() if key in ("mac", "ip", "vlan")}
            | {"at": self.port(host["at"]) if "at" in host else None}
            for name, host in (root.get("hosts") or {}).items()
        }
        self.links = [tuple(map(self.port, link)) for link in root.get("links") or []]
        ends = [end for link in self.links for end in link]
        ends += [host["at"] for host in self.hosts.values() if host["at"]]
        self.dpids = sorted(set(self.names.values()) | {dpid for dpid, _ in ends})

    def port(self, text):
        """`s1/3` or `0x1/3` as datapath id and port number."""
        switch, _, port = text.rpartition("/")
        return (self.names[switch] if switch in self.names else int(switch, 0), int(port))

    def switch_name(self, dpid, prefix=""):
        """The name of the file if it can be one of an interface, else the number."""
        for name, number in self.names.items():
            if number == dpid and not prefix and SWITCH_NAME.match(name):
                return name
        return f"{prefix or 's'}{dpid:x}"


class PolicyTopo(Topo):
    """The topology `policy`."""

    def build(self, path, prefix="", silent=False):
        policy = Policy(path)
        names = {dpid: policy.switch_name(dpid, prefix) for dpid in policy.dpids}
        for dpid, name in names.items():
            self.addSwitch(name, dpid=f"{dpid:016x}")
        for name, host in policy.hosts.items():
            if host["at"] is None:
                continue
            ip = host["ip"].split("/")[0] + NETMASK if "ip" in host else None
            self.addHost(name, cls=PolicyHost, ip=ip, mac=host["mac"], vlan=host.get("vlan"),
                         silent=silent)
            dpid, port = host["at"]
            self.addLink(name, names[dpid], intfName1="eth0", port2=port)
        for (a, port_a), (b, port_b) in policy.links:
            self.addLink(names[a], names[b], port1=port_a, port2=port_b)


topos = {"policy": PolicyTopo}
