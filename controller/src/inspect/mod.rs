//! What a running controller is asked: which entries its registries want on which switch, and
//! whether the switches have them. Pure: what is compared was collected before.
//!
//! A question asks each session in a turn of its own, page by page
//! ([`Switch::path_page`](crate::Switch::path_page)), and reads the shared tables beside the
//! sessions; nothing here runs per packet.
//!
//! ```text
//! registries (pages) ─▶ wanted entries ─┐
//!                                       ├─▶ present, wrong, missing, and what nobody wants
//! flow statistics ──────────────────────┘
//! ```
//! Registries are read before flow statistics are asked for. A connection keeps its order, so what
//! was installed then is in the statistics unless it was removed in between.

mod actual;
mod wanted;

pub use actual::{ActualTable, Found, Usage, same_match};
pub use wanted::{Wanted, wanted};
