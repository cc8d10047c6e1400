//! Stories about the program as people type it: the real program against a real server.

#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "a test starts threads of its own")]

mod backup;
mod bench;
mod commands;
mod dev;
mod program;
mod server;
mod watch;
