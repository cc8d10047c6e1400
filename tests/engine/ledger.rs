//! What callers were told and watchers saw, and whether an engine still knows of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use soloist::{
    core::{
        ids::{ExecutionId, InstanceKey, Revision},
        status::{Status, Transition},
    },
    engine::{
        Engine,
        watch::{ItemKind, Wish},
    },
};
use tokio::task::JoinHandle;

use crate::stage::Stage;

/// Something that a caller was told has happened, or asked for without learning what became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    Started {
        key: InstanceKey,
        execution: ExecutionId,
    },
    Raised {
        key: InstanceKey,
        execution: ExecutionId,
        sequence: u64,
    },
    EventsAcked {
        key: InstanceKey,
        through: u64,
    },
    Progressed {
        key: InstanceKey,
        execution: ExecutionId,
        times: usize,
    },
    Ended {
        key: InstanceKey,
        execution: ExecutionId,
        status: Status,
    },
    /// This execution was followed by one that continues it.
    Continued {
        key: InstanceKey,
        execution: ExecutionId,
    },
    /// The lease with this token was given back, or its attempt has ended.
    Released {
        key: InstanceKey,
        token: Revision,
    },
    /// Nothing that watchers would see.
    Accepted,
}

/// Every transition of every instance.
pub type Known = BTreeMap<InstanceKey, Vec<Transition>>;

#[derive(Default)]
pub struct Ledger {
    pub told: Vec<Fact>,
    /// The tokens that workers were given, in order.
    pub tokens: BTreeMap<InstanceKey, Vec<Revision>>,
    seen: Seen,
    watchers: Vec<JoinHandle<()>>,
}

type Seen = Arc<Mutex<Known>>;

impl Ledger {
    /// Watches an instance from before its first start.
    pub async fn watch(&mut self, engine: &Engine, key: &InstanceKey) {
        let wish = Wish { wait_for_start: true, ..Wish::default() };
        let mut watch = engine.watch(key.clone(), wish).await.expect("a watch");
        let (seen, key) = (self.seen.clone(), key.clone());
        self.watchers.push(tokio::spawn(async move {
            while let Ok(Some(item)) = watch.next().await {
                assert_eq!(item.kind, ItemKind::Transition, "from the beginning and fast enough");
                seen.lock().entry(key.clone()).or_default().push(Transition::clone(&item.transition));
            }
        }));
    }

    /// The process has died: nobody sees anything any more.
    pub fn close(&mut self) {
        self.watchers.drain(..).for_each(|watcher| watcher.abort());
    }

    pub fn granted(&mut self, key: &InstanceKey, token: Revision) {
        self.tokens.entry(key.clone()).or_default().push(token);
    }

    /// Everything that was told and seen is known; and what is known makes sense.
    pub async fn check(&self, stage: &Stage, keys: &[InstanceKey]) {
        let mut known = Known::new();
        for key in keys {
            let transitions = stage.transitions(key).await;
            check_order(key, &transitions);
            let seen = self.seen.lock().get(key).cloned().unwrap_or_default();
            for (seen, kept) in seen.iter().zip(transitions.iter().map(Some).chain(std::iter::repeat(None))) {
                assert_eq!(Some(seen), kept, "{key:?}: what a watcher saw is gone or has changed");
            }
            known.insert(key.clone(), transitions);
        }
        for fact in &self.told {
            assert!(fact.holds(&known), "forgotten: {fact:?}");
        }
        for (key, tokens) in &self.tokens {
            assert!(tokens.is_sorted_by(|a, b| a < b), "{key:?}: tokens {tokens:?}");
            let newest = stage.engine.status(key, None, false).await.expect("it was granted").status.view.fencing_token;
            assert!(tokens.last() <= Some(&newest), "{key:?}: {newest} after {tokens:?}");
        }
    }
}

impl Ledger {
    /// The acknowledged events that a worker has to get, again or for the first time.
    pub fn waiting_events(&self, known: &Known) -> BTreeMap<InstanceKey, BTreeSet<u64>> {
        let mut waiting: BTreeMap<InstanceKey, BTreeSet<u64>> = BTreeMap::new();
        for fact in &self.told {
            match fact {
                Fact::Raised { key, execution, sequence } => {
                    let current = transitions_of(known, key).last().map(|last| &last.view.execution);
                    if current.is_some_and(|current| current.id == *execution && current.status.is_live()) {
                        waiting.entry(key.clone()).or_default().insert(*sequence);
                    }
                }
                Fact::EventsAcked { key, through } => {
                    waiting.entry(key.clone()).or_default().retain(|sequence| sequence > through);
                }
                _ => {}
            }
        }
        waiting
    }
}

/// Numbers without gaps, revisions and tokens that rise, times that never go back, one live execution at a time.
pub fn check_order(key: &InstanceKey, transitions: &[Transition]) {
    let sequences: Vec<u64> = transitions.iter().map(|transition| transition.sequence).collect();
    assert_eq!(sequences, (1..=transitions.len() as u64).collect::<Vec<_>>(), "{key:?}");
    let mut executions = BTreeSet::new();
    for pair in transitions.windows(2) {
        let (before, after) = (&pair[0].view, &pair[1].view);
        assert!(before.revision < after.revision, "{key:?}: {before:?}, {after:?}");
        assert!(before.fencing_token <= after.fencing_token, "{key:?}: {before:?}, {after:?}");
        let (was, is) = (&before.execution, &after.execution);
        assert!(was.last_updated_at < is.last_updated_at, "{key:?}: {was:?}, {is:?}");
        if was.id == is.id {
            assert!(was.status.is_live(), "{key:?}: a transition after the end: {was:?}, {is:?}");
            assert_eq!(was.created_at, is.created_at, "{key:?}");
        } else {
            let continued = was.status == Status::Running && is.status == Status::Running;
            assert!(!was.status.is_live() || continued, "{key:?}: two live executions: {was:?}, {is:?}");
            assert!(executions.insert(was.id) && !executions.contains(&is.id), "{key:?}: {is:?} is back");
        }
    }
}

impl Fact {
    pub fn holds(&self, known: &Known) -> bool {
        let views = |key: &InstanceKey, execution: &ExecutionId| -> Vec<_> {
            let of_it =
                transitions_of(known, key).iter().filter(|transition| transition.view.execution.id == *execution);
            of_it.map(|transition| transition.view.clone()).collect()
        };
        match self {
            Fact::Started { key, execution } => !views(key, execution).is_empty(),
            Fact::Ended { key, execution, status } => {
                views(key, execution).iter().any(|view| view.execution.status == *status)
            }
            Fact::Progressed { key, execution, times } => {
                let statuses: BTreeSet<_> =
                    views(key, execution).iter().filter_map(|view| view.execution.custom_status).collect();
                statuses.len() >= *times
            }
            Fact::Continued { key, execution } => {
                let transitions = transitions_of(known, key);
                let last = transitions.iter().rposition(|transition| transition.view.execution.id == *execution);
                let next = last.and_then(|last| transitions.get(last + 1));
                next.is_some_and(|next| next.view.execution.id != *execution)
            }
            // What no watcher sees is looked at by those who care for it.
            Fact::Raised { .. } | Fact::EventsAcked { .. } | Fact::Released { .. } | Fact::Accepted => true,
        }
    }
}

fn transitions_of<'a>(known: &'a Known, key: &InstanceKey) -> &'a [Transition] {
    known.get(key).map(Vec::as_slice).unwrap_or_default()
}
