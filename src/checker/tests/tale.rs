//! Histories written by hand, in few words.

use crate::checker::{Rules, Verdict, check, history::*, violation::Kind};

/// The history of one instance id.
pub struct Tale {
    id: InstanceId,
    pub history: History,
}

impl Tale {
    pub fn new() -> Tale {
        Tale { id: InstanceId::new("default", "a"), history: History::new() }
    }

    /// A call and its answer.
    pub fn call(&mut self, caller: &str, time: std::ops::Range<Tick>, call: Call, answer: Answer) -> &mut Tale {
        let number = self.history.called(&self.id, caller, time.start, call);
        self.history.answered(number, time.end, answer);
        self
    }

    /// A call that nobody answered.
    pub fn open(&mut self, caller: &str, at: Tick, call: Call) -> &mut Tale {
        self.history.called(&self.id, caller, at, call);
        self
    }

    pub fn status(&mut self, caller: &str, time: std::ops::Range<Tick>, seen: Sighting) -> &mut Tale {
        self.call(caller, time, Call::GetStatus, Answer::Status(seen))
    }

    pub fn report(&mut self, time: std::ops::Range<Tick>, token: u64, report: Report, answer: Answer) -> &mut Tale {
        self.call(&format!("worker of {token}"), time, Call::Report { token, report }, answer)
    }

    /// A run that a worker receives.
    pub fn run(&mut self, at: Tick, token: u64, execution: &str, worker: &str) -> &mut Tale {
        self.history.received(&self.id, grant(at, token, execution, worker));
        self
    }

    /// A grant by the server's account.
    pub fn granted(&mut self, at: Tick, token: u64, execution: &str, worker: &str) -> &mut Tale {
        self.history.granted(&self.id, grant(at, token, execution, worker));
        self
    }

    pub fn lease_ended(&mut self, at: Tick, token: u64) -> &mut Tale {
        self.history.lease_ended(&self.id, at, token);
        self
    }

    /// A watch from the current state on, or from a revision, with its items.
    pub fn watch(&mut self, watcher: &str, opened: Tick, from: Option<u64>, items: &[Item]) -> &mut Tale {
        self.watch_to(watcher, opened, from, items, None)
    }

    pub fn watch_to(
        &mut self,
        watcher: &str,
        opened: Tick,
        from: Option<u64>,
        items: &[Item],
        closed: Option<(Tick, Closing)>,
    ) -> &mut Tale {
        let watch = self.history.watched(&self.id, watcher, opened, from);
        items.iter().for_each(|item| self.history.saw(watch, item.clone()));
        if let Some((at, how)) = closed {
            self.history.unwatched(watch, at, how);
        }
        self
    }

    /// A watch of one execution, with its items.
    pub fn watch_one(&mut self, watcher: &str, opened: Tick, execution: &str, items: &[Item]) -> &mut Tale {
        let watch = self.history.watched_execution(&self.id, watcher, opened, execution, None);
        items.iter().for_each(|item| self.history.saw(watch, item.clone()));
        self
    }

    pub fn crash(&mut self, at: Tick) -> &mut Tale {
        self.history.marked(at, Incident::Crashed);
        self.history.marked(at + 1, Incident::Restarted);
        self
    }

    pub fn verdict(&self) -> Verdict {
        check(&self.history, &Rules::default())
    }

    #[track_caller]
    pub fn is_good(&self) {
        self.is_good_by(&Rules::default());
    }

    #[track_caller]
    pub fn is_good_by(&self, rules: &Rules) {
        let verdict = check(&self.history, rules);
        assert!(verdict.is_clean(), "{verdict}");
    }

    /// The checker says no, for this reason, and shows so many lines.
    #[track_caller]
    pub fn breaks(&self, kind: Kind, lines: usize) {
        let verdict = self.verdict();
        let kinds: Vec<Kind> = verdict.violations.iter().map(|violation| violation.kind).collect();
        assert!(kinds.contains(&kind), "{kinds:?}, not {kind:?}\n{verdict}");
        let violation = verdict.violations.iter().find(|violation| violation.kind == kind).expect("it is there");
        assert_eq!(violation.piece.len(), lines, "{violation}");
    }
}

fn grant(at: Tick, token: u64, execution: &str, worker: &str) -> Grant {
    Grant { at, token, execution: execution.into(), worker: worker.into(), attempt: 1 }
}

pub fn start(policy: Policy) -> Call {
    Call::Start(Start::of("f").with_policy(policy))
}

pub fn fail() -> Call {
    start(Policy::Fail)
}

/// A start with a request id.
pub fn once(policy: Policy, request: &str) -> Call {
    Call::Start(Start::of("f").with_policy(policy).with_request(request, 1))
}

pub fn terminate() -> Call {
    Call::Terminate { expected: None }
}

pub fn seen(execution: &str, status: Status, revision: u64) -> Sighting {
    Sighting::new(execution, status, revision)
}

pub fn started(execution: &str) -> Answer {
    Answer::Started { execution: execution.into(), seen: None }
}

pub fn joined(execution: &str) -> Answer {
    Answer::Joined { execution: execution.into(), seen: None }
}

pub fn replaced(execution: &str) -> Answer {
    Answer::Replaced { execution: execution.into(), seen: None }
}

pub fn deduplicated(first: Outcome, execution: &str) -> Answer {
    Answer::Deduplicated { first, execution: execution.into(), seen: None }
}

pub fn exists() -> Answer {
    Answer::AlreadyExists { seen: None }
}

pub fn ended() -> Answer {
    Answer::Ended { seen: None }
}

pub fn transition(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Transition, seen }
}

pub fn current(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Current, seen }
}

pub fn resync(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Resync, seen }
}

pub fn queue() -> Call {
    start(Policy::Queue)
}

pub fn coalesce() -> Call {
    start(Policy::Coalesce)
}

pub fn queued(execution: &str, position: u32) -> Answer {
    Answer::Queued { execution: execution.into(), position, seen: None }
}

pub fn coalesced(execution: &str, position: u32) -> Answer {
    Answer::Coalesced { execution: execution.into(), position, seen: None }
}

pub fn suspend() -> Call {
    Call::Suspend { expected: None }
}

pub fn resume() -> Call {
    Call::Resume { expected: None }
}

pub fn suspended(seen: Sighting) -> Answer {
    Answer::Suspended { seen: Some(seen) }
}

pub fn resumed(seen: Sighting) -> Answer {
    Answer::Resumed { seen: Some(seen) }
}

pub fn restart() -> Call {
    Call::Restart { expected: None, request: None }
}

pub fn purge() -> Call {
    Call::Purge { expected: None }
}

pub fn status_of(execution: &str) -> Call {
    Call::GetExecution { execution: execution.into() }
}

pub fn terminate_one(execution: &str) -> Call {
    Call::TerminateExecution { execution: execution.into() }
}

pub fn purged(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Purged { gap: false }, seen }
}

pub fn waiting(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Waiting, seen }
}

pub fn withdrawn(at: Tick, sequence: u64, seen: Sighting) -> Item {
    Item { at, sequence, kind: ItemKind::Withdrawn, seen }
}
