//! Fencing tokens: they rise, each is one worker's, and an old one changes nothing.

use std::collections::BTreeMap;

use super::{
    Rules,
    history::{Answer, Call, Grant, ItemKind, Operation, Record, Report, Tick},
    violation::{Kind, Line, Violation},
};

/// The first violation of each kind.
pub fn check(record: &Record, rules: &Rules) -> Vec<Violation> {
    let found = [shared(record), fallen(record), seen_to_fall(record, rules), stale(record)];
    found.into_iter().flatten().collect()
}

/// One token is one grant: the same run of the same worker, whoever tells of it.
fn shared(record: &Record) -> Option<Violation> {
    let mut known: BTreeMap<u64, (&Grant, Line)> = BTreeMap::new();
    let granted = record.granted.iter().map(|grant| (grant, Line::granted(grant)));
    let received = record.received.iter().map(|grant| (grant, Line::received(grant)));
    for (grant, line) in granted.chain(received) {
        let (first, first_line) = known.entry(grant.token).or_insert_with(|| (grant, line.clone()));
        let is_same =
            (&first.execution, &first.worker, first.attempt) == (&grant.execution, &grant.worker, grant.attempt);
        if !is_same {
            let what = format!("token {} stands for two grants", grant.token);
            return Some(violation(record, Kind::TokenShared, what, [first_line.clone(), line]));
        }
    }
    None
}

/// By the server's account, each grant's token is above the one before it.
fn fallen(record: &Record) -> Option<Violation> {
    let mut grants: Vec<&Grant> = record.granted.iter().collect();
    grants.sort_by_key(|grant| grant.at);
    let pair = grants.windows(2).find(|pair| pair[1].token <= pair[0].token)?;
    let what = format!("token {} was granted after token {}", pair[1].token, pair[0].token);
    Some(violation(record, Kind::TokenFell, what, [Line::granted(pair[0]), Line::granted(pair[1])]))
}

/// At a higher revision nobody sees a lower token; after a purge perhaps none.
fn seen_to_fall(record: &Record, rules: &Rules) -> Option<Violation> {
    let answers = record.operations.iter().filter_map(|operation| {
        let seen = operation.seen()?;
        Some((seen.revision, seen.token?, Line::operation(operation)))
    });
    let items = record.watches.iter().flat_map(|watch| {
        let seen = watch.items.iter().enumerate();
        let seen = seen.filter(|(_, item)| !matches!(item.kind, ItemKind::Waiting | ItemKind::Withdrawn));
        seen.filter_map(|(index, item)| Some((item.seen.revision, item.seen.token?, Line::item(watch, index))))
    });
    let mut sightings: Vec<(u64, u64, Line)> = answers.chain(items).collect();
    if record.may_be_purged(rules) {
        sightings.retain(|(_, token, _)| *token > 0);
    }
    sightings.sort();
    let pair = sightings.windows(2).find(|pair| pair[1].1 < pair[0].1)?;
    let ((lower, above, first), (higher, below, second)) = (pair[0].clone(), pair[1].clone());
    let what = format!("the token is {above} at revision {lower} and {below} at revision {higher}");
    Some(violation(record, Kind::TokenFell, what, [first, second]))
}

/// Once a higher token has been seen, no report with a lower one is accepted, unless it was before.
fn stale(record: &Record) -> Option<Violation> {
    let grants = record.granted.iter().map(|grant| (grant.at, grant.token, Line::granted(grant)));
    let runs = record.received.iter().map(|grant| (grant.at, grant.token, Line::received(grant)));
    let answers = record.operations.iter().filter_map(|operation| {
        let token = operation.seen()?.token?;
        Some((operation.returned_at(), token, Line::operation(operation)))
    });
    let mut tokens: Vec<(Tick, u64, Line)> = grants.chain(runs).chain(answers).collect();
    tokens.sort();
    let mut reports: Vec<(&Operation, u64, Report)> = record.operations.iter().filter_map(accepted).collect();
    reports.sort_by_key(|(operation, ..)| operation.called);

    let mut tokens = tokens.into_iter().peekable();
    let mut highest: Option<(u64, Line)> = None;
    for (operation, token, report) in reports {
        while let Some((_, seen, line)) = tokens.next_if(|(at, ..)| *at < operation.called) {
            if highest.as_ref().is_none_or(|(highest, _)| seen > *highest) {
                highest = Some((seen, line));
            }
        }
        let newer = highest.as_ref().filter(|(highest, _)| *highest > token);
        if let Some((newer, line)) = newer.filter(|_| !is_repeated(record, operation, token, report)) {
            let what = format!("a report with token {token} was accepted when {newer} had been granted");
            return Some(violation(
                record,
                Kind::StaleReportAccepted,
                what,
                [line.clone(), Line::operation(operation)],
            ));
        }
    }
    None
}

fn accepted(operation: &Operation) -> Option<(&Operation, u64, Report)> {
    match (&operation.call, operation.answer()) {
        (Call::Report { token, report }, Some(Answer::Accepted)) => Some((operation, *token, *report)),
        (_, _) => None,
    }
}

/// A final report is answered again as it was before; until then its run may also be brought back to repeat it.
fn is_repeated(record: &Record, operation: &Operation, token: u64, report: Report) -> bool {
    let is_return = matches!(report, Report::Return { .. });
    record.operations.iter().any(|other| match other.call {
        Call::Report { token: of, report: said } => {
            let is_first = of == token && said.is_final() && (said == report || is_return);
            is_first && other.called < operation.called
        }
        _ => false,
    })
}

fn violation(record: &Record, kind: Kind, what: String, piece: [Line; 2]) -> Violation {
    let mut piece = Vec::from(piece);
    piece.sort();
    Violation { instance: record.instance.clone(), kind, what, piece }
}
