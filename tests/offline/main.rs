//! The pipeline without servers: our binary, a bundle that it serves, and sockets of our own that misbehave.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test's failure is a panic"
)]

mod agent;
mod bad_input;
mod command_line;
mod dropin;
mod faults;
mod fixture;
mod hostile;
mod interrupted;
mod killed;
mod limits;
mod network;
mod relay;
mod secrets;
mod verdicts;
mod verify;
