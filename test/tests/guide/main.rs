//! The examples of docs/testbed.md.

mod by_hand;
mod over_tcp;
mod scenario;
mod virtual_time;
