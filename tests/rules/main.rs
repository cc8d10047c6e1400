//! The rules of an instance: tables of what each command does in each state, and laws over random lives.
#![cfg(feature = "server")]

mod laws;
mod records;
mod runs;
mod starts;
mod world;
