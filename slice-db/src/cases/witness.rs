//! Is there any frame that the filters let pass? Pure.
//!
//! A case that says *never* speaks of every frame a host can send. Of all that the decision reads
//! only the filters look beyond the addresses, so the question is put to them: for each kind of
//! frame (the same fields exist in all frames of a kind) the rules are walked in their order with
//! the set of frames that no earlier rule took. A permission that takes one of them ends the search;
//! a denial leaves those that differ from it in at least one field.

use std::collections::BTreeMap;

use umlaut_openflow::Vid;

use super::frame::{End, FrameFields};
use crate::filter::{Criterion, FilterAction, Rule, Subject, Test};
use crate::policy::Policy;

/// Sets of frames looked at before the search is given up. Rules as people write them take a few.
const BUDGET: u32 = 200_000;

/// The rules are so entangled that it could not be found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entangled;

/// A frame of these addresses that the filters allow, in the slice and at the place of `subject`.
///
/// # Errors
/// [`Entangled`].
pub(crate) fn allowed_frame(
    policy: &Policy,
    subject: &Subject<'_>,
    (from, to): (End, End),
    vid: Vid,
) -> Result<Option<FrameFields>, Entangled> {
    let allows = |fields: &FrameFields| {
        let headers = fields.headers(from, to, vid);
        let found = policy.filters.look_up(&Subject { headers: &headers, ..*subject });
        let action = found
            .rule
            .map_or(policy.options.filter_default, |rule| policy.filters.rule(rule).action);
        headers.eth_dst == to.mac && action == FilterAction::Allow
    };
    // What people would send first.
    let usual = FrameFields::default();
    if allows(&usual) {
        return Ok(Some(usual));
    }
    let mut search = Search { policy, budget: BUDGET };
    let mut entangled = false;
    for kind in kinds(vid) {
        let headers = FrameFields(kind.fixed.clone()).headers(from, to, vid);
        let subject = Subject { headers: &headers, ..*subject };
        let set = Set { kind: &kind, subject, fields: kind.free.clone() };
        match search.walk(0, set) {
            Ok(Some(fields)) if allows(&fields) => return Ok(Some(fields)),
            Ok(None) => {}
            Ok(Some(_)) | Err(Entangled) => entangled = true,
        }
    }
    if entangled { Err(Entangled) } else { Ok(None) }
}

/// Values of one field: those that agree with `value` under `mask` and with none of `not`.
#[derive(Clone, Debug)]
struct Values {
    bits: u32,
    mask: u128,
    value: u128,
    not: Vec<(u128, u128)>,
}

impl Values {
    fn any(bits: u32) -> Values {
        Values { bits, mask: 0, value: 0, not: Vec::new() }
    }

    fn but(mut self, not: impl IntoIterator<Item = (u128, u128)>) -> Values {
        self.not.extend(not);
        self
    }

    /// All bits of the field.
    fn all(&self) -> u128 {
        if self.bits == 128 { u128::MAX } else { (1 << self.bits) - 1 }
    }

    /// Those that also agree with this; `None` if none does.
    fn and(&self, mask: u128, value: u128) -> Option<Values> {
        let mask = mask & self.all();
        let both = self.mask & mask;
        if self.value & both != value & both {
            return None;
        }
        let narrowed =
            Values { mask: self.mask | mask, value: self.value | value & mask, ..self.clone() };
        narrowed.one().map(|_| narrowed)
    }

    /// Whether all of them agree with this.
    fn within(&self, mask: u128, value: u128) -> bool {
        let mask = mask & self.all();
        self.mask & mask == mask && self.value & mask == value & mask
    }

    /// One of them, if there is one.
    fn one(&self) -> Option<u128> {
        self.outside(self.mask, self.value)
    }

    fn outside(&self, mask: u128, value: u128) -> Option<u128> {
        let meets = |(m, v): &&(u128, u128)| {
            let both = m & mask & self.all();
            value & both == v & both
        };
        let Some((hit, taken)) = self.not.iter().find(meets) else { return Some(value) };
        // One of the bits that the exclusion fixes and that are still free must differ.
        let mut open = hit & !mask & self.all();
        while open != 0 {
            let bit = open & open.wrapping_neg();
            open &= open - 1;
            let other = value | !taken & bit;
            if let Some(found) = self.outside(mask | bit, other) {
                return Some(found);
            }
        }
        None
    }
}

/// Frames in which the same fields exist.
#[derive(Clone, Debug)]
struct Kind {
    /// What makes it this kind.
    fixed: Vec<Criterion>,
    /// The fields that vary.
    free: BTreeMap<Test, Values>,
}

/// EtherTypes that are kinds of their own, tags, lengths, or never forwarded (LLDP).
const NO_PLAIN_TYPE: [(u128, u128); 11] = [
    (0xfc00, 0),
    (0xfe00, 0x0400),
    (u128::MAX, 0x0800),
    (u128::MAX, 0x0806),
    (u128::MAX, 0x86dd),
    (u128::MAX, 0x88cc),
    (u128::MAX, 0x8100),
    (u128::MAX, 0x88a8),
    (u128::MAX, 0x9100),
    (u128::MAX, 0x9200),
    (u128::MAX, 0x9300),
];

/// Stands for all IP protocols without fields that filters know (RFC 3692).
const ANY_PROTOCOL: u128 = 253;
/// Stands for all such EtherTypes (local experimental, IEEE 802 §9.2.3).
const ANY_TYPE: u128 = 0x88b5;

/// All kinds of frames that a host on this VLAN can send.
fn kinds(vid: Vid) -> Vec<Kind> {
    let c = Criterion::exact;
    let exact = |values: &[u128]| values.iter().map(|v| (u128::MAX, *v)).collect::<Vec<_>>();
    let mut kinds = Vec::new();
    let mut kind = |fixed: &[(Test, u128)], free: Vec<(Test, Values)>| {
        let fixed: Vec<Criterion> = fixed.iter().map(|(test, value)| c(*test, *value)).collect();
        let free: BTreeMap<Test, Values> = free.into_iter().collect();
        let mut tagged = free.clone();
        tagged.insert(Test::Pcp, Values::any(3));
        // An untagged host may send a priority tag or none.
        if vid == Vid::Untagged {
            kinds.push(Kind { fixed: fixed.clone(), free });
        }
        kinds.push(Kind { fixed, free: tagged });
    };
    let ip = |source: Test, destination: Test, bits: u32, more: Vec<(Test, Values)>| {
        let class = [(Test::Dscp, Values::any(6)), (Test::Ecn, Values::any(2))];
        let ends = [(source, Values::any(bits)), (destination, Values::any(bits))];
        class.into_iter().chain(ends).chain(more).collect::<Vec<_>>()
    };
    let ports = || vec![(Test::TpSrc, Values::any(16)), (Test::TpDst, Values::any(16))];
    let icmp = |not: &[u128]| {
        let kind = Values::any(8).but(exact(not));
        vec![(Test::IcmpType, kind), (Test::IcmpCode, Values::any(8))]
    };
    let protocol = |not: &[u128]| vec![(Test::IpProto, Values::any(8).but(exact(not)))];
    for (eth_type, source, destination, bits) in
        [(0x0800, Test::Ipv4Src, Test::Ipv4Dst, 32), (0x86dd, Test::Ipv6Src, Test::Ipv6Dst, 128)]
    {
        let of = |proto: u128| [(Test::EthType, eth_type), (Test::IpProto, proto)];
        for proto in [6, 17, 132] {
            kind(&of(proto), ip(source, destination, bits, ports()));
        }
        if eth_type == 0x0800 {
            kind(&of(1), ip(source, destination, bits, icmp(&[])));
            let others = protocol(&[1, 6, 17, 132]);
            kind(&of(ANY_PROTOCOL), ip(source, destination, bits, others));
        } else {
            kind(&of(58), ip(source, destination, bits, icmp(&[135, 136])));
            for neighbour in [135, 136] {
                let [a, b] = of(58);
                let target =
                    vec![(Test::NdTarget, Values::any(128)), (Test::IcmpCode, Values::any(8))];
                let fixed = [a, b, (Test::IcmpType, neighbour), (Test::NdTarget, 0)];
                kind(&fixed, ip(source, destination, bits, target));
            }
            // Not what is an extension header, behind which another protocol stands (RFC 8200 §4).
            let others = protocol(&[0, 6, 17, 43, 44, 51, 58, 60, 132, 135, 139, 140]);
            kind(&of(ANY_PROTOCOL), ip(source, destination, bits, others));
        }
    }
    let arp = vec![
        (Test::ArpOp, Values::any(16)),
        (Test::ArpSpa, Values::any(32)),
        (Test::ArpTpa, Values::any(32)),
        (Test::ArpSha, Values::any(48)),
        (Test::ArpTha, Values::any(48)),
    ];
    kind(&[(Test::EthType, 0x0806), (Test::ArpOp, 1)], arp);
    kind(&[(Test::EthType, ANY_TYPE)], vec![(Test::EthType, Values::any(16).but(NO_PLAIN_TYPE))]);
    kind(&[(Test::EthType, 0x05ff)], vec![]);
    kinds
}

/// A set of frames of one kind.
#[derive(Clone)]
struct Set<'a> {
    kind: &'a Kind,
    /// One of the kind, for the fields that do not vary.
    subject: Subject<'a>,
    fields: BTreeMap<Test, Values>,
}

/// What a criterion is to a set.
enum Met {
    Always,
    Never,
    /// Some frames meet it: those with these values of this field.
    Sometimes(Test, Values),
}

impl Set<'_> {
    /// The varying field that a test reads. The names of the original mean one field or another.
    fn field(&self, test: Test) -> Option<Test> {
        let has = |test: &Test| self.fields.contains_key(test);
        match test {
            Test::NwProto => [Test::IpProto, Test::ArpOp].into_iter().find(has),
            Test::NwSrc => [Test::Ipv4Src, Test::ArpSpa].into_iter().find(has),
            Test::NwDst => [Test::Ipv4Dst, Test::ArpTpa].into_iter().find(has),
            test => Some(test).filter(has),
        }
    }

    fn meets(&self, c: &Criterion) -> Met {
        match self.field(c.test).map(|field| (field, &self.fields[&field])) {
            None => match c.test.value(&self.subject).value() {
                Some(value) if value & c.mask == c.value => Met::Always,
                _ => Met::Never,
            },
            Some((_, values)) if values.within(c.mask, c.value) => Met::Always,
            Some((field, values)) => match values.and(c.mask, c.value) {
                Some(narrowed) => Met::Sometimes(field, narrowed),
                None => Met::Never,
            },
        }
    }

    /// One frame of the set; `None` if it is empty.
    fn one(&self) -> Option<FrameFields> {
        let mut criteria = self.kind.fixed.clone();
        criteria.retain(|c| !self.fields.contains_key(&c.test));
        for (test, values) in &self.fields {
            criteria.push(Criterion::exact(*test, values.one()?));
        }
        Some(FrameFields(criteria))
    }
}

struct Search<'a> {
    policy: &'a Policy,
    budget: u32,
}

impl Search<'_> {
    /// A frame of the set that the rules from this one on allow.
    fn walk(&mut self, from: usize, mut set: Set<'_>) -> Result<Option<FrameFields>, Entangled> {
        self.budget = self.budget.checked_sub(1).ok_or(Entangled)?;
        let rules = self.policy.filters.rules();
        for (index, rule) in rules.iter().enumerate().skip(from) {
            let Some(taken) = takes(rule, &set) else { continue };
            if rule.action == FilterAction::Allow {
                let mut narrowed = set.clone();
                narrowed.fields.extend(taken.clone());
                if let Some(frame) = narrowed.one() {
                    return Ok(Some(frame));
                }
            }
            // Those that differ in the first of its fields, then in the second, …
            let Some((last, others)) = taken.split_last() else { return Ok(None) };
            let without = |set: &Set<'_>, test: Test| {
                let criteria = rule.criteria.iter().filter(|c| set.field(c.test) == Some(test));
                // Two criteria on one field are met by what agrees with both.
                let both = criteria.fold((0, 0), |(m, v), c| (m | c.mask, v | c.value));
                Values::clone(&set.fields[&test]).but([both])
            };
            for (test, _) in others {
                let mut rest = set.clone();
                rest.fields.insert(*test, without(&set, *test));
                if rest.fields[test].one().is_some()
                    && let Some(frame) = self.walk(index + 1, rest)?
                {
                    return Ok(Some(frame));
                }
            }
            let rest = without(&set, last.0);
            if rest.one().is_none() {
                return Ok(None);
            }
            set.fields.insert(last.0, rest);
        }
        Ok(match self.policy.options.filter_default {
            FilterAction::Allow => set.one(),
            FilterAction::Deny => None,
        })
    }
}

/// The frames of the set that a rule matches, as the fields that it narrows; `None`: it matches none.
fn takes(rule: &Rule, set: &Set<'_>) -> Option<Vec<(Test, Values)>> {
    let mut narrowed: Vec<(Test, Values)> = Vec::new();
    let mut set = set.clone();
    for criterion in &rule.criteria {
        match set.meets(criterion) {
            Met::Never => return None,
            Met::Always => {}
            Met::Sometimes(test, values) => {
                set.fields.insert(test, values.clone());
                narrowed.retain(|(known, _)| *known != test);
                narrowed.push((test, values));
            }
        }
    }
    Some(narrowed)
}
