//! The learning switch sends what it would send if it decided each time.

use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use umlaut::samples::LearningSwitch;
use umlaut_controller::Apps;
use umlaut_controller::hosts::{Domain, HOSTS_PER_PORT, Seen, Sighting};
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{
    Attachment, DatapathId, FlowMod, FlowRemoved, FlowRemovedReason, MacAddr, Message, PortNo,
    TableId, Version, Vid, Xid, decode, encode, next_frame,
};

use super::bed::{Bed, Size};

/// One switch with a few ports.
const SIZE: Size = Size { hosts: 32, ..Size::LEAST };
const HERE: DatapathId = DatapathId(1);
/// A port that may be full of hosts.
const FULL: PortNo = PortNo(4);

#[derive(Clone, Debug)]
enum Happens {
    /// A host sends to another one, or to all, from a port.
    Sends {
        from: u8,
        to: u8,
        port: u32,
    },
    Port {
        port: u32,
        up: bool,
    },
    Time(u64),
    /// The switch tells that one of its entries has ended.
    Ends(prop::sample::Index),
    /// There is room for a host on the full port.
    Room,
}

fn happens() -> impl Strategy<Value = Happens> {
    let sends = (0..3_u8, 0..4_u8, prop_oneof![6 => 1..3_u32, 1 => Just(3), 3 => Just(FULL.0)])
        .prop_map(|(from, to, port)| Happens::Sends { from, to, port });
    prop_oneof![
        16 => sends,
        1 => (1..4_u32, any::<bool>()).prop_map(|(port, up)| Happens::Port { port, up }),
        2 => (0..9_u64).prop_map(Happens::Time),
        3 => any::<prop::sample::Index>().prop_map(Happens::Ends),
        1 => Just(Happens::Room),
    ]
}

fn host(number: u8) -> MacAddr {
    match number {
        3 => MacAddr::BROADCAST,
        number => MacAddr([2, 0, 0, 0, 0, number]),
    }
}

fn bed(version: Version, full: bool) -> Bed<()> {
    let bed = Bed::new(Apps::new().with(LearningSwitch), (), SIZE, version);
    let at = Attachment { dpid: HERE, port: FULL, vid: Vid::Untagged };
    for other in 0..if full { HOSTS_PER_PORT as u64 } else { 0 } {
        let key = (Domain(HERE.0), MacAddr::from_u64(1 << 24 | other));
        bed.hosts().see(key, at, Seen::default(), bed.now());
    }
    bed
}

/// Something changes about a host in a network far away, so that nothing is known of it.
fn unsettle(bed: &Bed<()>, host: MacAddr) {
    let (key, dpid) = ((Domain(1 << 60), host), DatapathId(1 << 40));
    let at = Attachment { dpid, port: PortNo(1), vid: Vid::Untagged };
    assert_eq!(bed.hosts().see(key, at, Seen::default(), bed.now()), Sighting::New);
    bed.hosts().forget_switch(dpid);
}

/// What the switch would tell of the ends of the entries in these messages.
fn ends(version: Version, output: &[u8]) -> Vec<BytesMut> {
    let (mut ends, mut rest) = (Vec::new(), output);
    while let Ok(Some(length)) = next_frame(rest) {
        if let Ok((_, Message::FlowMod(FlowMod { cookie, priority, idle_timeout, matches, .. }))) =
            decode(&rest[..length])
        {
            let end = FlowRemoved {
                cookie,
                priority,
                reason: FlowRemovedReason::IDLE_TIMEOUT,
                table_id: TableId(0),
                duration: Duration::from_secs(60),
                idle_timeout,
                hard_timeout: 0,
                packet_count: 1,
                byte_count: 60,
                matches,
            };
            let mut bytes = BytesMut::new();
            encode(version, Xid(0), &Message::FlowRemoved(end), &mut bytes).unwrap();
            ends.push(bytes);
        }
        rest = &rest[length..];
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn it_sends_what_it_would_decide(
        version in prop_oneof![Just(Version::V1_0), Just(Version::V1_3)],
        full in prop::bool::weighted(0.1),
        all in prop::collection::vec(happens(), 1..120),
    ) {
        // The second is made to decide each time.
        let mut beds = [bed(version, full), bed(version, full)];
        // The first three change, as the host table counts it, with the hosts of the load.
        let (mut told, mut others) = (Vec::new(), 3..HOSTS_PER_PORT as u64);
        for happens in all {
            let message = match &happens {
                Happens::Sends { from, to, port } => {
                    let frame = ethernet(host(*to), host(*from), &[], 0x0800, &[0; 46]);
                    unsettle(&beds[1], host(*from));
                    beds[0].pin_of(PortNo(*port), frame)
                }
                Happens::Port { port, up } => beds[0].port_status(*port, *up),
                Happens::Time(seconds) => {
                    beds.iter_mut().for_each(|bed| bed.pass(Duration::from_secs(*seconds)));
                    continue;
                }
                Happens::Ends(_) if told.is_empty() => continue,
                Happens::Ends(which) => told.swap_remove(which.index(told.len())),
                Happens::Room => {
                    let other = MacAddr::from_u64(1 << 24 | others.next().unwrap());
                    for bed in &beds {
                        bed.hosts().forget(|(_, mac), _| mac == other);
                    }
                    continue;
                }
            };
            let outputs = beds.each_mut().map(|bed| {
                bed.receive(0, &message);
                bed.turns(0);
                bed.output(0)
            });
            prop_assert_eq!(&outputs[0], &outputs[1], "{:?}", happens);
            told.extend(ends(version, &outputs[0]));
            let known = beds.each_ref().map(|bed| {
                [0, 1, 2].map(|n| Some(bed.hosts().locate((Domain(HERE.0), host(n)))?.at))
            });
            prop_assert_eq!(known[0], known[1], "{:?}", happens);
        }
    }
}
