//! Cases: what the policy's author expects, kept beside the slices. Pure.
//!
//! ```text
//! policy file ─▶ Case ─▶ judge ─┬▶ as expected
//!                  │            └▶ what happens instead, with the explanation of one frame
//!                  └─▶ the frames of it, for networks to send
//! ```
//!
//! A case is judged by [`crate::decide`] alone, in every state of the network that its words speak of:
//!
//! | Words | Holds if |
//! |---|---|
//! | A reaches B | after both have spoken a frame from A comes out where B is, whoever else has spoken |
//! | A never reaches B | no frame that A can send comes out where B is, whoever has spoken |
//! | A is isolated from B | neither reaches the other, ever |
//! | A is refused because R | with everybody located (unless nobody spoke) its frames to everybody, to each host of its slice and to an unknown address are dropped for R |

mod events;
mod frame;
mod judge;
mod reach;
mod stations;
mod witness;

use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use crate::policy::{Policy, SliceId};

pub use events::{CaseWorld, PolicyFiles};
pub use frame::FrameFields;
pub use judge::{Arrival, Judge, Judgement, Probe, Wrong, judge, probes};
pub use stations::{Station, stations};

/// Who a case speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// A host of the policy, by name.
    Host(String),
    /// Every host that belongs to a slice.
    Slice(SliceId),
}

/// What is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// Frames arrive, after both have spoken.
    Reaches,
    /// Frames never arrive, wherever hosts are known to be.
    NeverReaches,
    /// Frames never arrive in either direction.
    Isolated,
    /// The frame is dropped, for this reason if one is given.
    Refused {
        /// The code of the reason.
        because: Option<String>,
    },
    /// As [`Expectation::Refused`], said of a sender: of its frames to everybody, to each host of its
    /// slice, and to an address that nobody has.
    Silenced {
        /// The code of the reason.
        because: Option<String>,
    },
    /// The frame goes to one place: this one, if it is given.
    Forwarded {
        /// Where it comes out.
        out: Option<Attachment>,
    },
    /// The frame is flooded: to exactly these places, if they are given.
    Flooded {
        /// Where it comes out, in order.
        out: Option<Vec<Attachment>>,
    },
}

impl Expectation {
    /// In words, as in the name of a case: `refused because filtered`.
    pub fn words(&self, policy: &Policy) -> String {
        let places = |word: &str, out: &[Attachment]| {
            let names: Vec<_> = out.iter().map(|at| policy.attachment_name(*at)).collect();
            match names.is_empty() {
                true => format!("{word} to nobody"),
                false => format!("{word} to {}", names.join(", ")),
            }
        };
        match self {
            Expectation::Reaches => "reached".to_owned(),
            Expectation::NeverReaches => "never reached".to_owned(),
            Expectation::Isolated => "isolated".to_owned(),
            Expectation::Refused { because } | Expectation::Silenced { because } => match because {
                None => "refused".to_owned(),
                Some(code) => format!("refused because {code}"),
            },
            Expectation::Forwarded { out: None } => "forwarded".to_owned(),
            Expectation::Forwarded { out: Some(out) } => places("forwarded", &[*out]),
            Expectation::Flooded { out: None } => "flooded".to_owned(),
            Expectation::Flooded { out: Some(out) } => places("flooded", out),
        }
    }
}

/// The frame of a case, where it is not simply one from the sender to the receiver.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameSpec {
    /// Where it comes in, if not at its sender's place.
    pub at: Option<Attachment>,
    /// Its source address, if not its sender's.
    pub src: Option<MacAddr>,
    /// Its destination address, if not its receiver's.
    pub dst: Option<MacAddr>,
    /// Its protocol fields.
    pub fields: FrameFields,
    /// The VIDs of its tags from the outside, where they are not those of the place that it comes in at.
    pub vids: Option<Vec<u16>>,
}

/// What happens before the expectation is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A link is cut or healed.
    Link {
        /// Its ends, as the policy has them.
        ends: [(DatapathId, PortNo); 2],
        /// Whether it is there afterwards.
        up: bool,
    },
    /// A port goes down or comes up.
    Port {
        /// The port.
        port: (DatapathId, PortNo),
        /// Whether it is up afterwards.
        up: bool,
    },
    /// A switch stops or starts.
    Switch {
        /// The switch.
        dpid: DatapathId,
        /// Whether it runs afterwards.
        up: bool,
    },
    /// A switch restarts with empty tables.
    SwitchRestarts(DatapathId),
    /// The controller restarts.
    ControllerRestarts,
    /// A host is plugged in elsewhere.
    Moves {
        /// The host.
        host: String,
        /// Where it is then.
        to: Attachment,
    },
    /// A host speaks.
    Speaks(String),
    /// Every host of the policy speaks.
    EveryoneSpeaks,
    /// The policy file is replaced by this one; the path is relative to the file of the case.
    Policy(String),
    /// Seconds pass in which nobody speaks.
    Pass(u64),
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// As it is written, for reports.
    pub text: String,
    /// The sender; `None` where the frame says everything.
    pub from: Option<Peer>,
    /// The receiver; `None`: everybody.
    pub to: Option<Peer>,
    /// The frame.
    pub frame: FrameSpec,
    /// What is expected.
    pub expect: Expectation,
    /// What happens before, in order.
    pub after: Vec<Event>,
    /// Whether nobody has spoken before.
    pub silent: bool,
    /// Its item in the file's list.
    pub(crate) item: u32,
}
