"""A learning switch on os-ken, for `umlaut bench compare`: what its users write first.

    python3 os_ken_learning_switch.py PORT

Each switch learns for itself which host is behind which port; known pairs get an entry.
"""

import sys

from os_ken.lib import hub

hub.patch(thread=False)

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3


class LearningSwitch(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_0.OFP_VERSION, ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        path = event.msg.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        if proto.OFP_VERSION == ofproto_v1_3.OFP_VERSION:
            self.add(path, 0, parser.OFPMatch(), proto.OFPP_CONTROLLER)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        path = message.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        old = proto.OFP_VERSION == ofproto_v1_0.OFP_VERSION
        in_port = message.in_port if old else message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if frame.ethertype == 0x88CC:
            return
        known = self.ports.setdefault(path.id, {})
        known[frame.src] = in_port
        port = known.get(frame.dst, proto.OFPP_FLOOD)
        if port != proto.OFPP_FLOOD:
            if old:
                match = parser.OFPMatch(
                    in_port=in_port, dl_src=frame.src, dl_dst=frame.dst
                )
            else:
                match = parser.OFPMatch(
                    in_port=in_port, eth_src=frame.src, eth_dst=frame.dst
                )
            self.add(path, 1, match, port)
        whole = message.buffer_id == proto.OFP_NO_BUFFER
        path.send_msg(
            parser.OFPPacketOut(
                datapath=path,
                buffer_id=message.buffer_id,
                in_port=in_port,
                actions=[parser.OFPActionOutput(port)],
                data=message.data if whole else None,
            )
        )

    def add(self, path, priority, match, port):
        proto, parser = path.ofproto, path.ofproto_parser
        actions = [parser.OFPActionOutput(port)]
        if proto.OFP_VERSION == ofproto_v1_0.OFP_VERSION:
            entry = parser.OFPFlowMod(
                datapath=path,
                match=match,
                cookie=0,
                command=proto.OFPFC_ADD,
                idle_timeout=60,
                hard_timeout=0,
                priority=priority,
                flags=proto.OFPFF_SEND_FLOW_REM,
                actions=actions,
            )
        else:
            apply = parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)
            entry = parser.OFPFlowMod(
                datapath=path,
                priority=priority,
                match=match,
                idle_timeout=60 if priority else 0,
                flags=proto.OFPFF_SEND_FLOW_REM,
                instructions=[apply],
            )
        path.send_msg(entry)


def main():
    port = sys.argv[1]
    cfg.CONF(
        args=["--ofp-tcp-listen-port", port, "--ofp-listen-host", "127.0.0.1"],
        project="os_ken",
    )
    manager = app_manager.AppManager.get_instance()
    manager.load_apps(["os_ken.controller.ofp_handler", "os_ken_learning_switch"])
    contexts = manager.create_contexts()
    hub.joinall(manager.instantiate_apps(**contexts))


if __name__ == "__main__":
    main()
