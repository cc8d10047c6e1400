//! The rules of an instance: tables of what each command does in each state, and laws over random lives.
#![cfg(feature = "server")]

mod laws;
mod lifecycle;
mod queue;
mod records;
mod runs;
mod starts;
mod states;
mod turns;
mod world;
