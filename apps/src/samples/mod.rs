//! Sample applications, each one file: where to start when writing an own one.

pub mod hub;
pub mod learning_switch;

pub use hub::Hub;
pub use learning_switch::LearningSwitch;
