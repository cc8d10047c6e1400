//! Nothing that was seen is un-seen, nothing that was acknowledged is missing: whatever is said later speaks of a state
//! at least as new, and all that is said fits one story.

use std::collections::{HashMap, HashSet};

use super::{
    Rules,
    history::{Answer, Call, Grant, ItemKind, Operation, Record, Sighting, Status, Tick},
    violation::{Kind, Line, Violation},
};

/// The first violation of each kind.
pub fn check(record: &Record, rules: &Rules) -> Vec<Violation> {
    let told = told(record);
    let found =
        [started_twice(record), event_lost(record, rules), gone(record, rules, &told), contradiction(record, &told)];
    found.into_iter().flatten().collect()
}

/// Something that was said of the instance.
struct Said<'a> {
    /// Since when the speaker may have looked; absent where what is said may be of any age.
    asked: Option<Tick>,
    heard: Tick,
    what: What<'a>,
    /// Whether it acknowledges a change.
    acknowledges: bool,
    place: Place,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Absent,
    /// It is there; nobody said in which state.
    Present,
    Seen(&'a Sighting),
}

#[derive(Clone, Copy)]
enum Place {
    Operation(usize),
    Item(usize, usize),
}

fn told(record: &Record) -> Vec<Said<'_>> {
    let answers = record.operations.iter().enumerate().filter_map(|(index, operation)| {
        let answer = operation.answer()?;
        let what = match answer {
            Answer::NotFound => What::Absent,
            _ => operation.seen().map_or(What::Present, What::Seen),
        };
        let says_nothing = matches!(
            answer,
            Answer::Refused | Answer::Cancelled | Answer::Accepted | Answer::RequestIdReused | Answer::Purged
        );
        let acknowledges = matches!(
            answer,
            Answer::Started { .. }
                | Answer::Joined { .. }
                | Answer::Replaced { .. }
                | Answer::Queued { .. }
                | Answer::Coalesced { .. }
                | Answer::Ended { .. }
                | Answer::Suspended { .. }
                | Answer::Resumed { .. }
                | Answer::EventRaised { .. }
        );
        let (mut asked, heard) = (Some(operation.called), operation.returned_at());
        // The status of one execution is as old as its end, and fits the story all the same.
        let what = match (&operation.call, answer) {
            (Call::GetExecution { .. }, Answer::Status(seen)) => {
                asked = None;
                What::Seen(seen)
            }
            _ => what,
        };
        (!says_nothing).then_some(Said { asked, heard, what, acknowledges, place: Place::Operation(index) })
    });
    let items = record.watches.iter().enumerate().flat_map(|(of, watch)| {
        watch.items.iter().enumerate().filter_map(move |(index, item)| {
            let asked = match item.kind {
                ItemKind::Current | ItemKind::Resync => Some(watch.opened).filter(|_| watch.execution.is_none()),
                ItemKind::Transition | ItemKind::Purged { .. } => None,
                ItemKind::Waiting | ItemKind::Withdrawn => return None,
            };
            let what = What::Seen(&item.seen);
            Some(Said { asked, heard: item.at, what, acknowledges: false, place: Place::Item(of, index) })
        })
    });
    answers.chain(items).collect()
}

/// Each execution is begun by one call.
fn started_twice(record: &Record) -> Option<Violation> {
    let mut begun: HashMap<&str, &Operation> = HashMap::new();
    for operation in &record.operations {
        let Some(
            Answer::Started { execution, .. } | Answer::Replaced { execution, .. } | Answer::Queued { execution, .. },
        ) = operation.answer()
        else {
            continue;
        };
        if let Some(first) = begun.insert(execution, operation) {
            let what = format!("two callers were told that they began execution {execution}");
            let piece = vec![Line::operation(first), Line::operation(operation)];
            return Some(violation(record, Kind::StartedTwice, what, piece));
        }
    }
    None
}

impl Record {
    /// Whether a call was told that it began the execution, or put it into the queue.
    pub(super) fn begins(&self, execution: &str) -> bool {
        self.operations.iter().filter_map(Operation::answer).any(|answer| match answer {
            Answer::Started { execution: begun, .. }
            | Answer::Replaced { execution: begun, .. }
            | Answer::Queued { execution: begun, .. } => begun == execution,
            _ => false,
        })
    }
}

/// Each event that was acknowledged has a number of its own, above those that were acknowledged before it was raised.
fn event_lost(record: &Record, rules: &Rules) -> Option<Violation> {
    let mut raised: Vec<(u64, &Operation)> = record
        .operations
        .iter()
        .filter_map(|operation| {
            let Some(Answer::EventRaised { sequence, .. }) = operation.answer() else { return None };
            Some((*sequence, operation))
        })
        .collect();
    raised.sort_by_key(|(sequence, operation)| (*sequence, operation.called));
    let pair = raised.windows(2).find(|pair| {
        let ((lower, first), (higher, second)) = (pair[0], pair[1]);
        // In another life the numbers may begin anew.
        let between = (first.called.min(second.called), first.returned_at().max(second.returned_at()));
        (lower == higher || second.precedes(first)) && !rules.sweeps && !purged_between(record, between.0, between.1)
    })?;
    let what = format!("event {} was acknowledged, and later there is room for event {}", pair[1].0, pair[0].0);
    let mut piece = vec![Line::operation(pair[0].1), Line::operation(pair[1].1)];
    piece.sort();
    Some(violation(record, Kind::Missing, what, piece))
}

/// Whatever is asked after something was heard is answered with a state at least as new.
fn gone(record: &Record, rules: &Rules, told: &[Said<'_>]) -> Option<Violation> {
    let mut heard: Vec<&Said<'_>> = told.iter().filter(|said| !matches!(said.what, What::Absent)).collect();
    heard.sort_by_key(|said| said.heard);
    let mut asked: Vec<(Tick, &Said<'_>)> = told.iter().filter_map(|said| Some((said.asked?, said))).collect();
    asked.sort_by_key(|(asked, _)| *asked);

    let mut heard = heard.into_iter().peekable();
    let (mut newest, mut acknowledged): (Option<&Said<'_>>, Option<&Said<'_>>) = (None, None);
    for (asked, said) in asked {
        while let Some(before) = heard.next_if(|before| before.heard < asked) {
            for kept in [Some(&mut newest), Some(&mut acknowledged).filter(|_| before.acknowledges)] {
                if let Some(kept) = kept
                    && kept.is_none_or(|kept| before.revision() > kept.revision())
                {
                    *kept = Some(before);
                }
            }
        }
        let is_gone = |before: &&Said<'_>| match said.what {
            What::Absent => !rules.sweeps && !purged_between(record, before.asked.unwrap_or(0), said.heard),
            What::Present => false,
            What::Seen(seen) => seen.revision < before.revision(),
        };
        let lost = acknowledged.filter(is_gone).map(|before| (Kind::Missing, "was acknowledged", before));
        let unseen = newest.filter(is_gone).map(|before| (Kind::Unseen, "had been seen", before));
        if let Some((kind, how, before)) = lost.or(unseen) {
            let what = match said.what {
                What::Absent => format!("the instance {how}, and later it is not there"),
                What::Present | What::Seen(_) => {
                    format!("revision {} {how}, and later the instance is said to be older", before.revision())
                }
            };
            return Some(violation(record, kind, what, vec![before.line(record), said.line(record)]));
        }
    }
    None
}

/// Whether the instance may have been purged between these moments.
fn purged_between(record: &Record, after: Tick, before: Tick) -> bool {
    record.operations.iter().any(|operation| {
        let is_purge =
            matches!(operation.call, Call::Purge { .. }) && matches!(operation.answer(), None | Some(Answer::Purged));
        is_purge && operation.called <= before && operation.returned_at() >= after
    })
}

/// In order of their revisions, all sightings are one story.
fn contradiction(record: &Record, told: &[Said<'_>]) -> Option<Violation> {
    let sighting = |said: &Said<'_>| match said.what {
        What::Seen(seen) => Some((seen.clone(), said.line(record))),
        What::Absent | What::Present => None,
    };
    let grant = |grant: &Grant| Sighting::new(&grant.execution, Status::Running, grant.token).with_token(grant.token);
    let granted = record.granted.iter().map(|g| (grant(g), Line::granted(g)));
    let received = record.received.iter().map(|g| (grant(g), Line::received(g)));
    let mut story: Vec<(Sighting, Line)> = told.iter().filter_map(sighting).chain(granted).chain(received).collect();
    story.sort_by(|(a, a_line), (b, b_line)| (a.revision, a_line).cmp(&(b.revision, b_line)));

    let mut former: HashSet<&str> = HashSet::new();
    for pair in story.windows(2) {
        let ((first, first_line), (second, second_line)) = (&pair[0], &pair[1]);
        let wrong = if first.revision == second.revision {
            let differ =
                first.execution != second.execution || first.status != second.status || tokens_differ(first, second);
            differ.then(|| format!("revision {} was seen as two different states", first.revision))
        } else if first.execution != second.execution {
            former.insert(&first.execution);
            let came_back = former.contains(second.execution.as_str());
            came_back.then(|| format!("execution {} is back after another one", second.execution))
        } else {
            let goes_on = match first.status {
                Status::Pending | Status::Suspended => true,
                Status::Running => second.status != Status::Pending,
                Status::Completed | Status::Failed | Status::Terminated => second.status == first.status,
            };
            (!goes_on).then(|| format!("an execution can't be {:?} and then {:?}", first.status, second.status))
        };
        if let Some(what) = wrong {
            let mut piece = vec![first_line.clone(), second_line.clone()];
            piece.sort();
            return Some(violation(record, Kind::Contradiction, what, piece));
        }
    }
    None
}

fn tokens_differ(first: &Sighting, second: &Sighting) -> bool {
    matches!((first.token, second.token), (Some(first), Some(second)) if first != second)
}

fn violation(record: &Record, kind: Kind, what: String, piece: Vec<Line>) -> Violation {
    Violation { instance: record.instance.clone(), kind, what, piece }
}

impl Said<'_> {
    fn revision(&self) -> u64 {
        match self.what {
            What::Seen(seen) => seen.revision,
            What::Absent | What::Present => 0,
        }
    }

    fn line(&self, record: &Record) -> Line {
        match self.place {
            Place::Operation(index) => Line::operation(&record.operations[index]),
            Place::Item(watch, item) => Line::item(&record.watches[watch], item),
        }
    }
}
