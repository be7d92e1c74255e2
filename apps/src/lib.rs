//! Applications on the controller framework: the sliceable switch and samples, and the parts of the
//! `umlaut` command.

mod calendar;
pub mod commands;
pub mod control;
#[cfg(feature = "lab")]
pub mod emulated_ground;
pub mod explain;
pub mod samples;
pub mod sliceable;
#[cfg(feature = "lab")]
pub mod virtual_lab;
