//! The only place that draws randomness.

use std::cell::RefCell;

/// Draws ids that nobody can guess.
pub trait Entropy: Send + Sync + 'static {
    fn sixteen_bytes(&self) -> [u8; 16];
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

/// Draws of sixteen bytes that are had from the system at a time: asking it costs more than the bytes do.
const DRAWS: usize = 32;

/// Bytes that this thread has drawn and nobody has been given yet.
struct Drawn {
    bytes: [[u8; 16]; DRAWS],
    left: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [[0; 16]; DRAWS], left: 0 }) };
}

impl Entropy for SystemEntropy {
    fn sixteen_bytes(&self) -> [u8; 16] {
        DRAWN.with_borrow_mut(|drawn| {
            if drawn.left == 0 {
                let all = drawn.bytes.as_flattened_mut();
                getrandom::fill(all).expect("the operating system has a source of randomness");
                drawn.left = DRAWS;
            }
            drawn.left -= 1;
            // Given away once, and nowhere to be found afterwards.
            std::mem::take(&mut drawn.bytes[drawn.left])
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    #[test]
    fn nothing_is_given_twice_whatever_the_thread() {
        let draw = || (0..10 * DRAWS).map(|_| SystemEntropy.sixteen_bytes()).collect::<Vec<_>>();
        let drawn = thread::scope(|scope| {
            let others: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            others.into_iter().flat_map(|other| other.join().expect("it draws")).collect::<Vec<_>>()
        });
        let different: BTreeSet<[u8; 16]> = drawn.iter().copied().collect();
        assert_eq!(different.len(), 40 * DRAWS);
        assert!(!different.contains(&[0; 16]));
    }
}
