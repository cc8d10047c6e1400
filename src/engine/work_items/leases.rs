//! How long workers have for their turns.

use std::collections::{HashMap, VecDeque};

use super::board::Out;
use crate::core::{ids::CompletionToken, time::Steady};

/// When each turn that is out is to be offered again, the earliest first: all have the same time. What was completed
/// meanwhile is still among them, up to a bound, so that a turn costs but a place at the end.
#[derive(Default)]
pub(super) struct Leases(VecDeque<(Steady, CompletionToken)>);

/// So many that are over are kept, however few turns are out.
const OVER_MIN: usize = 64;

impl Leases {
    /// Answers whether no other one ends before.
    pub fn begin(&mut self, token: CompletionToken, ends_at: Steady, out: &HashMap<CompletionToken, Out>) -> bool {
        if self.0.len() > 2 * out.len() + OVER_MIN {
            self.0.retain(|(_, token)| out.contains_key(token));
        }
        self.0.push_back((ends_at, token));
        self.0.len() == 1
    }

    /// Takes the next one that has ended, of a turn that is still out.
    pub fn pop_due(&mut self, now: Steady, out: &HashMap<CompletionToken, Out>) -> Option<CompletionToken> {
        while let Some((ends_at, token)) = self.0.front().copied() {
            let is_out = out.contains_key(&token);
            if is_out && ends_at > now {
                return None;
            }
            self.0.pop_front();
            if is_out {
                return Some(token);
            }
        }
        None
    }

    /// Without what may be over and is kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len().saturating_sub(OVER_MIN)
    }

    /// When the next one ends, or was to.
    pub fn next_end(&self) -> Option<Steady> {
        self.0.front().map(|(ends_at, _)| *ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each turn that was completed would have stayed until its lease had ended: five minutes' worth of them.
    #[test]
    fn what_is_over_does_not_pile_up() {
        let (mut leases, out) = (Leases::default(), HashMap::new());
        for n in 0..10_000_u32 {
            leases.begin(CompletionToken(u128::from(n).to_be_bytes()), Steady::from_micros(n.into()), &out);
        }
        assert!(leases.0.len() <= OVER_MIN + 1);
        assert_eq!(leases.pop_due(Steady::from_micros(0), &out), None);
        assert_eq!(leases.next_end(), None, "nobody is woken for what is over");
    }
}
