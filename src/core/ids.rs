//! Names and numbers that identify things. Whoever holds one holds a valid one.

use std::{borrow::Borrow, fmt, num::NonZeroU64};

use arcstr::ArcStr;

use super::limits;

/// A position in the history of a partition: each committed change gets the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// The number of a grant: a revision, so it only ever rises for one instance id.
pub type FencingToken = Revision;

/// The row that holds a payload: the revision that wrote it, which is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadRow(NonZeroU64);

/// The integer that an instance gets when it is created; the store's rows hang on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrival(pub u64);

/// One run of an instance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub [u8; 16]);

/// The secret of a grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub [u8; 16]);

/// Proof of claim on one Durable Task work item, as it was handed out once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompletionToken(pub [u8; 16]);

/// Names an instance within the server: task hub and instance id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey(ArcStr);

/// Why a text is no valid name: what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{allowed}")]
pub struct Malformed {
    pub allowed: String,
}

/// A namespace of instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskHub(ArcStr);

/// What callers name an instance by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(ArcStr);

/// The name of a function, of an event or of a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(ArcStr);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PayloadRow {
    /// Nothing for zero.
    pub fn new(number: u64) -> Option<PayloadRow> {
        NonZeroU64::new(number).map(PayloadRow)
    }

    /// Of a payload that is written with this revision, if there is one.
    pub fn of<T>(payload: Option<&T>, revision: Revision) -> Option<PayloadRow> {
        payload.and_then(|_| PayloadRow::new(revision.0))
    }

    pub fn number(self) -> u64 {
        self.0.get()
    }
}

impl ExecutionId {
    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<ExecutionId, Malformed> {
        let malformed = || Malformed { allowed: "must be 32 lower-case hexadecimal digits".into() };
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(malformed());
        }
        u128::from_str_radix(text, 16).map(|n| ExecutionId(n.to_be_bytes())).map_err(|_| malformed())
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ClaimId {
    /// A secret: never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimId(…)")
    }
}

impl fmt::Debug for CompletionToken {
    /// A secret: never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompletionToken(…)")
    }
}

impl InstanceKey {
    /// The separator can't stand in a hub's name nor in an instance id.
    const SEPARATOR: char = '\0';

    pub fn new(hub: &TaskHub, id: &InstanceId) -> InstanceKey {
        InstanceKey::join(&hub.0, &id.0)
    }

    pub fn parse(hub: &str, id: &str) -> Result<InstanceKey, Malformed> {
        TaskHub::check(hub)?;
        InstanceId::check(id)?;
        Ok(InstanceKey::join(hub, id))
    }

    fn join(hub: &str, id: &str) -> InstanceKey {
        let mut joined = String::with_capacity(hub.len() + 1 + id.len());
        joined.push_str(hub);
        joined.push(Self::SEPARATOR);
        joined.push_str(id);
        InstanceKey(joined.into())
    }

    /// Another instance of the same hub.
    pub fn sibling(&self, id: &InstanceId) -> InstanceKey {
        InstanceKey::join(self.hub(), &id.0)
    }

    pub fn instance_id(&self) -> InstanceId {
        InstanceId(self.id().into())
    }

    pub fn hub(&self) -> &str {
        self.parts().0
    }

    pub fn id(&self) -> &str {
        self.parts().1
    }

    /// Hub, zero byte, id: what the partition is computed from.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn parts(&self) -> (&str, &str) {
        let separator = self.0.bytes().position(|byte| byte == Self::SEPARATOR as u8).unwrap_or_default();
        let (hub, id) = self.0.split_at(separator);
        (hub, id.strip_prefix(Self::SEPARATOR).unwrap_or(id))
    }
}

impl fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hub(), self.id())
    }
}

impl TaskHub {
    pub fn parse(text: &str) -> Result<TaskHub, Malformed> {
        TaskHub::check(text).map(|()| TaskHub(text.into()))
    }

    fn check(text: &str) -> Result<(), Malformed> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=limits::TASK_HUB_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(())
        } else {
            Err(Malformed { allowed: format!("must be 1 to {} of A-Z a-z 0-9 . _ -", limits::TASK_HUB_BYTES_MAX) })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TaskHub {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for TaskHub {
    fn default() -> TaskHub {
        TaskHub("default".into())
    }
}

impl InstanceId {
    pub fn parse(text: &str) -> Result<InstanceId, Malformed> {
        InstanceId::check(text).map(|()| InstanceId(text.into()))
    }

    fn check(text: &str) -> Result<(), Malformed> {
        let forbidden = |c: char| c.is_control() || limits::INSTANCE_ID_FORBIDDEN.contains(&c);
        if (1..=limits::INSTANCE_ID_BYTES_MAX).contains(&text.len())
            && !text.starts_with('@')
            && !text.contains(forbidden)
        {
            Ok(())
        } else {
            Err(Malformed {
                allowed: format!(
                    "must be 1 to {} bytes without control characters and / \\ # ?, not starting with @",
                    limits::INSTANCE_ID_BYTES_MAX
                ),
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Name {
    pub fn parse(text: &str) -> Result<Name, Malformed> {
        if (1..=limits::NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
            Ok(Name(text.into()))
        } else {
            Err(Malformed {
                allowed: format!("must be 1 to {} bytes without control characters", limits::NAME_BYTES_MAX),
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
