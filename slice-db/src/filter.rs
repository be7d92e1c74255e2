//! Filters: rules over header fields, ingress and the sender's slice, indexed by tuple. Pure.
//!
//! Rules that test the same fields under the same masks share a *tuple*: one hash table. A frame is
//! looked up in each tuple once, best priority first, until no later tuple can win; the number of
//! rules does not matter, the number of tuples does.
//!
//! A field under a mask is a *column*. Tuples share columns, so a frame's value in a column is hashed
//! once, and the hash in a tuple is that of its columns put together.

use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::Serialize;
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{DatapathId, FieldSet, MacAddr, PortNo};

use crate::policy::{Map, SliceId};

/// What a filter does with frames that it matches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterAction {
    /// Lets them pass.
    #[default]
    Allow,
    /// Drops them.
    Deny,
}

/// A filter: an index into the rules by descending priority, first added first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub u32);

/// What a criterion looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Test {
    Slice,
    Dpid,
    InPort,
    EthSrc,
    EthDst,
    EthType,
    /// VID, or untagged; a priority tag is untagged.
    Vlan,
    Pcp,
    IpProto,
    /// `ip_proto`, or the ARP operation.
    NwProto,
    Dscp,
    Ecn,
    Ipv4Src,
    Ipv4Dst,
    /// IPv4 source, or ARP sender.
    NwSrc,
    /// IPv4 destination, or ARP target.
    NwDst,
    Ipv6Src,
    Ipv6Dst,
    TpSrc,
    TpDst,
    IcmpType,
    IcmpCode,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    NdTarget,
}

/// VLAN value of frames without a VLAN.
pub(crate) const UNTAGGED: u128 = 0xffff;

/// What a frame is looked at with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) slice: SliceId,
    pub(crate) dpid: DatapathId,
    pub(crate) in_port: PortNo,
    pub(crate) headers: &'a Headers,
}

impl Test {
    /// The fields of the frame that it reads.
    pub(crate) fn reads(self) -> FieldSet {
        match self {
            Test::Slice | Test::Dpid | Test::InPort => FieldSet::NONE,
            Test::EthSrc => FieldSet::ETH_SRC,
            Test::EthDst => FieldSet::ETH_DST,
            Test::EthType => FieldSet::ETH_TYPE,
            Test::Vlan => FieldSet::VLAN,
            Test::Pcp => FieldSet::VLAN_PCP,
            Test::IpProto => FieldSet::IP_PROTO,
            Test::NwProto => FieldSet::IP_PROTO | FieldSet::ARP_OP,
            Test::Dscp => FieldSet::IP_DSCP,
            Test::Ecn => FieldSet::IP_ECN,
            Test::Ipv4Src => FieldSet::IPV4_SRC,
            Test::Ipv4Dst => FieldSet::IPV4_DST,
            Test::NwSrc => FieldSet::IPV4_SRC | FieldSet::ARP_SPA,
            Test::NwDst => FieldSet::IPV4_DST | FieldSet::ARP_TPA,
            Test::Ipv6Src => FieldSet::IPV6_SRC,
            Test::Ipv6Dst => FieldSet::IPV6_DST,
            Test::TpSrc => FieldSet::TP_SRC,
            Test::TpDst => FieldSet::TP_DST,
            Test::IcmpType => FieldSet::ICMP_TYPE,
            Test::IcmpCode => FieldSet::ICMP_CODE,
            Test::ArpOp => FieldSet::ARP_OP,
            Test::ArpSpa => FieldSet::ARP_SPA,
            Test::ArpTpa => FieldSet::ARP_TPA,
            Test::ArpSha => FieldSet::ARP_SHA,
            Test::ArpTha => FieldSet::ARP_THA,
            Test::NdTarget => FieldSet::ND_TARGET,
        }
    }

    /// The value of a frame.
    #[inline]
    pub(crate) fn value(self, s: &Subject<'_>) -> Field<u128> {
        fn n<T>(field: Field<T>, number: impl Fn(T) -> u128) -> Field<u128> {
            match field {
                Field::Absent => Field::Absent,
                Field::Unknown => Field::Unknown,
                Field::Is(value) => Field::Is(number(value)),
            }
        }
        fn either(first: Field<u128>, second: Field<u128>) -> Field<u128> {
            if first == Field::Absent { second } else { first }
        }
        let v4 = |address: Ipv4Addr| u128::from(u32::from(address));
        let v6 = |address: Ipv6Addr| u128::from(address);
        let mac = |mac: MacAddr| u128::from(mac.to_u64());
        let h = s.headers;
        match self {
            Test::Slice => Field::Is(s.slice.0.into()),
            Test::Dpid => Field::Is(s.dpid.0.into()),
            Test::InPort => Field::Is(s.in_port.0.into()),
            Test::EthSrc => Field::Is(mac(h.eth_src)),
            Test::EthDst => Field::Is(mac(h.eth_dst)),
            Test::EthType => n(h.eth_type, u128::from),
            Test::Vlan => Field::Is(match h.tag {
                Tag::None | Tag::Priority { .. } => UNTAGGED,
                Tag::Vlan { vid, .. } => vid.number().into(),
                Tag::Reserved => 0xfff,
            }),
            Test::Pcp => match h.tag {
                Tag::Priority { pcp } | Tag::Vlan { pcp, .. } => Field::Is(pcp.into()),
                Tag::None | Tag::Reserved => Field::Absent,
            },
            Test::IpProto => n(h.ip_proto, u128::from),
            Test::NwProto => either(n(h.ip_proto, u128::from), n(h.arp_op, u128::from)),
            Test::Dscp => n(h.ip_dscp, u128::from),
            Test::Ecn => n(h.ip_ecn, u128::from),
            Test::Ipv4Src => n(h.ipv4_src, v4),
            Test::Ipv4Dst => n(h.ipv4_dst, v4),
            Test::NwSrc => either(n(h.ipv4_src, v4), n(h.arp_spa, v4)),
            Test::NwDst => either(n(h.ipv4_dst, v4), n(h.arp_tpa, v4)),
            Test::Ipv6Src => n(h.ipv6_src, v6),
            Test::Ipv6Dst => n(h.ipv6_dst, v6),
            Test::TpSrc => n(h.tp_src, u128::from),
            Test::TpDst => n(h.tp_dst, u128::from),
            Test::IcmpType => n(h.icmp_type, u128::from),
            Test::IcmpCode => n(h.icmp_code, u128::from),
            Test::ArpOp => n(h.arp_op, u128::from),
            Test::ArpSpa => n(h.arp_spa, v4),
            Test::ArpTpa => n(h.arp_tpa, v4),
            Test::ArpSha => n(h.arp_sha, mac),
            Test::ArpTha => n(h.arp_tha, mac),
            Test::NdTarget => n(h.nd_target, v6),
        }
    }
}

/// A test of a rule: the masked value of the field must be this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Criterion {
    pub(crate) test: Test,
    pub(crate) mask: u128,
    pub(crate) value: u128,
}

impl Criterion {
    pub(crate) fn exact(test: Test, value: u128) -> Criterion {
        Criterion { test, mask: u128::MAX, value }
    }

    /// Whether a frame agrees, for a rule that does this.
    pub(crate) fn agrees(&self, action: FilterAction, s: &Subject<'_>) -> bool {
        match self.test.value(s) {
            Field::Absent => false,
            Field::Unknown => action == FilterAction::Deny,
            Field::Is(value) => value & self.mask == self.value,
        }
    }
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    pub(crate) priority: u32,
    pub(crate) action: FilterAction,
    /// Sorted by test, each at most once.
    pub(crate) criteria: Vec<Criterion>,
    /// Its item in the file's list.
    pub(crate) item: u32,
}

impl Rule {
    /// Whether it matches. A field that does not exist: no. A field that cannot be known: a denial
    /// matches, a permission does not.
    fn matches(&self, s: &Subject<'_>) -> bool {
        self.criteria.iter().all(|c| c.agrees(self.action, s))
    }
}

/// A field under a mask.
#[derive(Clone, Copy, Debug)]
struct Column {
    test: Test,
    mask: u128,
    /// So that a value hashes otherwise in another column.
    seeds: [u64; 2],
}

impl Column {
    /// The hash of a masked value.
    fn hash(&self, value: u128) -> u64 {
        let [low, high] = [value as u64, (value >> 64) as u64];
        let product = u128::from(low ^ self.seeds[0]) * u128::from(high ^ self.seeds[1]);
        product as u64 ^ (product >> 64) as u64
    }

    fn look(&self, subject: &Subject<'_>) -> Field<u64> {
        match self.test.value(subject) {
            Field::Absent => Field::Absent,
            Field::Unknown => Field::Unknown,
            Field::Is(value) => Field::Is(self.hash(value & self.mask)),
        }
    }
}

/// How many columns are hashed once; what more there are is hashed for each tuple.
const ONCE: usize = 32;

/// A frame in the first columns, as far as it was asked for.
struct Looks {
    /// Bits of columns.
    known: u32,
    absent: u32,
    unknown: u32,
    hashes: [u64; ONCE],
}

impl Looks {
    fn look(&mut self, asked: u32, columns: &[Column], subject: &Subject<'_>) {
        let mut missing = asked & !self.known;
        self.known |= asked;
        while missing != 0 {
            let column = missing.trailing_zeros() as usize;
            match columns[column].look(subject) {
                Field::Absent => self.absent |= 1 << column,
                Field::Unknown => self.unknown |= 1 << column,
                Field::Is(hash) => self.hashes[column] = hash,
            }
            missing &= missing - 1;
        }
    }
}

/// The rules that test the same fields under the same masks.
#[derive(Clone, Debug)]
struct Tuple {
    /// Which of the first columns it has.
    first: u32,
    /// Its further columns.
    further: Vec<u32>,
    reads: FieldSet,
    /// Its best rule: no frame can do better here.
    best: RuleId,
    /// All its rules, in order.
    rules: Vec<RuleId>,
    /// The best rule of each combination of values.
    by_values: HashTable<RuleId>,
}

/// What the filters say of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Filtering {
    pub(crate) rule: Option<RuleId>,
    pub(crate) reads: FieldSet,
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterTable {
    rules: Vec<Rule>,
    columns: Vec<Column>,
    /// In order of their best rules.
    tuples: Vec<Tuple>,
}

impl FilterTable {
    /// A table of these rules, in the order of the file.
    pub(crate) fn new(mut rules: Vec<Rule>) -> FilterTable {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        let hasher = RandomState::default();
        let (mut tuples, mut columns): (Vec<Tuple>, Vec<Column>) = (Vec::new(), Vec::new());
        let mut by_shape: Map<Vec<(Test, u128)>, usize> = Map::default();
        let mut by_column: Map<(Test, u128), u32> = Map::default();
        for (index, rule) in rules.iter().enumerate() {
            let id = RuleId(index as u32);
            let mut hash = 0;
            let mut numbers = Vec::with_capacity(rule.criteria.len());
            for Criterion { test, mask, value } in rule.criteria.iter().copied() {
                let number = *by_column.entry((test, mask)).or_insert_with(|| {
                    let number = columns.len() as u32;
                    let seeds = [hasher.hash_one(2 * number), hasher.hash_one(2 * number + 1)];
                    columns.push(Column { test, mask, seeds });
                    number
                });
                hash ^= columns[number as usize].hash(value);
                numbers.push(number);
            }
            let shape: Vec<_> = rule.criteria.iter().map(|c| (c.test, c.mask)).collect();
            let at = *by_shape.entry(shape).or_insert_with_key(|shape| {
                let reads = shape.iter().fold(FieldSet::NONE, |set, (test, _)| set | test.reads());
                let first = numbers.iter().filter(|n| **n < ONCE as u32);
                tuples.push(Tuple {
                    first: first.fold(0, |bits, number| bits | 1 << number),
                    further: numbers.iter().copied().filter(|n| *n >= ONCE as u32).collect(),
                    reads,
                    best: id,
                    rules: Vec::new(),
                    by_values: HashTable::new(),
                });
                tuples.len() - 1
            });
            let tuple = &mut tuples[at];
            tuple.rules.push(id);
            let same = |other: &RuleId| rules[other.0 as usize].criteria == rule.criteria;
            if tuple.by_values.find(hash, same).is_none() {
                let rehash = |id: &RuleId| hash_of(&rules[id.0 as usize], &columns, &by_column);
                tuple.by_values.insert_unique(hash, id, rehash);
            }
        }
        FilterTable { rules, columns, tuples }
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn rule(&self, id: RuleId) -> &Rule {
        &self.rules[id.0 as usize]
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn name(&self, id: RuleId) -> &str {
        self.rules.get(id.0 as usize).map_or("?", |rule| &rule.name)
    }

    pub(crate) fn item(&self, id: RuleId) -> u32 {
        self.rule(id).item
    }

    /// The first rule that matches, and every field that was read to find it.
    pub(crate) fn look_up(&self, subject: &Subject<'_>) -> Filtering {
        let mut best: Option<RuleId> = None;
        let mut reads = FieldSet::NONE;
        let mut looks = Looks { known: 0, absent: 0, unknown: 0, hashes: [0; ONCE] };
        for tuple in &self.tuples {
            if best.is_some_and(|best| best < tuple.best) {
                break;
            }
            reads |= tuple.reads;
            if let Some(found) = tuple.look_up(self, &mut looks, subject)
                && best.is_none_or(|best| found < best)
            {
                best = Some(found);
            }
        }
        Filtering { rule: best, reads }
    }
}

impl Tuple {
    #[inline]
    fn look_up(
        &self,
        table: &FilterTable,
        looks: &mut Looks,
        subject: &Subject<'_>,
    ) -> Option<RuleId> {
        looks.look(self.first, &table.columns, subject);
        if self.first & looks.absent != 0 {
            return None;
        }
        let mut unknown = self.first & looks.unknown != 0;
        let (mut hash, mut first) = (0, self.first);
        while first != 0 {
            hash ^= looks.hashes[first.trailing_zeros() as usize];
            first &= first - 1;
        }
        for column in &self.further {
            match table.columns[*column as usize].look(subject) {
                Field::Absent => return None,
                Field::Unknown => unknown = true,
                Field::Is(of_column) => hash ^= of_column,
            }
        }
        let matching = |id: &RuleId| table.rules[id.0 as usize].matches(subject);
        if unknown {
            // Rare, and no hash can be made of it: the rules one after the other.
            return self.rules.iter().copied().find(matching);
        }
        self.by_values.find(hash, matching).copied()
    }
}

/// The hash of a rule's values.
fn hash_of(rule: &Rule, columns: &[Column], by_column: &Map<(Test, u128), u32>) -> u64 {
    let hashes = rule.criteria.iter().map(|c| {
        let column = by_column[&(c.test, c.mask)];
        columns[column as usize].hash(c.value)
    });
    hashes.fold(0, |all, hash| all ^ hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn criterion() -> impl Strategy<Value = Criterion> {
        prop_oneof![
            (0u128..3).prop_map(|v| Criterion::exact(Test::Slice, v)),
            (0u128..3).prop_map(|v| Criterion::exact(Test::InPort, v)),
            (0u128..3).prop_map(|v| Criterion::exact(Test::EthSrc, v)),
            prop_oneof![Just(0x800u128), Just(0x806)]
                .prop_map(|v| Criterion::exact(Test::EthType, v)),
            prop_oneof![Just(6u128), Just(17)].prop_map(|v| Criterion::exact(Test::IpProto, v)),
            (20u128..23).prop_map(|v| Criterion::exact(Test::TpDst, v)),
            (0u32..3, 0u128..4).prop_map(|(bits, v)| {
                let mask = u128::from(u32::MAX << bits);
                Criterion { test: Test::NwSrc, mask, value: v & mask }
            }),
        ]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        (prop::collection::vec(criterion(), 0..4), 0u32..4, any::<bool>()).prop_map(
            |(mut criteria, priority, allow)| {
                criteria.sort();
                criteria.dedup_by_key(|c| c.test);
                let action = if allow { FilterAction::Allow } else { FilterAction::Deny };
                Rule { name: "".into(), priority, action, criteria, item: 0 }
            },
        )
    }

    fn field<T: Clone + std::fmt::Debug + 'static>(
        value: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Field<T>> {
        prop_oneof![1 => Just(Field::Absent), 1 => Just(Field::Unknown), 4 => value.prop_map(Field::Is)]
    }

    pub(crate) fn headers() -> impl Strategy<Value = Headers> {
        (
            0u64..3,
            field(prop_oneof![Just(0x800u16), Just(0x806)]),
            field(prop_oneof![Just(6u8), Just(17)]),
            field((0u32..4).prop_map(Ipv4Addr::from)),
            field((0u32..4).prop_map(Ipv4Addr::from)),
            field(20u16..23),
        )
            .prop_map(|(src, eth_type, ip_proto, ipv4_src, arp_spa, tp_dst)| Headers {
                eth_src: MacAddr::from_u64(src),
                eth_type,
                ip_proto,
                ipv4_src,
                arp_spa,
                tp_dst,
                ..Headers::default()
            })
    }

    fn subject(headers: &Headers, slice: u32, port: u32) -> Subject<'_> {
        Subject { slice: SliceId(slice), dpid: DatapathId(1), in_port: PortNo(port), headers }
    }

    proptest! {
        /// The index finds what a walk over the list finds.
        #[test]
        fn tuples_agree_with_the_list(
            rules in prop::collection::vec(rule(), 0..20), headers in headers(), slice in 0u32..3, port in 0u32..3,
        ) {
            let table = FilterTable::new(rules);
            let s = subject(&headers, slice, port);
            let walked = table.rules.iter().position(|rule| rule.matches(&s)).map(|i| RuleId(i as u32));
            prop_assert_eq!(table.look_up(&s).rule, walked);
        }

        /// Two frames that agree on the fields read get the same verdict.
        #[test]
        fn what_was_not_read_does_not_matter(
            rules in prop::collection::vec(rule(), 0..8), a in headers(), b in headers(), slice in 0u32..3, port in 0u32..3,
        ) {
            let table = FilterTable::new(rules);
            let found = table.look_up(&subject(&a, slice, port));
            if found.reads.project(&a) == found.reads.project(&b) {
                prop_assert_eq!(table.look_up(&subject(&b, slice, port)), found);
            }
        }
    }

    #[test]
    fn the_first_added_wins_among_equals() {
        let rule = |name: &str, priority, action| Rule {
            name: name.into(),
            priority,
            action,
            criteria: vec![],
            item: 0,
        };
        let table = FilterTable::new(vec![
            rule("low", 1, FilterAction::Allow),
            rule("first", 5, FilterAction::Deny),
            rule("second", 5, FilterAction::Allow),
        ]);
        let headers = Headers::default();
        let found = table.look_up(&subject(&headers, 0, 0)).rule.unwrap();
        assert_eq!(table.name(found), "first");
    }
}
