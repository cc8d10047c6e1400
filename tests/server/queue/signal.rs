//! Start or signal at the moment of an end: what is sent is an event of the live execution or the input of the next
//! one, never both and never neither.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use soloist::proto::v1::{
    self, ConflictPolicy, SignalOnConflict, StartOutcome, work_request::Message as Say, work_response::Message as Heard,
};
use tonic::Code;

use super::{asking, has_ended, told};
use crate::support::{Client, Crowd, RawWorker, Server, seed::Seed, start, status, until};

const SENDERS: usize = 6;
const ROUNDS: usize = 200;
/// The event after which a run ends in any case.
const LAST: &str = "last";

/// What came to the worker.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Came>>);

#[derive(Default)]
struct Came {
    /// By execution: what it was started with.
    inputs: BTreeMap<String, String>,
    /// By execution: the events that it was given.
    events: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    fn came(&self) -> MutexGuard<'_, Came> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Ends each run at once, after an event or two, or after the last one.
async fn work(mut worker: RawWorker, seen: Seen, mut seed: Seed) {
    // By the grant's secret: the execution, and how many events it still waits for.
    let mut runs: HashMap<Vec<u8>, (String, u64)> = HashMap::new();
    loop {
        let (claim, is_last) = match worker.try_hear().await {
            Ok(Some(Heard::Run(run))) => {
                let claim = run.claim.expect("a claim");
                let before = seen.came().inputs.insert(run.execution_id.clone(), run.input.unwrap_or_default());
                assert_eq!(before, None, "nothing is lost here: no run is given twice");
                runs.insert(claim.claim_id.clone(), (run.execution_id, seed.below(4)));
                worker.say(Say::Accept(v1::Accept { claim: Some(claim.clone()) })).await;
                (claim, false)
            }
            Ok(Some(Heard::Event(event))) => {
                let claim = event.claim.expect("a claim");
                // On its way when the run was reported to have ended.
                let Some((execution, left)) = runs.get_mut(&claim.claim_id) else { continue };
                *left = left.saturating_sub(1);
                seen.came().events.entry(execution.clone()).or_default().insert(event.input.unwrap_or_default());
                (claim, event.name == LAST)
            }
            Ok(Some(Heard::Accepted(_))) => continue,
            Ok(Some(Heard::Drain(_)) | None) | Err(_) => return,
            Ok(Some(other)) => panic!("not expected: {other:?}"),
        };
        if is_last || runs.get(&claim.claim_id).is_some_and(|(_, left)| *left == 0) {
            runs.remove(&claim.claim_id);
            worker.say(Say::Completed(v1::Completed { claim: Some(claim), output: None })).await;
        }
    }
}

/// What is live ends, once it was given all that was sent before; answers when nothing is live.
async fn end(client: &mut Client, id: &str) {
    let last = v1::RaiseEventRequest { instance_id: id.into(), name: LAST.into(), ..Default::default() };
    if let Err(status) = client.raise_event(last).await {
        assert_eq!(status.code(), Code::FailedPrecondition, "it has ended by itself: {status:?}");
    }
    until(client, id, has_ended).await;
}

/// By execution: the revision with which it ended.
async fn ends(client: &mut Client, id: &str) -> BTreeMap<String, u64> {
    let request = v1::WatchStatusRequest {
        instance_id: id.into(),
        from_revision: Some(0),
        until_terminal: false,
        ..Default::default()
    };
    let newest = status(client, id).await.revision;
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    let mut ends = BTreeMap::new();
    loop {
        let item = watch.message().await.expect("an item").expect("an item");
        assert!(!item.resync, "all are kept");
        let status = item.status.expect("a status");
        if has_ended(&status) {
            ends.insert(status.execution_id, status.revision);
        }
        // The end of a run is the newest change but for those of the queue and the memory, of which there is none.
        if status.revision == newest {
            return ends;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_delivered_or_starts_the_next_one() {
    let mut seed = Seed::print("what_is_sent_is_delivered_or_starts_the_next_one");
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, SENDERS, SENDERS).await;
    let seen = Seen::default();
    let worker = RawWorker::join(&server, "w", &["f"], 9).await;
    let working = tokio::spawn(work(worker, seen.clone(), seed.fork()));
    let mut joined_and_started = (0, 0);
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        told(&mut client, start("f", &id)).await;
        let answers = crowd.at_once(|sender, mut client| {
            let payload = format!("{round}: {sender}");
            let signal = SignalOnConflict { name: "e".into(), input: Some(payload.clone()) };
            let request = asking(ConflictPolicy::UseExisting, &id, &payload);
            let request = v1::StartSingletonRequest { signal_on_conflict: Some(signal), ..request };
            async move { (payload, told(&mut client, request).await) }
        });
        let answers = answers.await;
        end(&mut client, &id).await;
        let ends = ends(&mut client, &id).await;
        let latest = status(&mut client, &id).await.execution_id;
        let came = seen.came();
        for (payload, answer) in answers {
            let execution = &answer.execution_id;
            let started: Vec<_> = came.inputs.iter().filter(|(_, input)| **input == payload).collect();
            let delivered: Vec<_> = came.events.iter().filter(|(_, events)| events.contains(&payload)).collect();
            match answer.outcome() {
                StartOutcome::Started => {
                    assert_eq!(started, [(execution, &payload)], "{id}: it begins with what was sent");
                    assert_eq!(delivered, [], "{id}: and is not told it again");
                    joined_and_started.1 += 1;
                }
                StartOutcome::Joined => {
                    assert_eq!(started, [], "{id}: {payload} was delivered and started as well");
                    assert!(delivered.iter().all(|(to, _)| *to == execution), "{id}: {payload} went astray");
                    // An event belongs to the execution that was live; that may end without having looked at it.
                    let raised_at = answer.status.as_ref().map(|status| status.revision).expect("a status");
                    assert!(raised_at < ends[execution], "{id}: {payload} was raised on what had ended");
                    let is_last = *execution == latest && came.events.get(execution).is_some_and(|e| e.contains(""));
                    assert!(!is_last || delivered.len() == 1, "{id}: {payload} came to nobody");
                    joined_and_started.0 += 1;
                }
                other => panic!("{id}: {payload}: {other:?}"),
            }
        }
    }
    let (joined, started) = joined_and_started;
    println!("{joined} joined, {started} started");
    assert!(joined > 0 && started > 0, "the end was met from both sides");
    server.stop().await;
    working.await.expect("the worker saw nothing twice");
}

#[tokio::test]
async fn a_retried_signal_is_raised_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    let signal = SignalOnConflict { name: "e".into(), input: Some("once".into()) };
    let request = v1::StartSingletonRequest {
        request_id: "r".into(),
        signal_on_conflict: Some(signal),
        ..asking(ConflictPolicy::UseExisting, "a", "in")
    };
    assert_eq!(told(&mut client, request.clone()).await.outcome(), StartOutcome::Joined);
    let again = told(&mut client, request.clone()).await;
    assert_eq!((again.outcome(), again.first_outcome()), (StartOutcome::Deduplicated, StartOutcome::Joined));
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.run().await;
    worker.say(Say::Accept(v1::Accept { claim: run.claim.clone() })).await;
    // The answer and the event come in either order.
    let heard = [worker.hear().await, worker.hear().await];
    let mut events = heard.iter().filter_map(|heard| match heard {
        Heard::Event(event) => Some((event.sequence, event.input.as_deref())),
        _ => None,
    });
    assert_eq!(events.next(), Some((1, Some("once"))), "{heard:?}");
    assert!(events.next().is_none() && heard.iter().any(|heard| matches!(heard, Heard::Accepted(_))), "{heard:?}");
    worker.complete(&run, "").await;
    // Nor does it begin anything, or go to the next one, once what it joined has ended.
    assert_eq!(told(&mut client, request).await.outcome(), StartOutcome::Deduplicated);
    assert!(has_ended(&status(&mut client, "a").await));
    let last = v1::RaiseEventRequest { instance_id: "a".into(), name: LAST.into(), ..Default::default() };
    told(&mut client, start("f", "a")).await;
    assert_eq!(client.raise_event(last).await.expect("it is live").into_inner().sequence, 2);
}
