//! Reports that the server has not answered yet: kept, and sent again over the next stream. Pure.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::run::{Cancellation, Cancelled, ProgressError};
use crate::proto::v1::{Claim, WorkRequest, work_request::Message};

/// What a function waits for that reported its progress.
#[derive(Debug)]
pub(super) struct Ticket {
    pub answer: oneshot::Sender<Result<(), ProgressError>>,
    /// A run has one report of progress under way at a time, also if the function no longer waits for it.
    pub turn: OwnedSemaphorePermit,
}

/// A report about a run.
#[derive(Debug)]
pub(super) struct Report {
    pub claim: Claim,
    pub message: Message,
    pub ticket: Option<Ticket>,
    /// When it was last handed to a stream.
    pub sent: Option<Instant>,
    sequence: Option<u64>,
}

/// The unanswered reports, in the order in which they were made.
///
/// A report gets its sequence when it is first sent and keeps it. After a reconnect those that had been sent go first:
/// so the numbers rise within each stream.
#[derive(Debug, Default)]
pub(super) struct Reports {
    last_sequence: u64,
    last_id: u64,
    all: HashMap<u64, Report>,
    /// Ids; those that were forgotten are skipped.
    waiting: VecDeque<u64>,
    /// Sequence to id.
    sent: BTreeMap<u64, u64>,
    of_claim: HashMap<Claim, Vec<u64>>,
}

// === impl Reports ===

impl Reports {
    /// The next sequence, also for what is no report.
    pub(super) fn number(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    pub(super) fn push(&mut self, claim: Claim, message: Message, ticket: Option<Ticket>) {
        self.last_id += 1;
        self.of_claim.entry(claim.clone()).or_default().push(self.last_id);
        self.all.insert(self.last_id, Report { claim, message, ticket, sent: None, sequence: None });
        self.waiting.push_back(self.last_id);
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next report to send over the present stream.
    pub(super) fn next(&mut self, now: Instant) -> Option<WorkRequest> {
        loop {
            let id = self.waiting.pop_front()?;
            let Some(report) = self.all.get_mut(&id) else { continue };
            let sequence = *report.sequence.get_or_insert_with(|| {
                self.last_sequence += 1;
                self.last_sequence
            });
            report.sent = Some(now);
            self.sent.insert(sequence, id);
            return Some(WorkRequest { sequence, message: Some(report.message.clone()) });
        }
    }

    /// The report of that run that is answered by this; none if it was answered before or forgotten.
    pub(super) fn answered(&mut self, claim: &Claim, sequence: u64) -> Option<Report> {
        let id = *self.sent.get(&sequence)?;
        if self.all.get(&id).is_some_and(|report| report.claim != *claim) {
            return None;
        }
        self.sent.remove(&sequence);
        if let Some(ids) = self.of_claim.get_mut(claim) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_claim.remove(claim);
            }
        }
        self.all.remove(&id)
    }

    /// The stream was lost: what it carried and was not answered is sent again, first of all.
    pub(super) fn lost_stream(&mut self) {
        for (_, id) in std::mem::take(&mut self.sent).into_iter().rev() {
            self.waiting.push_front(id);
        }
    }

    /// Drops all reports of a run; a function that waits for one is told why.
    pub(super) fn forget(&mut self, claim: &Claim, reason: Cancellation) {
        for id in self.of_claim.remove(claim).unwrap_or_default() {
            let Some(report) = self.all.remove(&id) else { continue };
            if let Some(sequence) = report.sequence {
                self.sent.remove(&sequence);
            }
            if let Some(ticket) = report.ticket {
                ticket.answer(Err(ProgressError::Cancelled(Cancelled { reason })));
            }
        }
    }
}

// === impl Ticket ===

impl Ticket {
    pub(super) fn answer(self, answer: Result<(), ProgressError>) {
        // A function that no longer waits needs no answer.
        drop(self.answer.send(answer));
        drop(self.turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Progress, Stopped};

    fn claim(instance_id: &str) -> Claim {
        Claim { instance_id: instance_id.to_owned(), fencing_token: 1, claim_id: vec![7; 16] }
    }

    fn progress(of: &str, text: &str) -> Message {
        Message::Progress(Progress { claim: Some(claim(of)), custom_status: Some(text.to_owned()) })
    }

    fn reports(texts: &[(&str, &str)]) -> Reports {
        let mut reports = Reports::default();
        for (of, text) in texts {
            reports.push(claim(of), progress(of, text), None);
        }
        reports
    }

    /// Sends everything that waits: the sequences and texts.
    fn send_all(reports: &mut Reports) -> Vec<(u64, String)> {
        let mut sent = Vec::new();
        while let Some(request) = reports.next(Instant::now()) {
            let Some(Message::Progress(progress)) = request.message else { panic!("only progress is sent here") };
            sent.push((request.sequence, progress.custom_status.unwrap_or_default()));
        }
        sent
    }

    fn expected(sent: &[(u64, &str)]) -> Vec<(u64, String)> {
        sent.iter().map(|(sequence, text)| (*sequence, (*text).to_owned())).collect()
    }

    #[test]
    fn what_is_unanswered_is_sent_again_under_its_number_and_first() {
        let mut reports = reports(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(send_all(&mut reports), expected(&[(1, "1"), (2, "2"), (3, "3")]));
        assert!(reports.answered(&claim("b"), 2).is_some());
        assert_eq!(reports.number(), 4, "a heartbeat");
        reports.push(claim("b"), progress("b", "4"), None);
        reports.lost_stream();
        assert_eq!(send_all(&mut reports), expected(&[(1, "1"), (3, "3"), (5, "4")]));
        assert!(!reports.is_waiting());
    }

    #[test]
    fn an_answer_counts_once_and_only_for_its_run() {
        let mut reports = reports(&[("a", "1")]);
        assert!(reports.answered(&claim("a"), 1).is_none(), "it was not sent yet");
        send_all(&mut reports);
        assert!(reports.answered(&claim("b"), 1).is_none());
        let report = reports.answered(&claim("a"), 1).expect("it is answered");
        assert!(report.sent.is_some());
        assert!(reports.answered(&claim("a"), 1).is_none());
        reports.lost_stream();
        assert!(send_all(&mut reports).is_empty());
    }

    #[test]
    fn a_forgotten_run_leaves_nothing_but_what_follows() {
        let mut reports = reports(&[("a", "1"), ("b", "2")]);
        reports.next(Instant::now());
        reports.push(claim("a"), progress("a", "3"), None);
        reports.forget(&claim("a"), Cancellation::Terminated);
        reports.push(claim("a"), Message::Stopped(Stopped { claim: Some(claim("a")) }), None);
        reports.lost_stream();
        let sent = [reports.next(Instant::now()), reports.next(Instant::now())].map(|request| {
            let request = request.expect("two are left");
            (request.sequence, matches!(request.message, Some(Message::Stopped(_))))
        });
        assert_eq!(sent, [(2, false), (3, true)]);
        assert!(reports.next(Instant::now()).is_none());
    }

    #[test]
    fn who_waits_for_a_forgotten_report_is_told() {
        let turns = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let turn = turns.clone().try_acquire_owned().expect("it is free");
        let (answer, mut told) = oneshot::channel();
        let mut reports = Reports::default();
        reports.push(claim("a"), progress("a", "1"), Some(Ticket { answer, turn }));
        reports.forget(&claim("a"), Cancellation::LeaseLost);
        let told = told.try_recv().expect("an answer").expect_err("a refusal");
        assert!(matches!(told, ProgressError::Cancelled(Cancelled { reason: Cancellation::LeaseLost })), "{told}");
        assert_eq!(turns.available_permits(), 1);
    }
}
