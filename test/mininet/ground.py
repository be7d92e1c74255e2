"""Mininet as the ground of a scenario: brings up the network of a policy file and obeys commands.

    ground.py POLICY VERSION PORT PREFIX

VERSION is OpenFlow10 or OpenFlow13, PORT that of the controller on loopback; names of switches begin
with PREFIX. Prints one line of JSON when the network runs: the process of each host, the name of each
switch. Then reads one command a line and answers each with `ok` or `error TEXT`; ends with its input.
Switches are datapath ids in hex, ports `DPID/PORT`. Aborted, it says where it is.
"""

import faulthandler
import json
import sys

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import OVSSwitch

from bounded import within
from policy_topo import PolicyTopo, Remote

# How long a start, a command and a stop may take, in seconds. Who runs this waits less long; it is for
# when nobody waits any more.
LIMIT = 120


class Ground:
    """A running network and what can be done to it."""

    def __init__(self, path, version, port, prefix):
        self.version = version
        self.prefix = prefix
        self.net = Mininet(
            topo=PolicyTopo(path, prefix, silent=True),
            switch=lambda name, **kw: OVSSwitch(
                name, datapath="user", failMode="secure", protocols=version, **kw),
            controller=None,
        )
        self.controller = self.net.addController(Remote(prefix + "c", ip="127.0.0.1", port=port))
        self.net.start()

    def switch(self, dpid):
        return self.net.get(f"{self.prefix}{int(dpid, 16):x}")

    def end(self, text):
        """Switch, port number and interface of `DPID/PORT`; no interface: nothing is plugged in."""
        dpid, port = text.split("/")
        switch = self.switch(dpid)
        return switch, int(port), switch.intfs.get(int(port))

    def plugged(self, text):
        switch, port, interface = self.end(text)
        if interface is None:
            raise ValueError(f"nothing is in port {text}")
        return switch, port, interface

    def vsctl(self, switch, *arguments):
        told = switch.cmd("ovs-vsctl", "--timeout=10", *arguments).strip()
        if "ovs-vsctl:" in told:
            raise ValueError(told)

    def add_port(self, switch, interface, port):
        self.vsctl(switch, "add-port", switch, interface, "--", "set", "interface", interface,
                   f"ofport_request={port}")
        switch.cmd("ip link set", interface, "up")

    # ---- commands ----

    def link(self, a, b, state):
        (_, _, a), (_, _, b) = self.plugged(a), self.plugged(b)
        if a.link is not b.link:
            raise ValueError("no such link")
        for interface in (a, b):
            interface.node.cmd("ip link set", interface, state)

    def port(self, end, state):
        switch, _, interface = self.plugged(end)
        switch.cmd("ip link set", interface, state)

    def exists(self, end, state):
        switch, port, interface = self.plugged(end)
        if state == "yes":
            self.add_port(switch, interface, port)
        else:
            self.vsctl(switch, "del-port", switch, interface)

    def renumber(self, end, to):
        switch, port, interface = self.plugged(end)
        self.vsctl(switch, "set", "interface", interface, f"ofport_request={to}")
        self.moved(interface, switch, port, switch, int(to))

    def move(self, name, to):
        new, port, taken = self.end(to)
        if taken is not None:
            raise ValueError(f"port {to} is taken")
        link = self.net.get(name).intf("eth0").link
        outer = link.intf2 if link.intf1.node.name == name else link.intf1
        old = outer.node
        self.vsctl(old, "del-port", old, outer)
        self.moved(outer, old, old.ports[outer], new, port)
        self.add_port(new, outer, port)

    @staticmethod
    def moved(interface, old, old_port, new, new_port):
        """Tells Mininet's nodes where an interface is, for when they start again."""
        del old.intfs[old_port], old.ports[interface], old.nameToIntf[interface.name]
        interface.node = new
        new.intfs[new_port] = interface
        new.ports[interface] = new_port
        new.nameToIntf[interface.name] = interface

    def power(self, dpid, state):
        switch = self.switch(dpid)
        if state == "off":
            switch.stop(deleteIntfs=False)
        # A switch without power has no carrier for its neighbours.
        for interface in switch.intfList():
            ends = (interface.link.intf1, interface.link.intf2) if interface.link else ()
            if all(isinstance(end.node, OVSSwitch) for end in ends):
                switch.cmd("ip link set", interface, "down" if state == "off" else "up")
        if state == "on":
            switch.start([self.controller])

    def intrude(self, end, to):
        switch, port, _ = self.end(end)
        told = switch.cmd("ovs-ofctl", "--timeout=10", "-O", self.version, "add-flow", switch,
                          f"priority=65535,in_port={port},actions=output:{to}").strip()
        if told:
            raise ValueError(told)

    def room(self, dpid, entries):
        switch = self.switch(dpid)
        if entries == "free":
            self.vsctl(switch, "clear", "bridge", switch, "flow_tables")
        else:
            self.vsctl(switch, "--", "--id=@t", "create", "Flow_Table", f"flow_limit={entries}",
                       "overflow_policy=refuse", "--", "set", "bridge", switch, "flow_tables:0=@t")

    def channel(self, dpid, target):
        switch = self.switch(dpid)
        self.vsctl(switch, "set-controller", switch, f'"{target}"', "--", "set", "controller", switch,
                   "max_backoff=1000")

    def obey(self, line):
        name, *arguments = line.split()
        commands = ("link", "port", "exists", "renumber", "move", "power", "intrude", "room",
                    "channel")
        if name not in commands:
            raise ValueError(f"Mininet cannot {name}")
        getattr(self, name)(*arguments)


def main():
    faulthandler.enable()
    setLogLevel("critical")
    path, version, port, prefix = sys.argv[1:]
    with within(LIMIT, "start its network"):
        ground = Ground(path, version, int(port), prefix)
    try:
        hosts = {host.name: host.pid for host in ground.net.hosts}
        switches = {int(switch.dpid, 16): switch.name for switch in ground.net.switches}
        print(json.dumps({"hosts": hosts, "switches": switches}), flush=True)
        for line in sys.stdin:
            try:
                with within(LIMIT, line.strip()):
                    ground.obey(line)
                print("ok", flush=True)
            except (ValueError, KeyError, TypeError) as error:
                print("error", repr(error), flush=True)
    finally:
        with within(LIMIT, "stop its network"):
            ground.net.stop()


main()
