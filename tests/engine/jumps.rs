//! Somebody sets the wall clock: leases and deadlines don't notice, and what people are shown never goes back.

use std::sync::Arc;

use soloist::{
    core::{
        command::{Report, ReportBody, Resume, Start, Suspend},
        policy::RetryPolicy,
        status::{Failure, Spec, Status, View},
        time::{Span, Timestamp},
    },
    engine::{
        watch::{Watch, Wish},
        workers::Mail,
    },
};

use crate::{
    ledger::check_order,
    stage::{LEASE, MOMENT, Stage, just_before, key, settle, spec},
};

/// Sets the wall clock ahead and back by hours; nothing may come of it.
async fn jump(stage: &Stage) {
    for hours in [5, -12, 30, -23, 7, -7] {
        stage.clock.set_wall_by(hours);
        settle().await;
    }
    // They add up to nothing; so that the wall stays somewhere else:
    stage.clock.set_wall_by(-3);
    settle().await;
}

async fn view(stage: &Stage) -> View {
    stage.engine.status(&key("a"), None, false).await.expect("it is there").status.view
}

/// Waits for the next transition.
async fn seen(watch: &mut Watch, status: Status) -> View {
    let item = watch.next().await.expect("a watch").expect("a transition");
    assert_eq!(item.transition.view.execution.status, status);
    item.transition.view.clone()
}

async fn watched(stage: &Stage) -> Watch {
    let wish = Wish { wait_for_start: true, ..Wish::default() };
    stage.engine.watch(key("a"), wish).await.expect("a watch")
}

fn declared(view: &View) -> String {
    view.execution.failure.as_deref().map(|failure| failure.error_type.clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn leases_and_backoffs_do_not_notice_the_wall_clock() {
    let stage = Stage::new();
    let worker = stage.worker("w").await;
    let session = &worker.session;
    let mut watch = watched(&stage).await;
    let wait = Span::from_secs(20);
    let backoff = RetryPolicy { max_attempts: 3, initial_backoff: wait, max_backoff: wait, multiplier: 1.0 };
    let start = Start { spec: Arc::new(Spec { retry: backoff, ..spec() }), ..stage.start() };
    stage.engine.start(&key("a"), start).await.expect("started");
    seen(&mut watch, Status::Pending).await;
    seen(&mut watch, Status::Running).await;
    let Mail::Run(_, run) = session.next_mail().await else { panic!("no run") };
    let accept = Report { proof: run.proof, body: ReportBody::Accept };
    stage.engine.report(key("a"), accept).await.expect("accepted");

    // A failed attempt: the backoff.
    stage.clock.pass(MOMENT);
    let failure = Failure { non_retriable: false, ..Failure::declared("Oops", "once".into()) };
    let failed = Report { proof: run.proof, body: ReportBody::Failed { failure } };
    stage.engine.report(key("a"), failed).await.expect("accepted");
    let before = view(&stage).await;
    jump(&stage).await;
    stage.clock.pass(just_before(wait));
    jump(&stage).await;
    assert_eq!(view(&stage).await.revision, before.revision, "the next attempt came early");
    stage.clock.pass(MOMENT);
    assert_eq!(seen(&mut watch, Status::Running).await.execution.attempt, 2);
    let Mail::Run(_, run) = session.next_mail().await else { panic!("no run") };
    let accept = Report { proof: run.proof, body: ReportBody::Accept };
    stage.engine.report(key("a"), accept).await.expect("accepted");

    // A worker that falls silent: the lease.
    let before = view(&stage).await;
    jump(&stage).await;
    stage.clock.pass(just_before(LEASE));
    jump(&stage).await;
    let now = view(&stage).await;
    assert_eq!((now.revision, now.worker), (before.revision, before.worker), "the lease ended early");
    stage.engine.renew(&key("a"), run.proof).expect("it still stands");
    stage.clock.pass(just_before(LEASE));
    jump(&stage).await;
    assert_eq!(view(&stage).await.revision, before.revision, "the lease ended early");
    stage.clock.pass(MOMENT);
    stage.engine.renew(&key("a"), run.proof).expect_err("it has ended, whether anybody has noticed or not");
    while view(&stage).await.worker.is_some() {
        settle().await;
    }
    check_order(&key("a"), &stage.transitions(&key("a")).await);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn deadlines_do_not_notice_the_wall_clock() {
    let hour = Span::from_secs(3600);
    let stage = Stage::new();
    let mut watch = watched(&stage).await;

    // Nobody takes it: the start deadline.
    let start = Start { spec: Arc::new(Spec { start_deadline: Some(hour), ..spec() }), ..stage.start() };
    stage.engine.start(&key("a"), start).await.expect("started");
    let begun = seen(&mut watch, Status::Pending).await;
    jump(&stage).await;
    stage.clock.pass(just_before(hour));
    jump(&stage).await;
    assert_eq!(view(&stage).await.revision, begun.revision, "the start deadline came early");
    stage.clock.pass(MOMENT);
    assert_eq!(declared(&seen(&mut watch, Status::Failed).await), "StartDeadlineExceeded");

    // Its worker takes its time: the run timeout.
    let worker = stage.worker("w").await;
    let session = &worker.session;
    let start = Start { spec: Arc::new(Spec { run_timeout: Some(hour), ..spec() }), ..stage.start() };
    stage.engine.start(&key("a"), start).await.expect("started");
    seen(&mut watch, Status::Pending).await;
    let running = seen(&mut watch, Status::Running).await;
    let Mail::Run(_, run) = session.next_mail().await else { panic!("no run") };
    let (lease, mut rest) = (Span::from_micros(LEASE.as_micros() / 2), just_before(hour).as_micros());
    while rest > 0 {
        stage.engine.renew(&key("a"), run.proof).expect("it is heard of");
        stage.clock.pass(Span::from_micros(rest.min(lease.as_micros())));
        rest -= rest.min(lease.as_micros());
    }
    stage.engine.renew(&key("a"), run.proof).expect("it is heard of");
    jump(&stage).await;
    assert_eq!(view(&stage).await.revision, running.revision, "the run timeout came early");
    stage.clock.pass(MOMENT);
    assert_eq!(declared(&seen(&mut watch, Status::Failed).await), "RunTimeoutExceeded");
    check_order(&key("a"), &stage.transitions(&key("a")).await);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_deadline_has_after_a_suspension_what_it_had_before() {
    let hour = Span::from_secs(3600);
    let stage = Stage::new();
    let mut watch = watched(&stage).await;
    let start = Start { spec: Arc::new(Spec { start_deadline: Some(hour), ..spec() }), ..stage.start() };
    stage.engine.start(&key("a"), start).await.expect("started");
    seen(&mut watch, Status::Pending).await;
    let third = Span::from_secs(1200);
    for _ in 0..2 {
        stage.clock.pass(third);
        let suspend = Suspend { reason: "hold on".into(), expected_execution: None };
        stage.engine.suspend(&key("a"), suspend).await.expect("it is live");
        seen(&mut watch, Status::Suspended).await;
        jump(&stage).await;
        stage.clock.pass(Span::from_secs(100 * 3600));
        settle().await;
        assert_eq!(view(&stage).await.execution.status, Status::Suspended, "nothing is due");
        let resume = Resume { reason: "go on".into(), expected_execution: None };
        stage.engine.resume(&key("a"), resume).await.expect("it is live");
        seen(&mut watch, Status::Pending).await;
    }
    stage.clock.pass(just_before(third));
    settle().await;
    assert_eq!(view(&stage).await.execution.status, Status::Pending, "the start deadline came early");
    stage.clock.pass(MOMENT);
    settle().await;
    assert_eq!(declared(&view(&stage).await), "StartDeadlineExceeded");
    stage.end().await;
}

/// A start was scheduled, then somebody set the wall clock back and the server was started anew: what was left was
/// measured from the old wall, and the run was handed out hours before its time.
#[tokio::test(start_paused = true)]
async fn a_fresh_server_keeps_a_scheduled_start_to_its_time_on_the_wall() {
    let hour = Span::from_secs(3600);
    let stage = Stage::new();
    let at = stage.engine.now() + hour;
    let start = Start { spec: Arc::new(Spec { start_at: Some(at), ..spec() }), ..stage.start() };
    stage.engine.start(&key("a"), start).await.expect("started");
    stage.clock.set_wall_by(-3);
    let stage = stage.crash().await;
    let worker = stage.worker("w").await;
    stage.clock.pass(just_before(Span::from_secs(4 * 3600)));
    settle().await;
    assert_eq!(view(&stage).await.execution.status, Status::Pending, "it was handed out early");
    stage.clock.pass(MOMENT);
    let Mail::Run(_, run) = worker.session.next_mail().await else { panic!("no run") };
    assert_eq!(run.attempt, 1);
    assert!(view(&stage).await.execution.started_at.is_some_and(|started| started >= at));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn timestamps_never_go_back() {
    let stage = Stage::new();
    let worker = stage.worker("w").await;
    let session = &worker.session;
    let mut last = Timestamp::from_micros(0);
    for round in 0..10 {
        stage.clock.set_wall_by(if round % 2 == 0 { 9 } else { -11 });
        stage.clock.pass(MOMENT);
        stage.engine.start(&key("a"), stage.start()).await.expect("started");
        let Mail::Run(_, run) = session.next_mail().await else { panic!("no run") };
        stage.clock.set_wall_by(-1);
        let body = ReportBody::Progress { custom_status: Some("1".into()) };
        stage.engine.report(key("a"), Report { proof: run.proof, body }).await.expect("accepted");
        stage.clock.set_wall_by(-1);
        let body = ReportBody::Completed { output: None };
        stage.engine.report(key("a"), Report { proof: run.proof, body }).await.expect("accepted");
        let execution = view(&stage).await.execution;
        let started = execution.started_at.expect("it has run");
        let times = [last, execution.created_at, started, execution.last_updated_at];
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        assert_eq!(execution.completed_at, Some(execution.last_updated_at));
        last = execution.last_updated_at;
    }
    let transitions = stage.transitions(&key("a")).await;
    check_order(&key("a"), &transitions);
    assert_eq!(transitions.len(), 40);
    stage.end().await;
}
