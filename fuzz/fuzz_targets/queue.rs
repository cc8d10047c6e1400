//! Damaged rows of starts that wait: they are refused, or can be written again and then say the same.
//! `cargo +nightly fuzz run queue`

#![no_main]

use libfuzzer_sys::fuzz_target;
use soloist::{core::ids::Revision, store::record};

fuzz_target!(|bytes: &[u8]| {
    let Ok(start) = record::decode_queued(Revision(1), bytes) else { return };
    let again = record::encode_queued(&start);
    // By their bytes: a number that is none is not equal to itself.
    let read = record::decode_queued(Revision(1), &again).expect("it was written so");
    assert_eq!(record::encode_queued(&read), again);
});
