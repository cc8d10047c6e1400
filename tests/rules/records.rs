//! What the store's rows hold: nothing of it makes the decoders panic, and what is written is read again.

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    core::{
        command::{Command, ReportBody, Start},
        history::HistoryEvent,
        ids::{Arrival, Revision},
        policy::ConflictPolicy,
        request::{Outcome, Remembered},
        time::{Steady, Timestamp},
    },
    store::record,
};

use crate::world::{World, completed, failed, name, raise, request, suspend, terminate};

/// One valid row of each kind, from several states.
fn rows() -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let worlds = [
        World::pending(),
        World::running().then(&raise(None)).after(ReportBody::Progress { custom_status: Some("half".into()) }),
        World::running().after(failed(false)),
        World::running().then(&terminate(None)),
        World::running().after(completed()),
    ];
    for world in worlds {
        rows.push(record::encode_instance(&world.key, world.instance()));
        rows.push(record::encode_transition(&world.instance().view(&world.key, world.now)));
    }
    let world = World::running().queued(ConflictPolicy::Coalesce);
    rows.push(record::encode_instance(&world.key, world.instance()));
    rows.extend(world.instance().queue.iter().map(record::encode_queued));
    let stories = [raise(None), suspend(None), world.report(failed(false))];
    for command in stories {
        let mut world = world.clone();
        let event = world.must(&command).events.pop().expect("something happened").0;
        let noted = HistoryEvent::of(&event, world.instance(), world.now).expect("it is noted");
        let row = record::encode_history(&noted);
        assert_eq!(record::decode_history(&row), Ok(noted));
        rows.push(row);
    }
    rows.push(record::encode_event(&name("e"), Some(&"payload".into()), Timestamp::from_micros(7)));
    rows.push(record::encode_request(&remembered()));
    rows
}

fn remembered() -> Remembered {
    let mut world = World::new();
    let execution = world.start().execution;
    Remembered {
        id: "r".into(),
        digest: u128::MAX - 1,
        outcome: Outcome::Replaced,
        execution,
        accepted_at: Steady::from_micros(9),
    }
}

/// Reads the bytes as every kind of row; whatever they are, this returns.
fn read_as_everything(bytes: &[u8]) {
    let world = World::new();
    if let Ok(record::Recovered { key, instance, .. }) = record::decode_instance(Arrival(1), bytes, world.now) {
        // What was read can be looked at and written.
        let _ = (instance.next_due(), instance.is_grantable(), instance.view(&key, world.now));
        let _ = record::encode_instance(&key, &instance);
    }
    let _ = record::decode_transition(&world.key, 1, bytes);
    let _ = record::decode_event(1, bytes);
    let _ = record::decode_request(bytes);
    // What was read can be written, and is read as the same again.
    if let Ok(start) = record::decode_queued(Revision(1), bytes) {
        let again = record::encode_queued(&start);
        let read = record::decode_queued(Revision(1), &again).expect("it was written so");
        assert_eq!(record::encode_queued(&read), again);
    }
    if let Ok(event) = record::decode_history(bytes) {
        assert_eq!(record::decode_history(&record::encode_history(&event)), Ok(event));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        which in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        twice in any::<bool>(),
    ) {
        let rows = rows();
        let mut bytes = which.get(&rows).clone();
        if twice {
            bytes.extend(bytes.clone());
        }
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_as_everything(&bytes);
    }
}

#[test]
fn events_and_requests_are_read_as_they_were_written() {
    let event = record::encode_event(&name("approve"), Some(&"\"yes\"".into()), Timestamp::from_micros(7));
    let event = record::decode_event(3, &event).expect("it was written so");
    assert_eq!((event.sequence, event.name.as_str(), event.input.as_deref()), (3, "approve", Some("\"yes\"")));
    assert_eq!(event.raised_at, Timestamp::from_micros(7));
    assert_eq!(record::decode_request(&record::encode_request(&remembered())), Ok(remembered()));
}

#[test]
fn a_record_says_how_many_starts_wait() {
    let mut world = World::running();
    for waiting in 0..3 {
        let bytes = record::encode_instance(&world.key, world.instance());
        let read = record::decode_instance(Arrival(7), &bytes, world.now).expect("it was written so");
        assert_eq!(read.queued_starts, waiting);
        let start = Start { max_queue: 9, ..world.start_as(ConflictPolicy::Queue) };
        world = world.then(&Command::Start(start));
    }
}

#[test]
fn an_instance_is_read_without_its_remembered_requests() {
    let mut world = World::new();
    let start = Start { request: Some(request("r", 1)), ..world.start() };
    let world = world.then(&Command::Start(start));
    let bytes = record::encode_instance(&world.key, world.instance());
    let record::Recovered { key, instance: read, .. } =
        record::decode_instance(Arrival(7), &bytes, world.now).expect("it was written so");
    assert_eq!(key, world.key);
    assert_ne!(read.memory, world.instance().memory, "requests have rows of their own");
}
