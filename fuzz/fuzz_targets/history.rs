//! Damaged rows of histories: they are refused, or can be written again and then say the same.
//! `cargo +nightly fuzz run history`

#![no_main]

use libfuzzer_sys::fuzz_target;
use soloist::store::record;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = record::decode_history(bytes) {
        assert_eq!(record::decode_history(&record::encode_history(&event)), Ok(event));
    }
});
