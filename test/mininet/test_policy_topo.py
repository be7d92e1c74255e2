"""What `policy_topo.py` makes of every form that policy files have, and how it asks for controllers.
Needs neither Mininet nor root.

    test_policy_topo.py [UMLAUT]

With the path of `umlaut`, the files of the table are checked by it first: each is a legal policy.
"""

import os
import socket
import subprocess
import sys
import tempfile
import types
import unittest


class Topo:
    """As much of Mininet's as is needed: notes what is built."""

    def __init__(self, *args, **params):
        self.built_switches, self.built_hosts, self.built_links = {}, {}, []
        self.build(*args, **params)

    def addSwitch(self, name, dpid):
        assert name not in self.built_switches and name not in self.built_hosts, name
        self.built_switches[name] = dpid

    def addHost(self, name, cls, silent, **params):
        assert name not in self.built_switches and name not in self.built_hosts, name
        self.built_hosts[name] = {key: value for key, value in params.items() if value}

    def addLink(self, a, b, port1=None, port2=None, intfName1=None):
        ends = [(a, port1)] if intfName1 is None else []
        for name, port in ends + [(b, port2)]:
            interface = f"{name}-eth{port}"
            assert len(interface) <= 15, interface
        self.built_links.append(f"{a}/{port1 or intfName1}-{b}/{port2}")


warned = []
modules = {
    "log": {"warn": warned.append},
    "node": {"Host": object, "RemoteController": object},
    "topo": {"Topo": Topo},
}
sys.modules["mininet"] = types.ModuleType("mininet")
for module, names in modules.items():
    module = types.ModuleType(f"mininet.{module}")
    vars(module).update(names)
    sys.modules[module.__name__] = module

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from policy_topo import PolicyTopo, Remote  # noqa: E402: Mininet stands there now

UMLAUT = sys.argv.pop() if len(sys.argv) == 2 else None
SLICES = "slices: {lab: {members: []}}"
ONE = 'a: {mac: "00:00:00:00:00:0a", at: %s}'


def dpid(number):
    return f"{number:016x}"


# name: (policy, switches, hosts, links, what each warning has in it)
TABLE = {
    "a switch with its certificate": (
        "switches: {s1: {dpid: 0x1, cert: s1.lab}, s2: {dpid: 2}}",
        {"s1": dpid(1), "s2": dpid(2)}, {}, [], []),
    "datapath ids in every notation": (
        'switches: {s1: 1, s2: 0x2, s3: "3", s4: "0X4", s5: 005, s8: 0o10, s6: 0b110,'
        " s9: 18446744073709551615}",
        {"s1": dpid(1), "s2": dpid(2), "s3": dpid(3), "s4": dpid(4), "s5": dpid(5), "s8": dpid(8),
         "s6": dpid(6), "s9": "f" * 16}, {}, [], []),
    "ports in every notation": (
        "links: [[0x1/0x3, 1/4], [0X1/5, 2/0x10], [\"3/010\", '4/1']]",
        {"s1": dpid(1), "s2": dpid(2), "s3": dpid(3), "s4": dpid(4)}, {},
        ["s1/3-s1/4", "s1/5-s2/16", "s3/10-s4/1"],
        ["0x1 is s1", "0x2 is s2", "0x3 is s3", "0x4 is s4"]),
    "a host at a port in hex": (
        "switches: {s1: 1}\nhosts: {%s}" % ONE % "0x1/0x3",
        {"s1": dpid(1)}, {"a": {"mac": "00:00:00:00:00:0a"}}, ["a/eth0-s1/3"], []),
    "an interface of the machine": (
        "switches: {s1: 1}\nlinks: [[s1/24, {interface: eth1}], [{interface: eth2}, 0x7/9]]",
        {"s1": dpid(1), "s7": dpid(7)}, {}, [],
        ["interface eth1 in s1/24", "interface eth2 in 0x7/9", "0x7 is s7"]),
    "a switch's own port": (
        "switches: {s1: 1, s2: 2}\nhosts: {%s}\nlinks: [[s1/1, s2/LOCAL]]" % ONE % "s1/local",
        {"s1": dpid(1), "s2": dpid(2)}, {}, [],
        ["link s1/1-s2/LOCAL: s2/LOCAL is the switch's own", "host a: s1/local is the switch's own"]),
    "a port beyond those of Open vSwitch": (
        "switches: {s1: 1, s2: 2}\nlinks: [[s1/65279, s2/65279], [s1/4294967040, s2/1]]",
        {"s1": dpid(1), "s2": dpid(2)}, {}, ["s1/65279-s2/65279"], ["s1/4294967040: ports"]),
    "datapath 0": (
        "switches: {s0: 0, s1: 1}\nhosts: {%s}\nlinks: [[s0/1, s1/1]]" % ONE % "s0/2",
        {"s1": dpid(1)}, {}, [],
        ["link s0/1-s1/1: Open", "host a: Open", "switch s0 (0x0): Open"]),
    "hosts with all that they can have": (
        """switches: {s1: 1}
hosts:
  a: {mac: 00-00-00-00-00-0A, at: s1/1, ip: 10.0.0.1, vlan: 0x14}
  b: {mac: 00:00:00:00:00:0b, at: s1/2, ip: "fd00::b"}
  c.d:e_f-g: {mac: "00:00:00:00:00:0c", at: s1/3, vlan: "30"}""",
        {"s1": dpid(1)},
        {"a": {"mac": "00:00:00:00:00:0a", "ip": "10.0.0.1/24", "vlan": 20},
         "b": {"mac": "00:00:00:00:00:0b", "ip6": "fd00::b/64"},
         "c.d:e_f-g": {"mac": "00:00:00:00:00:0c", "vlan": 30}},
        ["a/eth0-s1/1", "b/eth0-s1/2", "c.d:e_f-g/eth0-s1/3"], []),
    "hosts without a place": (
        'hosts: {a: {mac: "00:00:00:00:00:0a"}, b: {mac: "00:00:00:00:00:0b", ip: 10.0.0.1}}',
        {}, {}, [], ["hosts without a place (at): a, b"]),
    "two cables in one port": (
        """switches: {s1: 1, s2: 2}
links: [[s1/9, s2/9]]
hosts:
  a: {mac: "00:00:00:00:00:0a", at: s1/1}
  b: {mac: "00:00:00:00:00:0b", at: 0x1/0x1, vlan: 20}
  c: {mac: "00:00:00:00:00:0c", at: s2/9}""",
        {"s1": dpid(1), "s2": dpid(2)}, {"a": {"mac": "00:00:00:00:00:0a"}},
        ["a/eth0-s1/1", "s1/9-s2/9"],
        ["host b: host a is in 0x1/0x1 already", "host c: link s1/9-s2/9 is in s2/9 already"]),
    "switches of which only members speak": (
        """hosts: {a: {mac: "00:00:00:00:00:0a"}}
slices:
  red: {members: [{port: 0x1/1}, {port: 2/local, mac: "00:00:00:00:00:01"}]}
  blue: {members: [{host: a, only_at: [3/1, {port: 0x4/1, vlan: 7}]}]}
  none: {description: nobody}""",
        {"s1": dpid(1), "s2": dpid(2), "s3": dpid(3), "s4": dpid(4)}, {}, [],
        ["without a place", "0x1 is s1", "0x2 is s2", "0x3 is s3", "0x4 is s4"]),
    "names that interfaces cannot have": (
        """switches: {core-1: 0x1, distribution1: 0x2, ärger: 0x3, s4: 0x5, edge123: 0x6}
links: [[0x4/1, edge123/65000]]
hosts: {s6: {mac: "00:00:00:00:00:0a", at: core-1/1}, s3: {mac: "00:00:00:00:00:0b"}}""",
        {"s1": dpid(1), "s2": dpid(2), "s3": dpid(3), "s4": dpid(5), "u0": dpid(4), "u1": dpid(6)},
        {"s6": {"mac": "00:00:00:00:00:0a"}}, ["s6/eth0-s1/1", "u0/1-u1/65000"],
        ["without a place (at): s3", "core-1 (0x1) is s1", "distribution1 (0x2) is s2",
         "ärger (0x3) is s3", "0x4 is u0", "edge123 (0x6) is u1"]),
    "a datapath id that makes no name": (
        "links: [[0xfedcba9876543210/1, 0xfedcba9876543211/1]]",
        {"u0": "fedcba9876543210", "u1": "fedcba9876543211"}, {}, ["u0/1-u1/1"],
        ["0xfedcba9876543210 is u0", "0xfedcba9876543211 is u1"]),
    "anchors, and everything else that a policy says": (
        """switches: &all {s1: 1}
hosts:
  a: {mac: "00:00:00:00:00:0a", at: &here s1/1}
filters: [{match: {tcp_dst: 23}, action: deny}]
options: {loose: false}
cases: [a is refused]
slices: {lab: {restrict_hosts: true, members: [{port: *here, id: m}]}}""",
        {"s1": dpid(1)}, {"a": {"mac": "00:00:00:00:00:0a"}}, ["a/eth0-s1/1"], []),
    "empty maps and lists": (
        "switches: {}\nhosts: {}\nlinks: []", {}, {}, [], []),
}


class Forms(unittest.TestCase):
    """Every form of a policy file comes up, or what Mininet cannot have is named."""

    def built(self, policy, **params):
        slices = "" if "\nslices:" in policy else SLICES
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            # A byte order mark is passed over.
            file.write(f"\ufeffumlaut: 1\n{policy}\n{slices}\n")
            file.flush()
            if UMLAUT:
                told = subprocess.run([UMLAUT, "check", file.name], capture_output=True, text=True)
                self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
            warned.clear()
            return PolicyTopo(file.name, **params)

    def test_forms(self):
        for name, (policy, switches, hosts, links, warnings) in TABLE.items():
            with self.subTest(name):
                topo = self.built(policy)
                self.assertEqual(topo.built_switches, switches)
                self.assertEqual(topo.built_hosts, hosts)
                self.assertEqual(topo.built_links, links)
                self.assertEqual(len(warned), len(warnings), warned)
                for line, has in zip(warned, warnings):
                    self.assertIn(has, line)
                    self.assertTrue(line.endswith("\n"))

    def test_a_prefix_stands_before_the_number_of_every_switch(self):
        topo = self.built("switches: {s1: 1, edge: 0x1f}", prefix="t9s")
        self.assertEqual(topo.built_switches, {"t9s1": dpid(1), "t9s1f": dpid(0x1f)})

    def test_the_policies_of_the_repository(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples")
        files = [name for name in sorted(os.listdir(root)) if name.endswith(".yaml")]
        self.assertTrue(files)
        for name in files:
            with self.subTest(name):
                PolicyTopo(os.path.join(root, name))


class Listening(unittest.TestCase):
    """Whether a controller listens is asked without reading what it says."""

    def test_a_controller_that_listens_and_one_that_does_not(self):
        warned.clear()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.assertTrue(Remote().isListening("127.0.0.1", port))
        self.assertEqual(warned, [])
        self.assertFalse(Remote().isListening("127.0.0.1", port))
        self.assertEqual(len(warned), 1, warned)
        self.assertIn(f"127.0.0.1:{port}", warned[0])


if __name__ == "__main__":
    unittest.main()
