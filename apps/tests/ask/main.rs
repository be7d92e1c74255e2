//! A running controller and everything that it can be asked: the real binary, a network of emulated
//! switches, a socket in a directory of its own.

mod controller;
mod doctor;
mod documented;
mod explain;
mod questions;
mod socket;
