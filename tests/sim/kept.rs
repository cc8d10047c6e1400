//! Every seed that ever failed, by name. A seed tells the same tale only as long as the actors draw the same numbers;
//! what a bug was, `tales` tells by hand.

use crate::assert_clean;

/// Name, seed, and what it was.
const KEPT: [(&str, u64, &str); 7] = [
    ("nobody for g", 12, "the only worker of a function stopped serving it: the actors' own fault"),
    ("two instances, one number", 391, "tokens are numbers of a partition, and two instances had the same one"),
    ("the first transition", 221, "a watcher waited for a start, and the first transition had no time"),
    ("an end in a slow flush", 1_023_246, "events were held back from a run whose replacement was not durable yet"),
    ("a flush of twenty seconds", 5922, "a watcher that was to be told the current state waited for the disk"),
    ("an end before a stop", 2_000_014_408, "the end of a continued run was older than its worker's last word"),
    ("a life that nobody watched", 2_000_021_030, "the first life that was watched was taken for the first one"),
];

#[test]
fn kept_seeds() {
    for (name, seed, tale) in KEPT {
        println!("{name}: {tale}");
        assert_clean(seed);
    }
}
