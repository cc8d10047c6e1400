//! The only place that draws randomness.

/// Draws ids that nobody can guess.
pub trait Entropy: Send + Sync + 'static {
    fn sixteen_bytes(&self) -> [u8; 16];
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn sixteen_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has a source of randomness");
        bytes
    }
}
