//! Filters: rules over header fields, ingress and the sender's slice, indexed by tuple. Pure.
//!
//! Rules that test the same fields under the same masks share a *tuple*: one hash table. A frame is
//! looked up in each tuple once, best priority first, until no later tuple can win; the number of
//! rules does not matter, the number of tuples does.
//!
//! A frame is laid out as words first, one for each test, so that what a tuple costs is a multiplication
//! for each of its fields and a look into its table.

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
    #[inline(always)]
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

/// How many tests there are.
const TESTS: usize = 28;

/// A frame as words: the values of all tests.
struct Words {
    /// By test, and behind them the upper halves of IPv6 addresses.
    words: [u64; TESTS + 3],
    /// Bits of tests: the field does not exist, or cannot be known.
    absent: u32,
    unknown: u32,
}

/// The words of a test: the upper half of its value has one only if it needs it.
fn words_of(test: Test) -> (usize, Option<usize>) {
    let upper = match test {
        Test::Ipv6Src => Some(TESTS),
        Test::Ipv6Dst => Some(TESTS + 1),
        Test::NdTarget => Some(TESTS + 2),
        _ => None,
    };
    (test as usize, upper)
}

impl Words {
    /// A frame in the tests that rules use.
    fn of(subject: &Subject<'_>, used: &[Test]) -> Words {
        let mut words = Words { words: [0; TESTS + 3], absent: 0, unknown: 0 };
        for test in used.iter().copied() {
            match test.value(subject) {
                Field::Absent => words.absent |= 1 << test as u32,
                Field::Unknown => words.unknown |= 1 << test as u32,
                Field::Is(value) => words.put(test, value),
            }
        }
        words
    }

    #[inline]
    fn put(&mut self, test: Test, value: u128) {
        let (lower, upper) = words_of(test);
        self.words[lower] = value as u64;
        if let Some(upper) = upper {
            self.words[upper] = (value >> 64) as u64;
        }
    }
}

/// What a word of a frame gives to the hash in a tuple.
#[derive(Clone, Copy, Debug)]
struct Part {
    word: u8,
    mask: u64,
    /// Odd.
    seed: u64,
}

/// The rules that test the same fields under the same masks.
#[derive(Clone, Debug)]
struct Tuple {
    /// Bits of tests.
    tests: u32,
    parts: Vec<Part>,
    reads: FieldSet,
    /// Its best rule: no frame can do better here.
    best: RuleId,
    /// All its rules, in order.
    rules: Vec<RuleId>,
    /// The best rule of each combination of values.
    by_values: HashTable<RuleId>,
    /// A bit for each hash in the table, eight times as many bits as hashes: most frames are in no
    /// rule of a tuple, and this says so for less than the table does.
    sieve: Vec<u64>,
}

/// The word and the bit of a hash in a sieve.
#[inline]
fn hole(sieve: &[u64], hash: u64) -> (usize, u64) {
    // The length is a power of two.
    ((hash >> 38) as usize & (sieve.len() - 1), 1 << (hash >> 58))
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
    /// The tests of all rules.
    used: Vec<Test>,
    /// In order of their best rules.
    tuples: Vec<Tuple>,
}

impl FilterTable {
    /// A table of these rules, in the order of the file.
    pub(crate) fn new(mut rules: Vec<Rule>) -> FilterTable {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        let mut tuples: Vec<Tuple> = Vec::new();
        let mut by_shape: Map<Vec<(Test, u128)>, usize> = Map::default();
        for (index, rule) in rules.iter().enumerate() {
            let id = RuleId(index as u32);
            let shape: Vec<_> = rule.criteria.iter().map(|c| (c.test, c.mask)).collect();
            let at = *by_shape.entry(shape).or_insert_with_key(|shape| {
                tuples.push(Tuple::new(shape, id));
                tuples.len() - 1
            });
            let tuple = &mut tuples[at];
            tuple.rules.push(id);
            let same = |other: &RuleId| rules[other.0 as usize].criteria == rule.criteria;
            let hash = hash_of(&tuple.parts, rule);
            if tuple.by_values.find(hash, same).is_none() {
                let rehash = |id: &RuleId| hash_of(&tuple.parts, &rules[id.0 as usize]);
                tuple.by_values.insert_unique(hash, id, rehash);
            }
        }
        for tuple in &mut tuples {
            tuple.sieve = vec![0; tuple.rules.len().div_ceil(8).next_power_of_two()];
            for id in &tuple.by_values {
                let hash = hash_of(&tuple.parts, &rules[id.0 as usize]);
                let (word, bit) = hole(&tuple.sieve, hash);
                tuple.sieve[word] |= bit;
            }
        }
        let mut used: Vec<Test> =
            rules.iter().flat_map(|rule| &rule.criteria).map(|c| c.test).collect();
        used.sort_unstable();
        used.dedup();
        FilterTable { rules, used, tuples }
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
        if self.tuples.is_empty() {
            return Filtering { rule: best, reads };
        }
        let words = Words::of(subject, &self.used);
        for tuple in &self.tuples {
            if best.is_some_and(|best| best < tuple.best) {
                break;
            }
            reads |= tuple.reads;
            if let Some(found) = tuple.look_up(&self.rules, &words, subject)
                && best.is_none_or(|best| found < best)
            {
                best = Some(found);
            }
        }
        Filtering { rule: best, reads }
    }
}

impl Tuple {
    fn new(shape: &[(Test, u128)], best: RuleId) -> Tuple {
        let hasher = RandomState::default();
        let mut parts = Vec::new();
        for (test, mask) in shape {
            let mut part = |word: usize, mask: u64| {
                parts.push(Part { word: word as u8, mask, seed: hasher.hash_one(word) | 1 });
            };
            let (lower, upper) = words_of(*test);
            part(lower, *mask as u64);
            if let Some(upper) = upper {
                part(upper, (mask >> 64) as u64);
            }
        }
        Tuple {
            tests: shape.iter().fold(0, |bits, (test, _)| bits | 1 << *test as u32),
            parts,
            reads: shape.iter().fold(FieldSet::NONE, |set, (test, _)| set | test.reads()),
            best,
            rules: Vec::new(),
            by_values: HashTable::new(),
            sieve: Vec::new(),
        }
    }

    #[inline]
    fn look_up(&self, rules: &[Rule], words: &Words, subject: &Subject<'_>) -> Option<RuleId> {
        if self.tests & words.absent != 0 {
            return None;
        }
        let matching = |id: &RuleId| rules[id.0 as usize].matches(subject);
        if self.tests & words.unknown != 0 {
            // Rare, and no hash can be made of it: the rules one after the other.
            return self.rules.iter().copied().find(matching);
        }
        let hash = hash(&self.parts, &words.words);
        let (word, bit) = hole(&self.sieve, hash);
        if self.sieve.get(word).is_none_or(|word| word & bit == 0) {
            return None;
        }
        self.by_values.find(hash, matching).copied()
    }
}

/// The hash of words in a tuple.
#[inline]
fn hash(parts: &[Part], words: &[u64; TESTS + 3]) -> u64 {
    let mut sum = 0u64;
    for Part { word, mask, seed } in parts {
        sum = sum.wrapping_add((words[usize::from(*word)] & mask).wrapping_mul(*seed));
    }
    // The upper half depends on all bits of the words.
    sum ^ (sum >> 32)
}

/// The hash of a rule's values.
fn hash_of(parts: &[Part], rule: &Rule) -> u64 {
    let mut words = Words { words: [0; TESTS + 3], absent: 0, unknown: 0 };
    for Criterion { test, value, .. } in rule.criteria.iter().copied() {
        words.put(test, value);
    }
    hash(parts, &words.words)
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
