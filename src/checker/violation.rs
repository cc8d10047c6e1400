//! A promise that a history breaks, and the piece of it that shows this.

use std::fmt;

use super::history::{
    Answer, Call, Closing, Grant, Incident, InstanceId, ItemKind, LeaseEnd, Mark, Operation, Policy, Report, Request,
    Sighting, Tick, Watch,
};

/// A promise that was broken for one instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    pub instance: InstanceId,
    pub kind: Kind,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What shows it, in order of time.
    pub piece: Vec<Line>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No order of the calls is one that a single instance could have gone through.
    NoOrder,
    /// Two callers were told that they began the same execution.
    StartedTwice,
    /// A grant before the former lease had ended, by the server's own account.
    LeasesOverlap,
    /// A run was handed out while another worker rightly went on working.
    WorkersOverlap,
    /// What somebody saw is not there any more.
    Unseen,
    /// Two that saw the same revision saw different things, or an execution came back.
    Contradiction,
    /// What was acknowledged is not there any more.
    Missing,
    /// A token that does not rise.
    TokenFell,
    /// One token for two grants.
    TokenShared,
    /// A report with an old token was accepted.
    StaleReportAccepted,
    /// A watcher missed a transition and was not told.
    WatchGap,
    /// A watcher saw a transition again, or an older one after a newer one.
    WatchWentBack,
    /// Two watchers saw different transitions under one number.
    WatchersDisagree,
    /// A watcher was left without the last transitions.
    WatchCutShort,
    /// An answer that its call can't have.
    ForeignAnswer,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub from: Tick,
    /// Absent: it never ended.
    pub to: Option<Tick>,
    pub who: String,
    pub text: String,
}

impl Kind {
    /// The promise that it breaks.
    pub fn guarantee(self) -> &'static str {
        match self {
            Kind::NoOrder | Kind::StartedTwice => "G1 one",
            Kind::LeasesOverlap | Kind::WorkersOverlap => "G2 one worker",
            Kind::Unseen | Kind::Contradiction => "G3 durable first",
            Kind::Missing => "G4 nothing lost",
            Kind::TokenFell | Kind::TokenShared | Kind::StaleReportAccepted => "G5 fenced",
            Kind::WatchGap | Kind::WatchWentBack | Kind::WatchersDisagree | Kind::WatchCutShort => "G6 watch",
            Kind::ForeignAnswer => "the protocol",
        }
    }
}

impl Violation {
    /// Puts what happened to the server meanwhile into the piece.
    pub(super) fn with_incidents(mut self, marks: &[Mark]) -> Violation {
        let begin = self.piece.iter().map(|line| line.from).min();
        let end = self.piece.iter().map(|line| line.to.unwrap_or(line.from)).max();
        if let (Some(begin), Some(end)) = (begin, end) {
            self.piece.extend(marks.iter().filter(|mark| (begin..=end).contains(&mark.at)).map(Line::mark));
            self.piece.sort_by_key(|line| (line.from, line.to));
        }
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { instance: InstanceId { hub, id }, kind, what, piece } = self;
        writeln!(f, "{} is broken for '{id}' in hub '{hub}' ({kind:?}): {what}", kind.guarantee())?;
        let width = piece.iter().map(|line| line.who.chars().count()).max().unwrap_or(0);
        for Line { from, to, who, text } in piece {
            let to = match to {
                Some(to) if to == from => String::new(),
                Some(to) => format!("..{to}"),
                None => "..".into(),
            };
            writeln!(f, "  {from:>10}{to:<12} {who:<width$}  {text}")?;
        }
        Ok(())
    }
}

impl Line {
    fn moment(at: Tick, who: &str, text: String) -> Line {
        Line { from: at, to: Some(at), who: who.into(), text }
    }

    pub(super) fn operation(operation: &Operation) -> Line {
        let Operation { caller, called, call, returned } = operation;
        let answer = returned.as_ref().map_or("no answer".into(), |returned| answer(&returned.answer));
        let to = returned.as_ref().map(|returned| returned.at);
        Line { from: *called, to, who: caller.clone(), text: format!("{} -> {answer}", asked(call)) }
    }

    pub(super) fn item(watch: &Watch, index: usize) -> Line {
        let item = &watch.items[index];
        let kind = match item.kind {
            ItemKind::Current => "current state",
            ItemKind::Resync => "resync",
            ItemKind::Transition => "transition",
            ItemKind::Waiting => "waiting",
            ItemKind::Withdrawn => "withdrawn",
            ItemKind::Purged { gap: false } => "purged",
            ItemKind::Purged { gap: true } => "purged, after others that it missed,",
        };
        let text = format!("watch: {kind} {} {}", item.sequence, sighting(&item.seen));
        match item.kind {
            ItemKind::Current => Line { from: watch.opened, to: Some(item.at), who: watch.watcher.clone(), text },
            ItemKind::Resync
            | ItemKind::Transition
            | ItemKind::Waiting
            | ItemKind::Withdrawn
            | ItemKind::Purged { .. } => Line::moment(item.at, &watch.watcher, text),
        }
    }

    pub(super) fn opened(watch: &Watch) -> Line {
        let of = watch.execution.as_ref().map_or(String::new(), |execution| format!(" of {execution} only"));
        let text = match watch.from {
            Some(revision) => format!("watch{of}: opened, to go on after revision {revision}"),
            None => format!("watch{of}: opened"),
        };
        Line::moment(watch.opened, &watch.watcher, text)
    }

    pub(super) fn closed(watch: &Watch) -> Option<Line> {
        watch.closed.map(|closed| {
            let how = match closed.how {
                Closing::Lost => "closed",
                Closing::Finished => "closed by the server, as at the end",
                Closing::Quiet => "closed when nothing moved any more",
            };
            Line::moment(closed.at, &watch.watcher, format!("watch: {how}"))
        })
    }

    pub(super) fn granted(grant: &Grant) -> Line {
        Line::moment(grant.at, "server", format!("grants {} to {}", run(grant), grant.worker))
    }

    pub(super) fn received(grant: &Grant) -> Line {
        Line::moment(grant.at, &grant.worker, format!("receives {}", run(grant)))
    }

    pub(super) fn lease_ended(end: &LeaseEnd) -> Line {
        Line::moment(end.at, "server", format!("the lease with token {} has ended", end.token))
    }

    pub(super) fn note(at: Tick, who: &str, text: &str) -> Line {
        Line::moment(at, who, text.into())
    }

    fn mark(mark: &Mark) -> Line {
        let text = match mark.what {
            Incident::Crashed => "crashes",
            Incident::Restarted => "is back",
        };
        Line::moment(mark.at, "server", text.into())
    }
}

fn run(grant: &Grant) -> String {
    format!("the run of {} with token {}, attempt {}", grant.execution, grant.token, grant.attempt)
}

fn asked(call: &Call) -> String {
    match call {
        Call::Start(start) => {
            let policy = match start.policy {
                Policy::Fail => "FAIL",
                Policy::UseExisting => "USE_EXISTING",
                Policy::Replace => "REPLACE",
                Policy::Queue => "QUEUE",
                Policy::Coalesce => "COALESCE",
            };
            let signal = if start.signal { ", signal" } else { "" };
            format!("start of {} ({policy}{signal}{})", start.function, remembered(start.request.as_ref()))
        }
        Call::Restart { expected, request } => {
            format!("restart{}{}", only(expected.as_deref()), remembered(request.as_ref()))
        }
        Call::GetStatus => "status".into(),
        Call::GetExecution { execution } => format!("status of {execution}"),
        Call::TerminateExecution { execution } => format!("terminate {execution}"),
        Call::Suspend { expected } => format!("suspend{}", only(expected.as_deref())),
        Call::Resume { expected } => format!("resume{}", only(expected.as_deref())),
        Call::Purge { expected } => format!("purge{}", only(expected.as_deref())),
        Call::Terminate { expected } => format!("terminate{}", only(expected.as_deref())),
        Call::RaiseEvent { expected } => format!("raise event{}", only(expected.as_deref())),
        Call::Report { token, report } => format!("token {token}: {}", said(*report)),
    }
}

fn remembered(request: Option<&Request>) -> String {
    request.map_or(String::new(), |request| format!(", request id {}", request.id))
}

fn only(expected: Option<&str>) -> String {
    expected.map_or(String::new(), |execution| format!(" of {execution} only"))
}

fn said(report: Report) -> String {
    match report {
        Report::Accept { lease } => format!("accept (lease {lease})"),
        Report::Heartbeat { lease } => format!("heartbeat (lease {lease})"),
        Report::Return { lease } => format!("back with the run (lease {lease})"),
        Report::Progress => "progress".into(),
        Report::EventsAcked => "events acknowledged".into(),
        Report::Completed { .. } => "completed".into(),
        Report::Failed { .. } => "failed".into(),
        Report::ContinueAsNew { .. } => "continue as new".into(),
        Report::Stopped => "stopped".into(),
    }
}

fn answer(answer: &Answer) -> String {
    let seen = answer.seen().map_or(String::new(), |seen| format!(": {}", sighting(seen)));
    let name = match answer {
        Answer::Started { execution, .. } => format!("STARTED {execution}"),
        Answer::Joined { execution, .. } => format!("JOINED {execution}"),
        Answer::Replaced { execution, .. } => format!("REPLACED by {execution}"),
        Answer::Queued { execution, position, .. } => format!("QUEUED {execution} at place {position}"),
        Answer::Coalesced { execution, position, .. } => format!("COALESCED onto {execution} at place {position}"),
        Answer::QueueFull { waiting } => format!("QUEUE_FULL, {waiting} wait"),
        Answer::Deduplicated { first, execution, .. } => format!("DEDUPLICATED ({first:?} {execution})"),
        Answer::AlreadyExists { .. } => "INSTANCE_ALREADY_RUNNING".into(),
        Answer::NotReplaceable { .. } => "STATUS_NOT_REPLACEABLE".into(),
        Answer::FunctionMismatch { .. } => "FUNCTION_MISMATCH".into(),
        Answer::RequestIdReused => "REQUEST_ID_REUSED".into(),
        Answer::Status(_) => "status".into(),
        Answer::Waiting { position, .. } => format!("waits at place {position}"),
        Answer::Ended { .. } => "ended".into(),
        Answer::Suspended { .. } => "suspended".into(),
        Answer::Resumed { .. } => "resumed".into(),
        Answer::Purged => "purged".into(),
        Answer::StillLive { .. } => "INSTANCE_LIVE".into(),
        Answer::ExecutionNotFound => "EXECUTION_NOT_FOUND".into(),
        Answer::EventRaised { execution, sequence } => format!("event {sequence} of {execution}"),
        Answer::NotFound => "INSTANCE_NOT_FOUND".into(),
        Answer::NotLive { .. } => "INSTANCE_NOT_LIVE".into(),
        Answer::ExecutionMismatch { .. } => "EXECUTION_MISMATCH".into(),
        Answer::Accepted => "accepted".into(),
        Answer::Cancelled => "cancelled".into(),
        Answer::Refused => "refused".into(),
    };
    name + &seen
}

fn sighting(seen: &Sighting) -> String {
    let Sighting { execution, status, revision, token, attempt } = seen;
    let token = token.map_or(String::new(), |token| format!(", token {token}"));
    let attempt = attempt.map_or(String::new(), |attempt| format!(", attempt {attempt}"));
    format!("{execution} {status:?} at revision {revision}{token}{attempt}")
}
