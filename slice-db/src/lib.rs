//! Who may talk to whom: slices, their policy file, and the decision.
//!
//! ```
//! use umlaut_slice_db::{OfflineNetwork, Policy, Ingress, NoTrace, Verdict, decide};
//! use umlaut_openflow::{packet::Headers, DatapathId, PortNo};
//!
//! let text = "
//! umlaut: 1
//! switches: {s1: 0x1}
//! slices:
//!   lab: {members: [{port: s1/1}, {port: s1/2}]}
//! ";
//! let (policy, warnings) = Policy::parse("lab.yaml", text).map_err(|e| e[0].to_string())?;
//! assert!(warnings.is_empty());
//! let network = OfflineNetwork::from_policy(&policy);
//! let headers = Headers { eth_src: "00:00:00:00:00:01".parse()?, ..Headers::default() };
//! let ingress = Ingress { dpid: DatapathId(1), port: PortNo(1), headers: &headers };
//! let decision = decide(&policy, &network, ingress, &mut NoTrace);
//! assert!(matches!(decision.verdict, Verdict::Flood { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything here is pure: values in, values out, no IO, no clock, no locks. [`decide`] is the one
//! place where it is decided what happens to a frame.

mod cases;
mod criteria;
mod decide;
mod diagnostic;
mod diff;
mod explain;
mod filter;
mod hosts;
mod layout;
mod members;
mod network;
mod parse;
mod policy;
mod quick;
mod remedy;
mod shards;
mod switches;
mod values;
mod yaml;

pub use cases::{
    Arrival, Case, CaseWorld, Event, Expectation, FrameFields, FrameSpec, Judge, Judgement, Peer,
    PolicyFiles, Probe, Station, Wrong, judge, probes, stations,
};
pub use decide::{
    Asked, Decision, Destination, DropReason, Ingress, NoTrace, Step, Trace, Verdict, decide,
    decide_asked, destination, receives,
};
pub use diagnostic::{Diagnostic, Label, Severity, nearest};
pub use diff::{PolicyDiff, Touched};
pub use explain::{
    CriterionLook, Explanation, FilterLook, FilterWalk, Line, PointLook, Points, Question, explain,
    explain_decision, suggest_member,
};
pub use filter::{FilterAction, RuleId};
pub use network::{Location, Network, OfflineNetwork, PortRole};
pub use parse::{Protocols, protocols};
pub use policy::{
    Admission, AdmittedBy, Binding, BoundPorts, Host, Member, MemberId, Options, Point, Policy,
    Refusal, SliceId, admit, may_be_guessed, no_other_speaks,
};
pub use remedy::{
    Announced, Bind, Change, Cure, Difference, Edit, LineChange, NotEditable, Remedy, Scope, cure,
};
pub use switches::{CertificateOf, Fingerprint, NoFingerprint, Shown, SwitchRefusal, admit_switch};
pub use yaml::POLICY_BYTES;
