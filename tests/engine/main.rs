//! Stories about the engine over a store in memory that forgets at a crash whatever was not committed, with time in
//! the test's hand.
//!
//! The runtime's own time stands still and leaps ahead whenever nobody has anything to do, so the engine's timers look
//! at the hand-driven clock as soon as it has moved, and a test never waits for a time.
#![cfg(feature = "server")]
#![expect(clippy::disallowed_methods, reason = "a test starts tasks and clocks of its own")]

mod behind;
mod clock;
mod commits;
mod damage;
mod ending;
mod group;
mod hand;
mod histories;
mod jumps;
mod ledger;
mod panorama;
mod player;
mod purge;
mod retention;
#[path = "../server/support/seed.rs"]
mod seed;
mod settings;
mod stage;
mod turns;
mod visible;
