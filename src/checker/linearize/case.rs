//! The calls of one instance id as the search takes them: names are numbers, and what no model could be asked is left
//! out.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use crate::checker::{
    Rules,
    history::{
        Answer, Call, Item, ItemKind, Operation, Outcome, Policy, Record, Report, Sighting, Status, Tick, Watch,
    },
    lives::Lives,
    model::{Ask, Body, Facts, Name, Op, Seen, Start, Told, Visit},
};

/// What is to be put in order.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub ops: Vec<Op>,
    /// Where each of them is in the record.
    pub sources: Vec<Source>,
    /// The transitions that somebody saw, by revision.
    pub visits: Vec<Visit>,
    pub visit_sources: Vec<Source>,
    /// Whether it is a piece from the middle.
    pub is_piece: bool,
    /// The executions that some call was told that it began, or put into the queue.
    pub claimed: Rc<HashSet<Name>>,
    /// Whether starts may have waited before the first of the calls.
    pub may_hide: bool,
    /// Whether events may be numbered anew, in another life of the id.
    pub may_be_purged: bool,
    /// All names are lower than this.
    pub names: usize,
}

/// A place in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Operation(usize),
    Item { watch: usize, item: usize },
    Granted(usize),
    Received(usize),
}

/// The transitions that somebody saw, by revision, with their numbers where they are known.
struct Passage {
    lives: Lives,
    visits: BTreeMap<u64, (Visit, Option<u64>, Source)>,
}

#[derive(Default)]
struct Names<'a>(HashMap<&'a str, Name>);

impl Case {
    pub fn of(record: &Record, rules: &Rules) -> Case {
        let mut names = Names::default();
        let mut case = Case::default();
        for (index, operation) in record.operations.iter().enumerate() {
            if let Some(op) = names.op(operation) {
                case.push(op, Source::Operation(index));
            }
        }
        case.forget_lone_requests();
        let mut passage = Passage { lives: Lives::of(record), visits: BTreeMap::new() };
        for (watch_index, watch) in record.watches.iter().enumerate() {
            for (index, item) in watch.items.iter().enumerate() {
                let source = Source::Item { watch: watch_index, item: index };
                match item.kind {
                    ItemKind::Current | ItemKind::Resync | ItemKind::Waiting => {
                        case.push(names.look(watch, item), source);
                    }
                    ItemKind::Transition => passage.add(names.seen(&item.seen), item.at, Some(item.sequence), source),
                    // The call that did it tells of it.
                    ItemKind::Withdrawn | ItemKind::Purged { .. } => {}
                }
            }
        }
        let granted = record.granted.iter().enumerate().map(|(index, grant)| (grant, Source::Granted(index)));
        let received = record.received.iter().enumerate().map(|(index, grant)| (grant, Source::Received(index)));
        for (grant, source) in granted.chain(received) {
            let execution = names.name(&grant.execution);
            let (revision, token) = (grant.token, Some(grant.token));
            passage.add(Seen { execution, status: Status::Running, revision, token }, grant.at, None, source);
        }
        case.claimed = Rc::new(case.ops.iter().filter_map(Op::claims).collect());
        case.may_hide = !rules.begins_empty || case.ops.iter().any(Op::may_wait);
        case.may_be_purged = record.may_be_purged(rules);
        case.names = names.0.len();
        (case.visits, case.visit_sources) =
            passage.visits(Some(record.purged_from(rules)).filter(|_| rules.begins_empty));
        case
    }

    pub fn push(&mut self, op: Op, source: Source) {
        self.ops.push(op);
        self.sources.push(source);
    }

    /// A request id that is never used again makes no difference.
    fn forget_lone_requests(&mut self) {
        let mut uses: HashMap<Name, usize> = HashMap::new();
        for (request, _) in self.ops.iter().filter_map(|op| op.ask.request()) {
            *uses.entry(request).or_default() += 1;
        }
        for op in &mut self.ops {
            if op.ask.request().is_some_and(|(request, _)| uses[&request] == 1)
                && !matches!(op.told, Some(Told::Deduplicated(..) | Told::RequestIdReused))
            {
                op.ask.forget_request();
            }
        }
    }

    /// What the model knows of these calls from outside.
    pub fn facts<'a>(&'a self, rules: &'a Rules) -> Facts<'a> {
        let with_request = |op: &&Op| op.ask.request().is_some();
        let in_order = |mut times: Vec<Tick>| {
            times.sort_unstable();
            times
        };
        let grants = self.visits.iter().filter(|visit| visit.is_grant);
        Facts {
            rules,
            is_piece: self.is_piece,
            claimed: &self.claimed,
            may_hide: self.may_hide,
            granted: grants.map(|visit| (visit.seen.revision, visit.seen.execution)).collect(),
            requests_called: in_order(self.ops.iter().filter(with_request).map(|op| op.called).collect()),
            requests_returned: in_order(self.ops.iter().filter(with_request).map(|op| op.returned).collect()),
        }
    }
}

impl Passage {
    fn add(&mut self, seen: Seen, by: Tick, sequence: Option<u64>, source: Source) {
        // A token is the revision of its grant.
        let is_grant = seen.token == Some(seen.revision);
        let visit = Visit { seen, by, is_next: false, is_grant };
        let (known, number, first) = self.visits.entry(seen.revision).or_insert((visit, sequence, source));
        known.is_grant |= is_grant;
        *number = number.or(sequence);
        if by < known.by {
            (known.by, *first) = (by, source);
        }
    }

    /// Where it begins empty: the first life that was seen is the first one, if it was seen before there may have been
    /// a purge.
    fn visits(self, purged_from: Option<Tick>) -> (Vec<Visit>, Vec<Source>) {
        let lives = self.lives;
        let first = self.visits.values().next().map(|(visit, ..)| visit.by);
        let is_of_first = first.zip(purged_from).is_some_and(|(by, purged_from)| by < purged_from);
        let mut before = is_of_first.then_some((0, 0));
        let number = |(mut visit, sequence, source): (Visit, Option<u64>, Source)| {
            let place = sequence.map(|sequence| (lives.of_revision(visit.seen.revision), sequence));
            visit.is_next = before.is_some() && place == before.map(|(life, before)| (life, before + 1));
            before = place;
            (visit, source)
        };
        self.visits.into_values().map(number).unzip()
    }
}

impl<'a> Names<'a> {
    fn name(&mut self, name: &'a str) -> Name {
        let next = Name::try_from(self.0.len()).expect("a record has fewer than four billion names");
        *self.0.entry(name).or_insert(next)
    }

    /// The call, unless it says nothing of the instance.
    fn op(&mut self, operation: &'a Operation) -> Option<Op> {
        let answer = operation.answer();
        let told = match answer {
            Some(answer) => Some(self.told(answer)?),
            None => None,
        };
        let expected = |names: &mut Names<'a>, id: &'a Option<String>| id.as_ref().map(|id| names.name(id));
        let request = operation.call.request().map(|request| (self.name(&request.id), request.digest));
        let ask = match &operation.call {
            Call::Start(start) => Ask::Start(Start {
                policy: start.policy,
                function: self.name(&start.function),
                replaceable: start.replaceable.clone(),
                max_queue: start.max_queue,
                signal: start.signal,
                request,
            }),
            Call::Restart { expected: id, .. } => Ask::Restart { expected: expected(self, id), request },
            Call::Terminate { expected: id } => Ask::Terminate { expected: expected(self, id) },
            Call::TerminateExecution { execution } => Ask::TerminateOf(self.name(execution)),
            Call::Suspend { expected: id } => Ask::Suspend { expected: expected(self, id) },
            Call::Resume { expected: id } => Ask::Resume { expected: expected(self, id) },
            Call::Purge { expected: id } => Ask::Purge { expected: expected(self, id) },
            // Without an answer these tell nothing.
            Call::GetStatus => told.map(|_| Ask::Read)?,
            Call::GetExecution { execution } => told.map(|_| Ask::ReadOf(self.name(execution)))?,
            Call::RaiseEvent { expected: id } => told.map(|_| Ask::RaiseEvent { expected: expected(self, id) })?,
            Call::Report { token, report } => {
                let body = body(*report)?;
                if body == Body::Goes && told.is_none() {
                    return None;
                }
                Ask::Report { token: *token, body }
            }
        };
        let seen = operation.seen().map(|seen| self.seen(seen));
        let aside = operation.seen_aside().map(|seen| self.seen(seen));
        Some(Op { called: operation.called, returned: operation.returned_at(), ask, told, begins: None, seen, aside })
    }

    /// A state that a watcher was given, as if it had asked for it.
    fn look(&mut self, watch: &'a Watch, item: &'a Item) -> Op {
        let seen = Some(self.seen(&item.seen));
        let (ask, told, seen, aside) = match &watch.execution {
            None => (Ask::Read, Told::Status, seen, None),
            // Its place in the queue is not said.
            Some(of) if item.kind == ItemKind::Waiting => (Ask::ReadOf(self.name(of)), Told::Waiting(None), None, seen),
            Some(of) => (Ask::ReadOf(self.name(of)), Told::Status, None, seen),
        };
        Op { called: watch.opened, returned: item.at, ask, told: Some(told), begins: None, seen, aside }
    }

    fn told(&mut self, answer: &'a Answer) -> Option<Told> {
        Some(match answer {
            Answer::Started { execution, .. } => Told::Started(self.name(execution)),
            Answer::Joined { execution, .. } => Told::Joined(self.name(execution)),
            Answer::Replaced { execution, .. } => Told::Replaced(self.name(execution)),
            Answer::Queued { execution, position, .. } => Told::Queued(self.name(execution), *position),
            Answer::Coalesced { execution, position, .. } => Told::Coalesced(self.name(execution), *position),
            Answer::Deduplicated { first, execution, .. } => Told::Deduplicated(*first, self.name(execution)),
            Answer::QueueFull { waiting } => Told::QueueFull(*waiting),
            Answer::AlreadyExists { .. } => Told::AlreadyExists,
            Answer::NotReplaceable { .. } => Told::NotReplaceable,
            Answer::FunctionMismatch { .. } => Told::FunctionMismatch,
            Answer::RequestIdReused => Told::RequestIdReused,
            Answer::Status(_) => Told::Status,
            Answer::Waiting { position, .. } => Told::Waiting(Some(*position)),
            Answer::Ended { .. } => Told::Ended,
            Answer::Suspended { .. } => Told::Suspended,
            Answer::Resumed { .. } => Told::Resumed,
            Answer::Purged => Told::Purged,
            Answer::StillLive { .. } => Told::StillLive,
            Answer::EventRaised { execution, sequence } => Told::EventRaised(self.name(execution), *sequence),
            Answer::NotFound => Told::NotFound,
            Answer::ExecutionNotFound => Told::ExecutionNotFound,
            Answer::NotLive { .. } => Told::NotLive,
            Answer::ExecutionMismatch { .. } => Told::ExecutionMismatch,
            Answer::Accepted => Told::Accepted,
            // Nothing was done, and nothing is said.
            Answer::Cancelled | Answer::Refused => return None,
        })
    }

    fn seen(&mut self, seen: &'a Sighting) -> Seen {
        let Sighting { execution, status, revision, token, attempt: _ } = seen;
        Seen { execution: self.name(execution), status: *status, revision: *revision, token: *token }
    }
}

/// Renewals are soft state: no order of them can be told from another.
fn body(report: Report) -> Option<Body> {
    match report {
        Report::Heartbeat { .. } | Report::Return { .. } => None,
        Report::Accept { .. } | Report::Progress | Report::EventsAcked => Some(Body::Goes),
        Report::Completed { content } => Some(Body::Completed(content)),
        Report::Failed { content } => Some(Body::Failed(content)),
        Report::ContinueAsNew { content } => Some(Body::Continued(content)),
        Report::Stopped => Some(Body::Stopped),
    }
}

/// Whether this call can have this answer at all.
pub fn can_answer(call: &Call, answer: &Answer) -> bool {
    let speaks_of_expected = match call {
        Call::Restart { expected, .. }
        | Call::Terminate { expected }
        | Call::RaiseEvent { expected }
        | Call::Suspend { expected }
        | Call::Resume { expected }
        | Call::Purge { expected } => expected.is_some(),
        Call::Start(_)
        | Call::GetStatus
        | Call::GetExecution { .. }
        | Call::TerminateExecution { .. }
        | Call::Report { .. } => false,
    };
    match (call, answer) {
        (_, Answer::Refused) => true,
        (_, Answer::ExecutionMismatch { .. }) => speaks_of_expected,
        (call, Answer::Deduplicated { .. } | Answer::RequestIdReused) => call.request().is_some(),
        (Call::Start(start), Answer::Queued { .. } | Answer::QueueFull { .. }) => {
            matches!(start.policy, Policy::Queue | Policy::Coalesce)
        }
        (Call::Start(start), Answer::Coalesced { .. }) => start.policy == Policy::Coalesce,
        (
            Call::Start(_),
            Answer::Started { .. }
            | Answer::Joined { .. }
            | Answer::Replaced { .. }
            | Answer::AlreadyExists { .. }
            | Answer::NotReplaceable { .. }
            | Answer::FunctionMismatch { .. },
        )
        | (Call::Restart { .. }, Answer::Started { .. } | Answer::AlreadyExists { .. } | Answer::NotFound)
        | (Call::GetStatus, Answer::Status(_) | Answer::NotFound)
        | (
            Call::GetExecution { .. },
            Answer::Status(_) | Answer::Waiting { .. } | Answer::NotFound | Answer::ExecutionNotFound,
        )
        | (Call::Terminate { .. } | Call::TerminateExecution { .. }, Answer::Ended { .. })
        | (Call::TerminateExecution { .. }, Answer::ExecutionNotFound)
        | (Call::RaiseEvent { .. }, Answer::EventRaised { .. })
        | (Call::Suspend { .. }, Answer::Suspended { .. })
        | (Call::Resume { .. }, Answer::Resumed { .. })
        | (Call::Purge { .. }, Answer::Purged | Answer::StillLive { .. } | Answer::NotFound)
        | (
            Call::Terminate { .. }
            | Call::TerminateExecution { .. }
            | Call::RaiseEvent { .. }
            | Call::Suspend { .. }
            | Call::Resume { .. },
            Answer::NotFound | Answer::NotLive { .. },
        )
        | (Call::Report { .. }, Answer::Accepted | Answer::Cancelled) => true,
        (_, _) => false,
    }
}

impl Op {
    /// The execution that the caller was told that it began, or put into the queue.
    pub fn claims(&self) -> Option<Name> {
        match self.told {
            Some(Told::Started(execution) | Told::Replaced(execution) | Told::Queued(execution, _)) => Some(execution),
            _ => None,
        }
    }

    /// The executions of which the call speaks as of ones that have begun.
    pub fn meets(&self) -> impl Iterator<Item = Name> {
        let told = match self.told {
            Some(
                Told::Started(execution)
                | Told::Joined(execution)
                | Told::Replaced(execution)
                | Told::EventRaised(execution, _),
            ) => Some(execution),
            // What waits has not begun.
            Some(Told::Deduplicated(Outcome::Queued | Outcome::Coalesced, _)) => None,
            Some(Told::Deduplicated(_, execution)) => Some(execution),
            None if self.may_wait() => None,
            _ => self.begins,
        };
        told.into_iter().chain(self.seen.map(|seen| seen.execution))
    }

    /// Whether it is a start that may wait in the queue.
    fn may_wait(&self) -> bool {
        matches!(&self.ask, Ask::Start(start) if matches!(start.policy, Policy::Queue | Policy::Coalesce))
    }

    /// The revision at which the instance is when this comes, if that is known.
    pub fn revision(&self) -> Option<u64> {
        let exact = self.aside.filter(|_| self.told != Some(Told::Status));
        self.seen.or(exact).map(|seen| seen.revision)
    }

    /// The revision that the instance has reached when this comes.
    pub fn revision_min(&self) -> Option<u64> {
        self.seen.or(self.aside).map(|seen| seen.revision)
    }

    /// The execution that must be live for this to come.
    pub fn needs_live(&self) -> Option<Name> {
        match self.told? {
            Told::Joined(execution) | Told::EventRaised(execution, _) => Some(execution),
            Told::Ended | Told::Suspended | Told::Resumed => self.seen.map(|seen| seen.execution),
            _ => None,
        }
    }

    /// Whether the instance is the same after it, as far as anybody can see.
    pub fn only_looks(&self) -> bool {
        let Some(told) = self.told else { return false };
        match &self.ask {
            Ask::Start(start) => match told {
                Told::Joined(_) => start.request.is_none() && !start.signal,
                told => !matches!(told, Told::Started(_) | Told::Replaced(_) | Told::Queued(..) | Told::Coalesced(..)),
            },
            Ask::Restart { .. } => !matches!(told, Told::Started(_)),
            Ask::Read | Ask::ReadOf(_) | Ask::RaiseEvent { .. } => true,
            Ask::Terminate { .. } | Ask::TerminateOf(_) => told != Told::Ended,
            Ask::Suspend { .. } => told != Told::Suspended,
            Ask::Resume { .. } => told != Told::Resumed,
            Ask::Purge { .. } => told != Told::Purged,
            Ask::Report { body, .. } => *body == Body::Goes,
        }
    }
}
