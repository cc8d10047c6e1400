//! What was asked for and what was told, as far as it is durable.

use std::collections::{BTreeMap, BTreeSet};

use soloist::core::{
    ids::{ExecutionId, InstanceKey},
    turn::Note,
};

/// What became durable.
#[derive(Debug)]
pub enum Fact {
    Turn(Turn),
    /// A client has raised this for a parent.
    Raised {
        to: InstanceKey,
        text: String,
    },
    Nothing,
}

/// A turn that was completed.
#[derive(Debug)]
pub struct Turn {
    pub key: InstanceKey,
    pub execution: ExecutionId,
    pub notes: Vec<Note>,
    /// Texts of events.
    pub heard: Vec<String>,
    /// Numbers of tasks that have ended.
    pub ended: Vec<i32>,
    pub scheduled: Vec<(i32, &'static str)>,
    /// Whom it tells what.
    pub said: Vec<(InstanceKey, String)>,
    /// What it goes on with as new, if it does.
    pub carried: Option<Vec<String>>,
}

#[derive(Default)]
pub struct Book {
    /// What each instance was told, in order.
    heard: BTreeMap<InstanceKey, Vec<String>>,
    said: BTreeMap<InstanceKey, BTreeSet<String>>,
    /// Tasks that were scheduled and not heard of.
    open: BTreeMap<InstanceKey, BTreeMap<i32, &'static str>>,
    notes: BTreeMap<InstanceKey, (ExecutionId, Vec<Note>)>,
}

impl Book {
    pub fn note(&mut self, fact: Fact) {
        match fact {
            Fact::Turn(turn) => self.turn(turn),
            Fact::Raised { to, text } => self.said(to, text),
            Fact::Nothing => {}
        }
    }

    fn said(&mut self, to: InstanceKey, text: String) {
        self.said.entry(to).or_default().insert(text);
    }

    fn turn(&mut self, turn: Turn) {
        let Turn { key, execution, notes, heard, ended, scheduled, said, carried } = turn;
        let open = self.open.entry(key.clone()).or_default();
        for id in ended {
            assert!(open.remove(&id).is_some(), "{key:?} was told of {id}, for which it does not wait");
        }
        open.extend(scheduled);
        self.heard.entry(key.clone()).or_default().extend(heard);
        said.into_iter().for_each(|(to, text)| self.said(to, text));
        let history = self.notes.entry(key.clone()).or_insert_with(|| (execution, Vec::new()));
        if history.0 != execution {
            *history = (execution, Vec::new());
        }
        history.1.extend(notes);
        if let Some(carried) = carried {
            self.open.remove(&key);
            self.said.entry(key).or_default().extend(carried);
        }
    }

    /// The history that an execution must be told.
    pub fn past(&self, key: &InstanceKey, execution: ExecutionId) -> Vec<Vec<u8>> {
        let history = self.notes.get(key).filter(|(of, _)| *of == execution);
        history.map(|(_, notes)| notes.iter().map(|note| note.to_vec()).collect()).unwrap_or_default()
    }

    /// Of these instances, which have lived all the time: everything was heard, once, and from each sender in order.
    pub fn close(&self, keys: &[InstanceKey]) {
        for key in keys {
            let heard = self.heard.get(key).cloned().unwrap_or_default();
            let said = self.said.get(key).cloned().unwrap_or_default();
            let once: BTreeSet<String> = heard.iter().cloned().collect();
            assert_eq!(once.len(), heard.len(), "{key:?} heard something twice: {heard:?}");
            assert_eq!(once, said, "{key:?}");
            assert_eq!(self.open.get(key).cloned().unwrap_or_default(), BTreeMap::new(), "{key:?} waits for ever");
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for text in &heard {
                let (from, number) = text.split_once('#').expect("somebody says it");
                let number = number.parse().expect("a number");
                assert!(last.insert(from, number).is_none_or(|before| before < number), "{key:?}: {heard:?}");
            }
        }
    }
}
