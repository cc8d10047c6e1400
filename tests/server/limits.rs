//! Limits: just at each the call works, one beyond it is refused by name, and nothing that is refused breaks anything.

mod bounds;
mod payloads;
mod reports;
mod requests;
mod words;
