//! No two workers at a time: by the server's own account of its leases, and by what the workers may believe.

use std::collections::BTreeMap;

use super::{
    history::{Answer, Call, Grant, LeaseEnd, Operation, Record, Report, Tick},
    violation::{Kind, Line, Violation},
};

/// The first overlap of each kind.
pub fn check(record: &Record) -> Vec<Violation> {
    by_the_server(record).into_iter().chain(by_the_workers(record)).collect()
}

/// Every grant comes after the end of the lease before it.
fn by_the_server(record: &Record) -> Option<Violation> {
    let mut grants: Vec<&Grant> = record.granted.iter().collect();
    grants.sort_by_key(|grant| grant.at);
    let ends: BTreeMap<u64, &LeaseEnd> = record.ended.iter().rev().map(|end| (end.token, end)).collect();
    grants.windows(2).find_map(|pair| {
        let (first, second) = (pair[0], pair[1]);
        let end = ends.get(&first.token);
        if first.token == second.token || end.is_some_and(|end| end.at <= second.at) {
            return None;
        }
        let when = if end.is_some() { "later" } else { "never" };
        let what = format!(
            "token {} was granted while the lease with token {} stood: by the server's account it ended {when}",
            second.token, first.token
        );
        let piece = [Line::granted(first), Line::granted(second)].into_iter();
        let piece = piece.chain(end.map(|end| Line::lease_ended(end))).collect();
        Some(Violation { instance: record.instance.clone(), kind: Kind::LeasesOverlap, what, piece })
    })
}

/// How long a worker may believe that a run is its own.
struct Hold<'a> {
    until: Tick,
    /// The report that took the run on, and the one that it counts on.
    accept: &'a Operation,
    renewal: &'a Operation,
    /// The report before which it stopped its work.
    stop: Option<&'a Operation>,
}

/// Nothing is handed out while a worker may believe that a former run is its own.
fn by_the_workers(record: &Record) -> Option<Violation> {
    let mut handed_out: BTreeMap<u64, &Grant> = BTreeMap::new();
    for grant in &record.received {
        let first = handed_out.entry(grant.token).or_insert(grant);
        if grant.at < first.at {
            *first = grant;
        }
    }
    let holds = holds(record);
    let mut longest: Option<(u64, &Hold<'_>)> = None;
    let mut former = holds.iter().peekable();
    for (token, grant) in handed_out {
        while let Some((held, hold)) = former.next_if(|(held, _)| **held < token) {
            if longest.is_none_or(|(_, longest)| hold.until > longest.until) {
                longest = Some((*held, hold));
            }
        }
        if let Some((held, hold)) = longest.filter(|(_, hold)| hold.until > grant.at) {
            return Some(overlap(record, held, hold, grant));
        }
    }
    None
}

fn overlap(record: &Record, held: u64, hold: &Hold<'_>, grant: &Grant) -> Violation {
    let what = format!(
        "token {} was handed out at {}, but the worker with token {held} may work until {}",
        grant.token, grant.at, hold.until
    );
    let mut piece = vec![Line::operation(hold.accept), Line::received(grant)];
    if !std::ptr::eq(hold.accept, hold.renewal) {
        piece.push(Line::operation(hold.renewal));
    }
    piece.extend(hold.stop.map(Line::operation));
    piece.push(Line::note(hold.until, &hold.accept.caller, &format!("stops its work for token {held} by now")));
    piece.sort();
    Violation { instance: record.instance.clone(), kind: Kind::WorkersOverlap, what, piece }
}

fn holds(record: &Record) -> BTreeMap<u64, Hold<'_>> {
    let mut reports: BTreeMap<u64, Vec<(Report, &Operation)>> = BTreeMap::new();
    for operation in &record.operations {
        if let Call::Report { token, report } = operation.call {
            reports.entry(token).or_default().push((report, operation));
        }
    }
    reports.into_iter().filter_map(|(token, reports)| Some((token, hold(&reports)?))).collect()
}

/// From the accepted Accept on, until the worker stops or the last renewal that it heard of in time has run out.
fn hold<'a>(reports: &[(Report, &'a Operation)]) -> Option<Hold<'a>> {
    let stop = reports.iter().filter(|(report, _)| report.is_final()).map(|(_, operation)| *operation);
    let stop = stop.min_by_key(|operation| operation.called);
    let accepted = |operation: &Operation| operation.answer() == Some(&Answer::Accepted);
    let renewals = reports.iter().filter_map(|(report, operation)| {
        let lease = report.renews().filter(|_| accepted(operation))?;
        Some((operation.returned_at(), operation.called.saturating_add(lease), *report, *operation))
    });
    let mut renewals: Vec<(Tick, Tick, Report, &Operation)> = renewals.collect();
    renewals.sort_by_key(|(heard, ..)| *heard);
    let first = renewals.iter().position(|(.., report, _)| matches!(report, Report::Accept { .. }))?;
    let (_, until, _, accept) = renewals[first];
    let mut hold = Hold { until, accept, renewal: accept, stop };
    for (heard, until, _, operation) in &renewals[first + 1..] {
        // What it hears of too late can't help a worker that has stopped.
        if *heard <= hold.until && *until > hold.until {
            (hold.until, hold.renewal) = (*until, operation);
        }
    }
    hold.until = stop.map_or(hold.until, |stop| stop.called.min(hold.until));
    Some(hold)
}
