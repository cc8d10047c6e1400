//! What the board does in cases that a story hardly comes to.

use super::*;
use crate::{
    core::{
        effect::ActivityOffer,
        ids::{Arrival, InstanceId, TaskHub},
    },
    engine::work_items::filters::{Filters, Wishes},
};

fn wishes(filters: Option<Filters>) -> Wishes {
    Wishes { hub: TaskHub::default(), turns_max: 1, activities_max: 1, filters, nameless: false }
}

fn stream(id: u64) -> Arc<Stream> {
    Stream::new(StreamId(id), wishes(None))
}

/// One that takes this activity alone.
fn stream_of(id: u64, activity: &str) -> Arc<Stream> {
    let activities = [(activity.to_owned(), Vec::new())].into();
    Stream::new(StreamId(id), wishes(Some(Filters { activities, ..Filters::default() })))
}

/// One of the activities to which the orchestrator has given the number 3.
fn activity(name: &str, task: u64) -> Item {
    let key = InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("an id"));
    let offer = ActivityOffer {
        arrival: Arrival(1),
        execution: ExecutionId([1; 16]),
        task: Revision(task),
        id: 3,
        name: Name::parse(name).expect("a name"),
        version: String::new(),
        row: 2,
    };
    Item::activity(key, offer)
}

fn token(n: u8) -> CompletionToken {
    CompletionToken([n; 16])
}

/// The only match, which its stream gets.
fn only(items: &WorkItems, matches: Vec<Match>, n: u8) -> (StreamId, Revision) {
    let [Match { item, stream }] = &matches[..] else { panic!("{} matches", matches.len()) };
    assert!(items.hand_out(token(n), *stream, item, None).is_ok());
    (*stream, item.item_key().1.expect("an activity"))
}

/// It was called the stream's for ever, and no worker that names no tokens got it any more.
#[test]
fn what_is_matched_with_a_stream_that_goes_is_the_next_ones() {
    let items = WorkItems::default();
    assert!(items.offer(activity("act", 7), false).is_empty());
    let matches = items.join(&stream(1), 9).expect("a place");
    let [Match { item, .. }] = &matches.matches[..] else { panic!("it waits") };
    items.leave(StreamId(1));
    assert!(items.hand_out(token(1), StreamId(1), item, None).is_err_and(|freed| freed.is_empty()));
    assert!(items.offer_again(item).is_empty());
    assert_eq!(items.join(&stream(2), 9).expect("a place").matches.len(), 1);
}

/// When the first of those that waited for one number was handed out, it was forgotten that others waited, too: they
/// waited until their workers had done something else.
#[test]
fn all_that_wait_for_one_number_have_their_turn() {
    let items = WorkItems::default();
    let (first, second) = (stream_of(1, "a"), stream_of(2, "b"));
    for stream in [&first, &second] {
        assert!(items.join(stream, 9).expect("a place").matches.is_empty());
    }
    assert_eq!(only(&items, items.offer(activity("a", 7), false), 1), (first.id, Revision(7)));
    assert!(items.offer(activity("b", 8), false).is_empty(), "its answer could not be told from that of the other");
    assert!(items.offer(activity("a", 9), false).is_empty());
    assert_eq!(only(&items, items.done(token(1)), 2), (second.id, Revision(8)));
    assert_eq!(only(&items, items.done(token(2)), 3), (first.id, Revision(9)));
    assert!(items.done(token(3)).is_empty());
}
