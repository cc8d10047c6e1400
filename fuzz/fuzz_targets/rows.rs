//! Damaged rows of records, transitions, events and requests: they are refused, or mean something that can be worked with and written again.
//! `cargo +nightly fuzz run rows`

#![no_main]

use libfuzzer_sys::fuzz_target;
use soloist::{
    core::{
        effect::outstanding,
        ids::{Arrival, InstanceId, InstanceKey, TaskHub},
        time::{Now, Steady, Timestamp},
    },
    store::record,
};

fuzz_target!(|bytes: &[u8]| {
    let now = Now { wall: Timestamp::from_micros(1), steady: Steady::from_micros(1) };
    if let Ok(record::Recovered { key, instance, .. }) = record::decode_instance(Arrival(1), bytes, now) {
        let _ = (instance.view(&key, now), outstanding(&instance));
        let again = record::encode_instance(&key, &instance);
        assert!(record::decode_instance(Arrival(1), &again, now).is_ok());
    }
    let key = InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("a valid id"));
    if let Ok(transition) = record::decode_transition(&key, 1, bytes) {
        let again = record::encode_transition(&transition.view);
        assert!(record::decode_transition(&key, 1, &again).is_ok());
    }
    let _ = (record::decode_event(1, bytes), record::decode_names(bytes), record::decode_view(bytes));
    if let Ok(request) = record::decode_request(bytes) {
        assert_eq!(record::decode_request(&record::encode_request(&request)), Ok(request));
    }
});
