//! Durable before visible: while a commit stands at the store's gate, nobody hears of it.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::FutureExt;
use soloist::{
    core::{
        command::{RaiseEvent, Report, ReportBody, Signal, Start, Target, Terminate},
        ids::InstanceKey,
        partitioning::PartitionId,
        policy::ConflictPolicy,
        status::Status,
    },
    engine::{
        Refusal,
        watch::Wish,
        workers::{Mail, Session},
    },
};

use crate::stage::{FUNCTION, Stage, key, name, request};

/// Somebody who waits for an answer, and who it is.
type Asker = (&'static str, Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>);

/// Everybody who asks about this instance in a different way; none of them may be answered now.
fn askers(stage: &Stage, key: &InstanceKey) -> Vec<Asker> {
    let ask = |who, asker: Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>| (who, asker);
    let start = |policy, id: Option<&str>| Start { conflict_policy: policy, request: id.map(request), ..stage.start() };
    let starts = [
        ("a rejected start", start(ConflictPolicy::Fail, None)),
        ("a joining start", start(ConflictPolicy::UseExisting, None)),
        ("a start that is remembered", start(ConflictPolicy::UseExisting, Some("once"))),
        ("the same start again", start(ConflictPolicy::UseExisting, Some("once"))),
    ];
    let mut askers: Vec<Asker> = starts
        .into_iter()
        .map(|(who, start)| {
            let (engine, key) = (stage.engine.clone(), key.clone());
            let asker = async move { engine.start(&key, start).await.map(|started| format!("{started:?}")) };
            ask(who, asker.boxed())
        })
        .collect();
    let (engine, of) = (stage.engine.clone(), key.clone());
    askers.push(ask(
        "a read",
        async move { engine.status(&of, None, false).await.map(|found| format!("{found:?}")) }.boxed(),
    ));
    let (engine, of) = (stage.engine.clone(), key.clone());
    let read = async move { engine.status(&of, None, true).await.map(|found| format!("{found:?}")) };
    askers.push(ask("a read of payloads", read.boxed()));
    let (engine, of) = (stage.engine.clone(), key.clone());
    let raise = RaiseEvent { signal: Signal { name: name("go"), input: None }, expected_execution: None };
    let raise = async move { engine.raise_event(&of, raise).await.map(|found| format!("{found:?}")) };
    askers.push(ask("an event", raise.boxed()));
    let (engine, neighbour) = (stage.engine.clone(), absent_neighbour(key));
    let absent = async move { engine.status(&neighbour, None, false).await.map(|found| format!("{found:?}")) };
    askers.push(ask("a read of what was never there", absent.boxed()));
    let (engine, of) = (stage.engine.clone(), key.clone());
    let watch = async move {
        let mut watch = engine.watch(of, Wish::default()).await?;
        watch.next().await.map(|item| format!("{item:?}"))
    };
    askers.push(ask("a new watcher", watch.boxed()));
    askers
}

/// An id of the same partition that nobody has used: what is said of its absence speaks of the whole partition.
fn absent_neighbour(of: &InstanceKey) -> InstanceKey {
    let mut numbers = (0..).map(|n| key(&format!("absent {n}")));
    numbers.find(|key| PartitionId::of(key) == PartitionId::of(of)).expect("some number falls there")
}

/// Lets everybody ask, and waits until nobody can get any further before the gate opens.
async fn none_is_answered(stage: &Stage, askers: &mut [Asker], session: &Session) {
    for (who, asker) in askers.iter_mut() {
        let answer = asker.now_or_never();
        assert!(answer.is_none(), "{who} was answered before the commit: {answer:?}");
    }
    let memory = stage.memory.clone();
    tokio::task::spawn_blocking(move || memory.wait_held(1)).await.expect("a commit comes to the gate");
    // The runtime's time leaps when nothing else can happen: an hour is for ever.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    for (who, asker) in askers {
        let answer = asker.now_or_never();
        assert!(answer.is_none(), "{who} was answered before the commit: {answer:?}");
    }
    let mail = session.next_mail().now_or_never();
    assert!(mail.is_none(), "a worker was told before the commit: {mail:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_what_is_not_durable() {
    let stage = Stage::new();
    let worker = stage.worker("w").await;
    let session = &worker.session;
    let key = key("a");
    let wish = Wish { wait_for_start: true, ..Wish::default() };
    let mut watch = stage.engine.watch(key.clone(), wish).await.expect("a watch");

    // A start, and everybody who finds it.
    stage.memory.hold();
    let (engine, of, start) = (stage.engine.clone(), key.clone(), stage.start());
    let first = async move { engine.start(&of, start).await.map(|started| format!("{started:?}")) }.boxed();
    let mut waiting: Vec<Asker> = vec![("the start", first)];
    none_is_answered(&stage, &mut waiting, session).await;
    assert!(watch.next().now_or_never().is_none(), "a watcher saw what is not durable");
    let mut later = askers(&stage, &key);
    none_is_answered(&stage, &mut later, session).await;
    assert!(watch.next().now_or_never().is_none(), "a watcher saw what is not durable");
    stage.memory.release();
    for (who, asker) in waiting.into_iter().chain(later) {
        let answer = asker.await;
        let refused = matches!(&answer, Err(Refusal::Rejected(_)));
        let refusals = ["a rejected start", "a read of what was never there"];
        assert_eq!(refused, refusals.contains(&who), "{who}: {answer:?}");
    }
    let Mail::Run(_, run) = session.next_mail().await else { panic!("no run") };
    assert_eq!(run.spec.function, name(FUNCTION));
    for status in [Status::Pending, Status::Running] {
        assert_eq!(
            watch.next().await.expect("a watch").expect("a transition").transition.view.execution.status,
            status
        );
    }
    while let Some(mail) = session.next_mail().now_or_never() {
        assert!(matches!(mail, Mail::Events(_)), "{mail:?}");
    }

    // An end, and the start that follows it.
    stage.memory.hold();
    let body = ReportBody::Completed { output: Some("\"out\"".into()) };
    let report = stage.engine.report(key.clone(), Report { proof: run.proof, body });
    let mut waiting: Vec<Asker> = vec![("the report", report.map(|done| done.map(|()| String::new())).boxed())];
    let (engine, of, start) = (stage.engine.clone(), key.clone(), stage.start());
    let second = async move { engine.start(&of, start).await.map(|started| format!("{started:?}")) }.boxed();
    waiting.push(("the start after the end", second));
    none_is_answered(&stage, &mut waiting, session).await;
    assert!(watch.next().now_or_never().is_none(), "a watcher saw what is not durable");
    stage.memory.release();
    for (who, asker) in waiting {
        asker.await.unwrap_or_else(|error| panic!("{who}: {error}"));
    }
    let Mail::Run(_, next) = session.next_mail().await else { panic!("no run") };
    assert!(next.proof.token > run.proof.token);
    for status in [Status::Completed, Status::Pending, Status::Running] {
        assert_eq!(
            watch.next().await.expect("a watch").expect("a transition").transition.view.execution.status,
            status
        );
    }

    // An end from outside: the worker is not told to stop before it is durable.
    stage.memory.hold();
    let terminate = Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
    let (engine, of) = (stage.engine.clone(), key.clone());
    let ended = async move { engine.terminate(&of, terminate).await.map(|found| format!("{found:?}")) }.boxed();
    let mut waiting: Vec<Asker> = vec![("the end", ended)];
    none_is_answered(&stage, &mut waiting, session).await;
    let renewed = stage.engine.renew(&key, next.proof);
    assert!(renewed.is_err(), "what was cancelled is not renewed, though nobody says so yet: {renewed:?}");
    assert!(watch.next().now_or_never().is_none(), "a watcher saw what is not durable");
    stage.memory.release();
    for (who, asker) in waiting {
        asker.await.unwrap_or_else(|error| panic!("{who}: {error}"));
    }
    assert!(matches!(session.next_mail().await, Mail::Cancel(..)));
    assert_eq!(
        watch.next().await.expect("a watch").expect("a transition").transition.view.execution.status,
        Status::Terminated
    );
    stage.end().await;
}
