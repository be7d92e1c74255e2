//! OpenFlow messages: bytes to values and back, for 1.0 and 1.3, in one neutral model.
//!
//! Pure: no IO, no clock, no locks.

pub mod fields;
pub mod model;
pub mod packet;
pub mod types;

pub use fields::FieldSet;
pub use model::*;
pub use types::*;
