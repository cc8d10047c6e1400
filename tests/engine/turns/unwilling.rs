//! Workers that don't do what they have: they never answer, or abandon it each time. Time is in the test's hand.

use std::{slice, sync::Arc};

use futures_util::FutureExt;
use soloist::{
    clock::Clock,
    core::{
        command::{Action, CompleteTurn, Ending, Resume, Suspend, Target, Terminate},
        ids::TaskHub,
        rejection::Rejection,
        status::Status,
        time::Span,
        turn::TaskOutcome,
    },
    engine::{
        Refusal,
        work_items::{Assignment, Attendance, Content, Wishes, Work},
    },
    proto::durable_task::{OrchestratorStartedEvent, TaskScheduledEvent, history_event::EventType},
    store::memory::Memory,
};

use super::player::{durable_start, note};
use crate::{
    hand::Hand,
    stage::{MOMENT, TURN_LEASE, just_before, key, name},
};

fn hand() -> Hand {
    Hand::over(Arc::new(Memory::new())).expect("an empty store")
}

impl Hand {
    /// A stream that takes so many turns and one activity at a time.
    fn attends(&self, turns_max: usize) -> Attendance {
        let wishes = Wishes { hub: TaskHub::default(), turns_max, activities_max: 1, filters: None, nameless: false };
        self.engine.attend(wishes).expect("a place")
    }

    fn attends_nameless(&self) -> Attendance {
        let hub = TaskHub::default();
        let wishes = Wishes { hub, turns_max: 1, activities_max: 1, filters: None, nameless: true };
        self.engine.attend(wishes).expect("a place")
    }

    fn starts(&self, id: &str) {
        let start = durable_start(&self.engine);
        self.finish(self.engine.start(&key(id), start)).expect("it is free");
        self.settle();
    }

    /// Time passes, and what is due is done.
    fn wait(&self, span: Span) {
        self.clock.pass(span);
        self.settle();
    }

    fn suspends(&self, id: &str) {
        let suspend = Suspend { reason: "".into(), expected_execution: None };
        self.finish(self.engine.suspend(&key(id), suspend)).expect("it is live");
        self.settle();
    }

    fn resumes(&self, id: &str) {
        let resume = Resume { reason: "".into(), expected_execution: None };
        self.finish(self.engine.resume(&key(id), resume)).expect("it is live");
        self.settle();
    }

    fn terminates(&self, id: &str) {
        let (reason, target) = ("".into(), Target::Latest);
        let terminate = Terminate { reason, output: None, target, recurse: false };
        self.finish(self.engine.terminate(&key(id), terminate)).expect("it is live");
        self.settle();
    }

    /// The worker of this turn ends the execution, or schedules an activity.
    fn completes(&self, assignment: &Assignment, ends: bool) -> Result<(), Refusal> {
        let told = self.finish(self.engine.contents(slice::from_ref(assignment))).remove(0);
        let through = match told.expect("whole rows") {
            Some(Content::Turn(content)) => content.through,
            Some(Content::Activity(_)) => panic!("it is a turn"),
            None => 0,
        };
        let mut notes = vec![note(-1, EventType::OrchestratorStarted(OrchestratorStartedEvent {}))];
        let (mut actions, mut ending) = (Vec::new(), None);
        if ends {
            ending = Some(Ending::Completed { output: None });
        } else {
            notes.push(note(1, EventType::TaskScheduled(TaskScheduledEvent::default())));
            actions.push(Action::ScheduleActivity { id: 1, name: name("act"), version: String::new(), note: 1 });
        }
        let (token, began_at) = (assignment.token, self.engine.now());
        let turn = CompleteTurn { token, notes, through, began_at, custom_status: None, trace: None, actions, ending };
        let completed = self.finish(self.engine.complete_turn(assignment.item.key.clone(), turn));
        self.settle();
        completed
    }

    fn status(&self, id: &str) -> Status {
        self.finish(self.engine.status(&key(id), None, false)).expect("it is there").status.view.execution.status
    }
}

/// The turns and activities that have come to it.
fn come(attendance: &Attendance) -> Vec<Assignment> {
    attendance.stream.next(usize::MAX).now_or_never().unwrap_or_default()
}

/// The one that has come.
fn one(attendance: &Attendance) -> Assignment {
    let mut come = come(attendance);
    assert_eq!(come.len(), 1, "one thing has come");
    come.remove(0)
}

fn is_stale(completed: &Result<(), Refusal>) -> bool {
    matches!(completed, Err(Refusal::Rejected(rejection)) if **rejection == Rejection::StaleCompletionToken)
}

#[test]
fn a_turn_goes_to_another_when_its_time_is_over_and_not_before() {
    let hand = hand();
    let mute = hand.attends(1);
    hand.starts("i");
    let lost = one(&mute);
    let other = hand.attends(1);
    hand.wait(just_before(TURN_LEASE));
    assert!(come(&other).is_empty(), "it is not over yet");
    hand.wait(MOMENT);
    let turn = one(&other);
    assert_eq!(turn.item.key, key("i"));
    assert_ne!(turn.token, lost.token);
    assert!(is_stale(&hand.completes(&lost, true)), "it comes too late");
    assert_eq!(hand.status("i"), Status::Pending);
    hand.completes(&turn, true).expect("it is its turn");
    assert_eq!(hand.status("i"), Status::Completed);
    assert!(come(&mute).is_empty());
}

#[test]
fn an_answer_that_comes_in_time_ends_the_lease() {
    let hand = hand();
    let worker = hand.attends(2);
    hand.starts("i");
    hand.wait(just_before(TURN_LEASE));
    hand.completes(&one(&worker), false).expect("it is its turn");
    let activity = one(&worker);
    assert!(matches!(activity.item.work, Work::Activity(_)));
    // However long an activity takes: there is no telling those that hang from those that work.
    for _ in 0..100 {
        hand.wait(TURN_LEASE);
        assert!(come(&worker).is_empty());
    }
    let out = hand.engine.item_out(activity.token).expect("it is the worker's");
    hand.finish(hand.engine.end_activity(&out, activity.token, TaskOutcome::Completed { result: None })).expect("done");
    hand.settle();
    hand.completes(&one(&worker), true).expect("its time began anew");
    assert_eq!(hand.status("i"), Status::Completed);
}

/// Where only the mute one is there, it gets the turn again, once for each time; its place is given back, and what waits
/// has its turn.
#[test]
fn nothing_spins_where_only_the_mute_worker_is_there() {
    let hand = hand();
    let mute = hand.attends(1);
    hand.starts("a");
    hand.starts("b");
    let mut had = vec![one(&mute).item.key.clone()];
    for _ in 0..5 {
        assert_eq!(
            hand.stepper.next_due(),
            Some(hand.clock.now().steady + TURN_LEASE),
            "there is nothing to do before"
        );
        hand.wait(TURN_LEASE);
        had.push(one(&mute).item.key.clone());
    }
    let (a, b) = (key("a"), key("b"));
    assert_eq!(had, [&a, &b, &a, &b, &a, &b].map(Clone::clone), "one after the other");
    let other = hand.attends(1);
    hand.completes(&one(&other), true).expect("it has waited for somebody");
    hand.wait(TURN_LEASE);
    assert_eq!(one(&other).item.key, b);
    assert!(come(&mute).is_empty());
}

/// It had room, and was asked for every other turn.
#[test]
fn who_does_not_answer_is_asked_last_until_it_does() {
    let hand = hand();
    let mute = hand.attends(1);
    hand.starts("lost");
    let _lost = one(&mute);
    hand.wait(TURN_LEASE);
    let again = one(&mute);
    let other = hand.attends(3);
    hand.wait(TURN_LEASE);
    let _taken_over = one(&other);
    for id in ["a", "b"] {
        hand.starts(id);
        assert_eq!(one(&other).item.key, key(id), "though the mute one has nothing to do");
    }
    hand.starts("c");
    let last = one(&mute);
    assert_eq!(last.item.key, key("c"), "there is nobody else");
    assert!(is_stale(&hand.completes(&again, true)));
    hand.completes(&last, true).expect("it is its turn");
    hand.starts("d");
    assert_eq!(one(&mute).item.key, key("d"), "it has answered");
}

/// While an instance is suspended, or when it has ended or is gone, nobody is asked: the stream's place is free.
#[test]
fn a_turn_that_is_not_wanted_any_more_only_gives_its_place_back() {
    for end in ["suspend", "terminate", "purge"] {
        let hand = hand();
        let mute = hand.attends(1);
        hand.starts("i");
        let lost = one(&mute);
        match end {
            "suspend" => hand.suspends("i"),
            _ => hand.terminates("i"),
        }
        if end == "purge" {
            hand.finish(hand.engine.purge(&key("i"), None)).expect("it has ended");
            hand.settle();
        }
        hand.starts("next");
        assert!(come(&mute).is_empty(), "{end}: it has no room");
        hand.wait(TURN_LEASE);
        let next = one(&mute);
        assert_eq!(next.item.key, key("next"), "{end}");
        assert!(is_stale(&hand.completes(&lost, true)), "{end}");
        hand.completes(&next, true).expect("it is its turn");
        assert!(come(&mute).is_empty(), "{end}");
        if end == "suspend" {
            hand.resumes("i");
            hand.completes(&one(&mute), true).expect("it goes on");
            assert_eq!(hand.status("i"), Status::Completed);
        }
        hand.wait(TURN_LEASE);
        assert_eq!(hand.stepper.next_due(), None, "{end}: nothing is left");
    }
}

/// Nothing spins, however often somebody says no.
#[test]
fn who_abandons_for_ever_is_asked_ever_more_rarely() {
    let hand = hand();
    let unwilling = hand.attends(1);
    hand.starts("i");
    let turn = one(&unwilling);
    let turn = abandon_for_ever(&hand, &unwilling, turn);
    hand.completes(&turn, true).expect("it has come to its senses");
    // The same of an activity.
    let willing = hand.attends(1);
    hand.starts("j");
    let turn = come(&willing).into_iter().chain(come(&unwilling)).find(|turn| turn.item.key == key("j"));
    hand.completes(&turn.expect("somebody has it"), false).expect("it is its turn");
    drop(willing);
    let activity = come(&unwilling).into_iter().find(|come| matches!(come.item.work, Work::Activity(_)));
    abandon_for_ever(&hand, &unwilling, activity.expect("there is nobody else"));
}

/// Abandons it each time that it comes, in the course of ten minutes. Then it has it once more.
fn abandon_for_ever(hand: &Hand, unwilling: &Attendance, mut item: Assignment) -> Assignment {
    let (mut rests, mut passed) = (Vec::new(), Span::ZERO);
    while passed < Span::from_secs(600) {
        hand.engine.abandon(item.token);
        hand.settle();
        let begun = hand.clock.now().steady;
        item = loop {
            hand.wait(hand.stepper.next_due().expect("it is offered again") - hand.clock.now().steady);
            if let Some(item) = come(unwilling).pop() {
                break item;
            }
        };
        let rest = hand.clock.now().steady - begun;
        rests.push(rest.as_micros() / 1_000);
        passed = Span::from_micros(passed.as_micros() + rest.as_micros());
    }
    assert_eq!(rests[..11], [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    assert!(rests.len() < 30, "{} times", rests.len());
    item
}

/// A late answer without a token would be taken for the answer to the turn that is out by then.
#[test]
fn a_worker_that_may_answer_without_a_token_keeps_its_turn() {
    let hand = hand();
    let slow = hand.attends_nameless();
    hand.starts("i");
    let turn = one(&slow);
    let other = hand.attends(1);
    for _ in 0..3 {
        hand.wait(TURN_LEASE);
        assert!(come(&other).is_empty());
    }
    assert_eq!(hand.engine.turn_out(&key("i")), Some(turn.token));
    hand.completes(&turn, false).expect("it is never too late");
    let _activity = come(&slow);
    // One that has named a token is told apart.
    let named = hand.attends_nameless();
    hand.starts("j");
    let first = come(&named).into_iter().chain(come(&other)).chain(come(&slow)).next().expect("somebody has it");
    hand.engine.names_tokens(first.token);
    hand.wait(TURN_LEASE);
    let again = come(&named).into_iter().chain(come(&other)).chain(come(&slow)).next().expect("it is offered again");
    assert_eq!(again.item.key, key("j"));
}
