//! Messages as JSON: what `serde_json` makes of the feature `serde`.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use umlaut_openflow::*;

fn as_json(message: &Message<'_>) -> Value {
    serde_json::to_value(message).unwrap()
}

#[test]
fn a_message_is_an_object_of_kind_and_content() {
    assert_eq!(as_json(&Message::BarrierRequest), json!({"kind": "barrier_request"}));
    assert_eq!(
        as_json(&Message::EchoRequest(vec![0xab, 1].into())),
        json!({"kind": "echo_request", "content": "ab01"})
    );
    let error = ErrorMessage { code: ErrorCode::new(4, 6), data: vec![1].into() };
    assert_eq!(
        as_json(&Message::Error(error)),
        json!({"kind": "error", "content": {"code": {"type": 4, "code": 6}, "data": "01"}})
    );
    let nicira = vec![0, 0, 0x23, 0x20, 0, 7, 0, 0];
    let flow = FlowMod::add(
        Match::new()
            .in_port(PortNo::LOCAL)
            .eth_src(MacAddr::from_u64(0x0200_0000_000a))
            .ipv4_dst(Masked { value: [10, 0, 0, 0].into(), mask: Some([255, 0, 0, 0].into()) })
            .vlan_vid(VlanMatch::Present)
            .with(MatchField::Raw(
                RawOxm { class: 1, field: 3, has_mask: false, body: vec![0, 0, 0, 9] }.into(),
            )),
    )
    .cookie(Cookie(0xffff_ffff_ffff_ffff))
    .apply(vec![Action::output(PortNo(2)), Action::raw(0xffff, nicira)]);
    assert_eq!(
        as_json(&Message::FlowMod(flow)),
        json!({"kind": "flow_mod", "content": {
            "cookie": "0xffffffffffffffff",
            "cookie_mask": "0x0",
            "table_id": 0,
            "command": 0,
            "idle_timeout": 0,
            "hard_timeout": 0,
            "priority": 0x8000,
            "buffer_id": null,
            "out_port": 0xffff_ffffu32,
            "out_group": 0xffff_ffffu32,
            "flags": 0,
            "matches": [
                {"in_port": 0xffff_fffeu32},
                {"eth_src": "02:00:00:00:00:0a"},
                {"ipv4_dst": {"value": "10.0.0.0", "mask": "255.0.0.0"}},
                {"vlan_vid": "present"},
                {"raw": {"class": 1, "field": 3, "nicira": "reg", "has_mask": false,
                         "body": "00000009"}},
            ],
            "instructions": [{"apply": [
                {"output": {"port": 2, "max_len": 0xffff}},
                {"raw": {"type": 0xffff, "nicira": "reg_load", "body": "0000232000070000"}},
            ]}],
        }})
    );
}

#[test]
fn names_are_texts_without_their_padding() {
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"eth0");
    let mut port = Port {
        port_no: PortNo(1),
        hw_addr: MacAddr::ZERO,
        name,
        config: PortConfig(0),
        state: PortState(0),
        curr: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        curr_speed: 0,
        max_speed: 0,
    };
    assert_eq!(serde_json::to_value(&port).unwrap()["name"], "eth0");
    port.name[6] = 0xff;
    let odd = serde_json::to_value(&port).unwrap()["name"].clone();
    assert_eq!(odd, "657468300000ff000000000000000000");
}

proptest! {
    #[test]
    fn every_message_has_a_json_form(
        v10 in any::<bool>(), choices in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        let version = if v10 { Version::V1_0 } else { Version::V1_3 };
        let message = support::message(&mut support::Source::new(&choices), version);
        let value = as_json(&message);
        prop_assert!(value["kind"].is_string());
    }
}
