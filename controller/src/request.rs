//! Requests to a switch and their answers: who asked, and the parts of an answer that came so far.
//! Pure.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use umlaut_openflow::{ErrorCode, Message, Xid};

use crate::app::AppNo;

/// How long a request waits for its answer. Then who asked is told so.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests of one switch that wait. When there are as many, a further one is refused.
pub const REQUESTS: usize = 1024;
/// Bytes of partial answers of one switch that are kept. An answer that would exceed it is given up.
pub const PARTS_BYTES: usize = 64 << 20;
/// Bytes of messages of applications that are remembered to say what an error answers.
const REMEMBERED_BYTES: usize = 16 << 10;
/// The largest message that is remembered; of a larger one the error itself has the beginning.
const REMEMBERED_MESSAGE: usize = 512;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// The switch is not served, or went away before it answered.
    #[error("the switch is gone")]
    Gone,
    /// The switch has its fill of requests or commands.
    #[error("the switch has too many requests to answer")]
    Busy,
    /// The switch did not answer in time.
    #[error("the switch did not answer in time")]
    TimedOut,
    /// The answer is larger than what is kept of one.
    #[error("the answer exceeds {PARTS_BYTES} bytes")]
    TooLarge,
    /// The switch answered with an error.
    #[error("the switch answered with error {0}")]
    Refused(ErrorCode),
    /// The wire version of the switch cannot express the request.
    #[error("the request cannot be expressed in the version that the switch speaks")]
    Inexpressible,
    /// The switch answered with something else than what was asked for.
    #[error("the switch answered with something else")]
    Senseless,
    /// The message is not one that is answered.
    #[error("such a message is not answered")]
    NoRequest,
}

/// Takes an answer.
pub type ReplyTo = Box<dyn FnOnce(Result<Message<'static>, RequestError>) + Send>;

/// Who asked.
pub(crate) enum Asker {
    /// An application: its handlers get the answer.
    App(AppNo),
    /// Code outside of handlers, and the application that it belongs to.
    Code(AppNo, ReplyTo),
}

/// What an answer is turned into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Nothing else.
    AsTold,
    /// The ports of a features reply of 1.0.
    Ports,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::App(app) => write!(f, "App({})", app.0),
            Asker::Code(app, _) => write!(f, "Code({})", app.0),
        }
    }
}

#[derive(Debug)]
struct Request {
    asker: Asker,
    wanted: Wanted,
    parts: Option<Message<'static>>,
    bytes: usize,
}

/// The requests of one switch.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: HashMap<Xid, Request, RandomState>,
    /// In order of sending, which is the order of time-outs.
    deadlines: VecDeque<(Instant, Xid)>,
    bytes: usize,
}

/// What an answer, or a part of one, completes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is returned")]
pub(crate) enum Answer {
    /// Nobody asked for it, or more parts follow.
    Nothing,
    /// All of it.
    Whole(Asker, Message<'static>),
    /// It is too large.
    GivenUp(Asker),
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= REQUESTS
    }

    pub(crate) fn add(&mut self, xid: Xid, asker: Asker, wanted: Wanted, now: Instant) {
        while self.deadlines.front().is_some_and(|(_, old)| !self.waiting.contains_key(old)) {
            self.deadlines.pop_front();
        }
        self.waiting.insert(xid, Request { asker, wanted, parts: None, bytes: 0 });
        self.deadlines.push_back((now + REQUEST_TIMEOUT, xid));
    }

    /// Takes an answer of this many bytes.
    pub(crate) fn answered(&mut self, xid: Xid, part: Message<'_>, bytes: usize) -> Answer {
        let Some(request) = self.waiting.get_mut(&xid) else { return Answer::Nothing };
        let part = match (request.wanted, part) {
            (Wanted::Ports, Message::FeaturesReply(features)) => {
                Message::PortDescriptionReply { ports: features.ports, more: false }
            }
            (_, part) => part,
        };
        let last = !has_more(&part);
        let too_large = self.bytes + bytes > PARTS_BYTES;
        let whole = match request.parts.take() {
            None => Some(part.into_owned()),
            Some(parts) => joined(parts, part.into_owned()),
        };
        match whole {
            Some(whole) if !last && !too_large => {
                request.parts = Some(whole);
                request.bytes += bytes;
                self.bytes += bytes;
                Answer::Nothing
            }
            Some(whole) if !too_large => {
                self.remove(xid).map_or(Answer::Nothing, |asker| Answer::Whole(asker, whole))
            }
            // Too large, or parts of different kinds.
            _ => self.remove(xid).map_or(Answer::Nothing, Answer::GivenUp),
        }
    }

    /// Forgets a request and tells who asked.
    pub(crate) fn remove(&mut self, xid: Xid) -> Option<Asker> {
        let request = self.waiting.remove(&xid)?;
        self.bytes -= request.bytes;
        Some(request.asker)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// Takes one request that was not answered in time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Xid, Option<Asker>)> {
        let (_, xid) = self.deadlines.front().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_front();
        Some((xid, self.remove(xid)))
    }
}

/// Whether a message is answered by one with its transaction id.
pub(crate) fn is_request(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::EchoRequest(_)
            | Message::FeaturesRequest
            | Message::GetConfigRequest
            | Message::BarrierRequest
            | Message::DescriptionRequest
            | Message::PortDescriptionRequest
            | Message::FlowStatsRequest(_)
            | Message::QueueGetConfigRequest { .. }
            | Message::RoleRequest(_)
            | Message::GetAsyncRequest
            | Message::AggregateStatsRequest(_)
            | Message::TableStatsRequest
            | Message::PortStatsRequest { .. }
            | Message::QueueStatsRequest { .. }
            | Message::GroupStatsRequest { .. }
            | Message::GroupDescriptionRequest
            | Message::GroupFeaturesRequest
            | Message::MeterStatsRequest { .. }
            | Message::MeterConfigRequest { .. }
            | Message::MeterFeaturesRequest
            | Message::TableFeaturesRequest { more: false, .. }
            | Message::ExperimenterStatsRequest { more: false, .. }
    )
}

/// Whether a message is a multipart reply.
pub(crate) fn is_stats(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::DescriptionReply(_)
            | Message::PortDescriptionReply { .. }
            | Message::FlowStatsReply { .. }
            | Message::AggregateStatsReply(_)
            | Message::TableStatsReply { .. }
            | Message::PortStatsReply { .. }
            | Message::QueueStatsReply { .. }
            | Message::GroupStatsReply { .. }
            | Message::GroupDescriptionReply { .. }
            | Message::GroupFeaturesReply(_)
            | Message::MeterStatsReply { .. }
            | Message::MeterConfigReply { .. }
            | Message::MeterFeaturesReply(_)
            | Message::TableFeaturesReply { .. }
            | Message::ExperimenterStatsReply { .. }
    )
}

macro_rules! lists {
    ($($variant:ident.$field:ident),* $(,)?) => {
        /// Whether more parts of a multipart reply follow.
        fn has_more(message: &Message<'_>) -> bool {
            match message {
                $(Message::$variant { more, .. } => *more,)*
                Message::ExperimenterStatsReply { more, .. } => *more,
                _ => false,
            }
        }

        /// Two parts of one reply as one; `None` if they are not of one kind.
        fn joined(first: Message<'static>, second: Message<'static>) -> Option<Message<'static>> {
            match (first, second) {
                $((
                    Message::$variant { $field: mut list, .. },
                    Message::$variant { $field: more_of_it, more },
                ) => {
                    list.extend(more_of_it);
                    Some(Message::$variant { $field: list, more })
                })*
                (
                    Message::ExperimenterStatsReply { experimenter, body, .. },
                    Message::ExperimenterStatsReply { experimenter: same, body: rest, more },
                ) if experimenter == same => {
                    let body = [body, rest].concat().into();
                    Some(Message::ExperimenterStatsReply { experimenter, body, more })
                }
                _ => None,
            }
        }
    };
}

lists!(
    PortDescriptionReply.ports,
    FlowStatsReply.flows,
    TableStatsReply.tables,
    PortStatsReply.ports,
    QueueStatsReply.queues,
    GroupStatsReply.groups,
    GroupDescriptionReply.groups,
    MeterStatsReply.meters,
    MeterConfigReply.meters,
    TableFeaturesReply.tables,
);

/// The last bytes that applications sent, so that an error can be shown with what it answers.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// A ring; empty until the first message.
    bytes: Vec<u8>,
    /// Bytes ever written, modulo 2^32.
    written: u32,
}

/// A place in [`Recent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    at: u32,
    length: u16,
}

impl Place {
    /// In 48 bits, not all of them 0.
    pub(crate) fn packed(self) -> u64 {
        u64::from(self.length) << 32 | u64::from(self.at)
    }

    /// `None` of 0.
    pub(crate) fn unpacked(packed: u64) -> Option<Place> {
        let place = Place { at: packed as u32, length: (packed >> 32) as u16 };
        (place.length > 0).then_some(place)
    }
}

impl Recent {
    /// Keeps a message, unless it is large.
    pub(crate) fn push(&mut self, message: &[u8]) -> Option<Place> {
        if message.len() > REMEMBERED_MESSAGE {
            return None;
        }
        let place = Place { at: self.written, length: message.len() as u16 };
        if self.bytes.is_empty() {
            self.bytes.resize(REMEMBERED_BYTES, 0);
        }
        let from = self.written as usize % REMEMBERED_BYTES;
        match self.bytes.get_mut(from..from + message.len()) {
            Some(room) => room.copy_from_slice(message),
            None => {
                let (first, rest) = message.split_at(REMEMBERED_BYTES - from);
                self.bytes[from..].copy_from_slice(first);
                self.bytes[..rest.len()].copy_from_slice(rest);
            }
        }
        self.written = self.written.wrapping_add(place.length.into());
        Some(place)
    }

    /// The same of two, one behind the other, the first of which has this length.
    pub(crate) fn push_two(&mut self, both: &[u8], first: usize) -> [Option<Place>; 2] {
        match self.push(both) {
            Some(Place { at, length }) => {
                let first = first as u16;
                let second = Place { at: at.wrapping_add(first.into()), length: length - first };
                [Some(Place { at, length: first }), Some(second)]
            }
            // One of them may be small enough.
            None => {
                let (first, second) = both.split_at(first);
                [self.push(first), self.push(second)]
            }
        }
    }

    /// A message that was kept, if it was not overwritten.
    pub(crate) fn get(&self, place: Place) -> Option<Vec<u8>> {
        let age = self.written.wrapping_sub(place.at) as usize;
        let length = usize::from(place.length);
        if age > self.bytes.len() || length > age {
            return None;
        }
        let from = place.at as usize % REMEMBERED_BYTES;
        let first = length.min(REMEMBERED_BYTES - from);
        Some([&self.bytes[from..from + first], &self.bytes[..length - first]].concat())
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{PortNo, PortStats};

    use super::*;

    fn port(n: u32) -> PortStats {
        PortStats {
            port_no: PortNo(n),
            rx_packets: 0,
            tx_packets: 0,
            rx_bytes: 0,
            tx_bytes: 0,
            rx_dropped: 0,
            tx_dropped: 0,
            rx_errors: 0,
            tx_errors: 0,
            rx_frame_err: 0,
            rx_over_err: 0,
            rx_crc_err: 0,
            collisions: 0,
            duration: Duration::ZERO,
        }
    }

    fn part(ports: &[u32], more: bool) -> Message<'static> {
        Message::PortStatsReply { ports: ports.iter().map(|n| port(*n)).collect(), more }
    }

    #[test]
    fn parts_become_one_answer_and_others_wait_for_theirs() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.add(Xid(1), Asker::App(AppNo(1)), Wanted::AsTold, now);
        requests.add(Xid(2), Asker::App(AppNo(2)), Wanted::AsTold, now);
        assert!(matches!(requests.answered(Xid(1), part(&[1, 2], true), 100), Answer::Nothing));
        assert!(matches!(requests.answered(Xid(9), part(&[1], false), 100), Answer::Nothing));
        match requests.answered(Xid(1), part(&[3], false), 100) {
            Answer::Whole(Asker::App(AppNo(1)), whole) => {
                assert_eq!(whole, part(&[1, 2, 3], false))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(requests.bytes, 0);
        assert!(matches!(requests.remove(Xid(2)), Some(Asker::App(AppNo(2)))));
    }

    #[test]
    fn an_answer_that_does_not_end_is_given_up() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.add(Xid(1), Asker::App(AppNo(1)), Wanted::AsTold, now);
        assert!(matches!(
            requests.answered(Xid(1), part(&[1], true), PARTS_BYTES),
            Answer::Nothing
        ));
        assert!(matches!(requests.answered(Xid(1), part(&[1], true), 1), Answer::GivenUp(_)));
        assert_eq!((requests.bytes, requests.waiting.len()), (0, 0));
    }

    #[test]
    fn parts_of_different_kinds_are_no_answer() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.add(Xid(1), Asker::App(AppNo(1)), Wanted::AsTold, now);
        assert!(matches!(requests.answered(Xid(1), part(&[1], true), 1), Answer::Nothing));
        assert!(matches!(requests.answered(Xid(1), Message::BarrierReply, 8), Answer::GivenUp(_)));
    }

    #[test]
    fn an_answer_that_does_not_come_is_due_in_time() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.add(Xid(1), Asker::App(AppNo(1)), Wanted::AsTold, now);
        requests.add(Xid(2), Asker::App(AppNo(1)), Wanted::AsTold, now);
        assert!(matches!(requests.answered(Xid(1), part(&[], false), 1), Answer::Whole(..)));
        let due = now + REQUEST_TIMEOUT;
        assert_eq!(requests.deadline(), Some(due));
        assert!(requests.take_due(now).is_none());
        assert!(matches!(requests.take_due(due), Some((Xid(1), None))));
        assert!(matches!(requests.take_due(due), Some((Xid(2), Some(_)))));
        assert!(requests.take_due(due).is_none());
    }

    #[test]
    fn recent_messages_are_found_until_they_are_overwritten() {
        let mut recent = Recent::default();
        let message = |n: u8| vec![n; 500];
        let places: Vec<_> = (0..80).map(|n| recent.push(&message(n)).unwrap()).collect();
        for (n, place) in places.iter().enumerate() {
            let kept = recent.get(*place);
            let expected = (n >= 80 - REMEMBERED_BYTES / 500).then(|| message(n as u8));
            assert_eq!(kept, expected, "{n}");
        }
        assert_eq!(recent.push(&vec![1; REMEMBERED_MESSAGE + 1]), None);
        for place in &places {
            assert_eq!(Place::unpacked(place.packed()), Some(*place));
        }
        // Two at once are as two one by one.
        for (first, second) in [(80, 90), (500, 200), (200, 600), (1, 511)] {
            let both = [vec![1; first], vec![2; second]].concat();
            let places = recent.push_two(&both, first);
            recent.push(&message(9));
            let kept = places.map(|place| place.and_then(|place| recent.get(place)));
            let long = |length: usize| length > REMEMBERED_MESSAGE;
            let expected = [(1, first), (2, second)];
            assert_eq!(kept, expected.map(|(n, of)| (!long(of)).then(|| vec![n; of])));
        }
    }
}
