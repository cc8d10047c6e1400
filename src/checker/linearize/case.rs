//! The calls of one instance id as the search takes them: names are numbers, and what no model could be asked is left
//! out.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::checker::{
    Rules,
    history::{Answer, Call, ItemKind, Operation, Record, Report, Sighting, Status, Tick},
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
#[derive(Default)]
struct Passage(BTreeMap<u64, (Visit, Option<u64>, Source)>);

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
        let mut passage = Passage::default();
        for (watch_index, watch) in record.watches.iter().enumerate() {
            for (index, item) in watch.items.iter().enumerate() {
                let source = Source::Item { watch: watch_index, item: index };
                let seen = names.seen(&item.seen);
                match item.kind {
                    ItemKind::Current | ItemKind::Resync => {
                        let (called, returned) = (watch.opened, item.at);
                        let told = Some(Told::Status);
                        case.push(Op { called, returned, ask: Ask::Read, told, seen: Some(seen) }, source);
                    }
                    ItemKind::Transition => passage.add(seen, item.at, Some(item.sequence), source),
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
        (case.visits, case.visit_sources) = passage.visits(rules.begins_empty);
        case
    }

    pub fn push(&mut self, op: Op, source: Source) {
        self.ops.push(op);
        self.sources.push(source);
    }

    /// A request id that is never used again makes no difference.
    fn forget_lone_requests(&mut self) {
        let mut uses: HashMap<Name, usize> = HashMap::new();
        for op in &self.ops {
            if let Ask::Start(Start { request: Some((request, _)), .. }) = op.ask {
                *uses.entry(request).or_default() += 1;
            }
        }
        for op in &mut self.ops {
            if let Ask::Start(start) = &mut op.ask
                && start.request.is_some_and(|(request, _)| uses[&request] == 1)
                && !matches!(op.told, Some(Told::Deduplicated(..) | Told::RequestIdReused))
            {
                start.request = None;
            }
        }
    }

    /// What the model knows of these calls from outside.
    pub fn facts<'a>(&self, rules: &'a Rules) -> Facts<'a> {
        let claims = |op: &Op| match op.told {
            Some(Told::Started(execution) | Told::Replaced(execution)) => Some(execution),
            _ => None,
        };
        let with_request = |op: &&Op| matches!(&op.ask, Ask::Start(Start { request: Some(_), .. }));
        let in_order = |mut times: Vec<Tick>| {
            times.sort_unstable();
            times
        };
        let grants = self.visits.iter().filter(|visit| visit.is_grant);
        Facts {
            rules,
            is_piece: self.is_piece,
            claimed: self.ops.iter().filter_map(claims).collect::<HashSet<Name>>(),
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
        let (known, number, first) = self.0.entry(seen.revision).or_insert((visit, sequence, source));
        known.is_grant |= is_grant;
        *number = number.or(sequence);
        if by < known.by {
            (known.by, *first) = (by, source);
        }
    }

    fn visits(self, begins_empty: bool) -> (Vec<Visit>, Vec<Source>) {
        let mut before = begins_empty.then_some(0);
        let number = |(mut visit, sequence, source): (Visit, Option<u64>, Source)| {
            visit.is_next = before.is_some() && sequence == before.map(|before| before + 1);
            before = sequence;
            (visit, source)
        };
        self.0.into_values().map(number).unzip()
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
        let ask = match &operation.call {
            Call::Start(start) => Ask::Start(Start {
                policy: start.policy,
                function: self.name(&start.function),
                replaceable: start.replaceable.clone(),
                request: start.request.as_ref().map(|request| (self.name(&request.id), request.digest)),
            }),
            Call::Terminate { expected: id } => Ask::Terminate { expected: expected(self, id) },
            // Without an answer these two tell nothing.
            Call::GetStatus => told.map(|_| Ask::Read)?,
            Call::RaiseEvent { expected: id } => told.map(|_| Ask::RaiseEvent { expected: expected(self, id) })?,
            Call::Report { token, report } => {
                let body = body(*report)?;
                if body == Body::Goes && told.is_none() {
                    return None;
                }
                Ask::Report { token: *token, body }
            }
        };
        let seen = answer.and_then(Answer::seen).map(|seen| self.seen(seen));
        Some(Op { called: operation.called, returned: operation.returned_at(), ask, told, seen })
    }

    fn told(&mut self, answer: &'a Answer) -> Option<Told> {
        Some(match answer {
            Answer::Started { execution, .. } => Told::Started(self.name(execution)),
            Answer::Joined { execution, .. } => Told::Joined(self.name(execution)),
            Answer::Replaced { execution, .. } => Told::Replaced(self.name(execution)),
            Answer::Deduplicated { first, execution, .. } => Told::Deduplicated(*first, self.name(execution)),
            Answer::AlreadyExists { .. } => Told::AlreadyExists,
            Answer::NotReplaceable { .. } => Told::NotReplaceable,
            Answer::FunctionMismatch { .. } => Told::FunctionMismatch,
            Answer::RequestIdReused => Told::RequestIdReused,
            Answer::Status(_) => Told::Status,
            Answer::Ended { .. } => Told::Ended,
            Answer::EventRaised { execution, sequence } => Told::EventRaised(self.name(execution), *sequence),
            Answer::NotFound => Told::NotFound,
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
    match (call, answer) {
        (_, Answer::Refused) => true,
        (
            Call::Start(_),
            Answer::Started { .. }
            | Answer::Joined { .. }
            | Answer::Replaced { .. }
            | Answer::AlreadyExists { .. }
            | Answer::NotReplaceable { .. }
            | Answer::FunctionMismatch { .. },
        ) => true,
        (Call::Start(start), Answer::Deduplicated { .. } | Answer::RequestIdReused) => start.request.is_some(),
        (Call::GetStatus, Answer::Status(_) | Answer::NotFound) => true,
        (Call::Terminate { .. }, Answer::Ended { .. })
        | (Call::RaiseEvent { .. }, Answer::EventRaised { .. })
        | (Call::Terminate { .. } | Call::RaiseEvent { .. }, Answer::NotFound | Answer::NotLive { .. }) => true,
        (Call::Terminate { expected } | Call::RaiseEvent { expected }, Answer::ExecutionMismatch { .. }) => {
            expected.is_some()
        }
        (Call::Report { .. }, Answer::Accepted | Answer::Cancelled) => true,
        (_, _) => false,
    }
}

impl Op {
    /// The execution that must be live for this to come.
    pub fn needs_live(&self) -> Option<Name> {
        match self.told? {
            Told::Joined(execution) | Told::EventRaised(execution, _) => Some(execution),
            Told::Ended => self.seen.map(|seen| seen.execution),
            _ => None,
        }
    }

    /// Whether the instance is the same after it, as far as anybody can see.
    pub fn only_looks(&self) -> bool {
        match (&self.ask, self.told) {
            (_, None) => false,
            (Ask::Start(start), Some(Told::Joined(_))) => start.request.is_none(),
            (Ask::Start(_), Some(told)) => !matches!(told, Told::Started(_) | Told::Replaced(_)),
            (Ask::Read, Some(_)) => true,
            (Ask::Terminate { .. }, Some(told)) => told != Told::Ended,
            (Ask::RaiseEvent { .. }, Some(_)) => true,
            (Ask::Report { body, .. }, Some(_)) => *body == Body::Goes,
        }
    }
}
