//! What is printed at the end: a table for people, an object for programs.

pub mod json;
pub mod table;

use super::{Server, compare::Comparison, plan::Plan, round::Round};

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    pub plan: Plan,
    /// Absent where no server was asked.
    pub server: Option<Server>,
    pub rounds: Vec<Round>,
    pub comparison: Option<Comparison>,
}
