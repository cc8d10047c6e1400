//! Reads a recorded history and says whether it keeps what the server promises.
//!
//! It knows nothing of the server: only what callers, workers and watchers saw, and when.

pub mod history;
