//! What the system knows of a process: its CPU time and memory, from `/proc`.

#[cfg(target_os = "linux")]
mod linux;

use std::{net::SocketAddr, time::Duration};

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
}

impl Process {
    pub fn of(id: u32) -> Process {
        Process { id }
    }
}

#[cfg(target_os = "linux")]
impl Process {
    /// The CPU time that all its threads have used so far, those that have ended included. Its steps are the system's
    /// clock ticks, mostly 10 ms.
    pub fn cpu(self) -> Option<Duration> {
        linux::cpu(self.id)
    }

    /// The bytes of memory that it occupies.
    pub fn resident_bytes(self) -> Option<u64> {
        linux::resident_bytes(self.id)
    }

    /// The process that listens there, if it is on this machine and may be looked at.
    pub fn listening_on(address: SocketAddr) -> Option<Process> {
        linux::listening_on(address).map(Process::of)
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub fn cpu(self) -> Option<Duration> {
        None
    }

    pub fn resident_bytes(self) -> Option<u64> {
        None
    }

    pub fn listening_on(_: SocketAddr) -> Option<Process> {
        None
    }
}
