//! `kill -9` while many wait: whoever was told that it waits runs, once, and in its turn.

use std::collections::{BTreeMap, BTreeSet};

use soloist::proto::v1::{
    self, ConflictPolicy, RuntimeStatus, StartOutcome, work_request::Message as Say, work_response::Message as Heard,
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{asking, has_ended};
use crate::support::{Client, RawWorker, Server, seed::Seed, until};

const CALLERS: usize = 8;
/// How often each of them asks while a server lives.
const ASKS: usize = 12;
const KILLS: usize = 10;
/// Ends that may have to be reported once more.
const HELD: usize = 4;
const ID: &str = "a";

/// Starts whose callers were answered, and starts whose callers were not.
#[derive(Default)]
struct Asked {
    answered: Vec<(v1::StartSingletonRequest, v1::StartSingletonResponse)>,
    lost: Vec<v1::StartSingletonRequest>,
}

/// Asks until there is no answer, or often enough.
async fn ask(mut client: Client, caller: String, mut seed: Seed) -> Asked {
    let mut asked = Asked::default();
    for n in 0..ASKS {
        let policy = if seed.below(4) == 0 { ConflictPolicy::Coalesce } else { ConflictPolicy::Queue };
        let request_id = format!("{caller} {n}");
        let retry = v1::RetryPolicy {
            max_attempts: 1_000,
            initial_backoff: Some(prost_types::Duration::default()),
            ..Default::default()
        };
        let request = v1::StartSingletonRequest {
            request_id: request_id.clone(),
            max_queue: 1_000,
            retry: Some(retry),
            ..asking(policy, ID, &request_id)
        };
        match client.start_singleton(request.clone()).await {
            Ok(answer) => asked.answered.push((request, answer.into_inner())),
            Err(status) if status.code() == Code::ResourceExhausted => {}
            Err(_) => {
                asked.lost.push(request);
                break;
            }
        }
    }
    asked
}

/// A worker over many lives of the server.
#[derive(Default)]
struct Labour {
    /// The executions in the order in which they came first, each with its input.
    ran: Vec<(String, String)>,
    /// Runs whose end is not known to be durable.
    held: Vec<v1::Claim>,
}

impl Labour {
    /// Completes whatever comes, until the server is gone. Kills it itself at the run with this number.
    async fn work(mut self, server: &Server, last_run: Option<u64>) -> Labour {
        let Ok(mut worker) = RawWorker::try_come_back(server, "w", &["f"], 1, self.held.clone()).await else {
            return self;
        };
        let completed = |claim: &v1::Claim| Say::Completed(v1::Completed { claim: Some(claim.clone()), output: None });
        for claim in &self.held {
            worker.try_say(completed(claim)).await;
        }
        let mut runs = 0;
        while let Ok(Some(heard)) = worker.try_hear().await {
            match heard {
                Heard::Run(run) => {
                    if last_run == Some(runs) {
                        server.signal("KILL");
                    }
                    runs += 1;
                    let came = (run.execution_id, run.input.unwrap_or_default());
                    match self.ran.iter().find(|(execution, _)| *execution == came.0) {
                        // It had come before the server died, and its end had not become durable.
                        Some(before) => assert_eq!(*before, came),
                        None => self.ran.push(came),
                    }
                    let claim = run.claim.expect("a claim");
                    // Nobody may be there to hear it: then it is said again to the next server.
                    worker.try_say(Say::Accept(v1::Accept { claim: Some(claim.clone()) })).await;
                    worker.try_say(completed(&claim)).await;
                    self.held.push(claim);
                    self.held.drain(..self.held.len().saturating_sub(HELD));
                }
                // What was reported before may be answered either way.
                Heard::Accepted(_) | Heard::Cancel(_) | Heard::HeartbeatAcked(_) => {}
                other => panic!("not expected: {other:?}"),
            }
        }
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_told_that_it_waits_runs_once_and_in_its_turn() {
    let mut seed = Seed::print("whoever_was_told_that_it_waits_runs_once_and_in_its_turn");
    let folder = tempfile::tempdir().expect("a folder");
    let mut answered = Vec::new();
    let mut lost: Vec<v1::StartSingletonRequest> = Vec::new();
    let mut retried = Vec::new();
    let mut labour = Labour::default();
    for round in 0..=KILLS {
        let server = Server::start(folder.path());
        let mut client = server.client().await;
        for request in lost.drain(..) {
            let answer = client.start_singleton(request.clone()).await.expect("there is room").into_inner();
            if answer.outcome() == StartOutcome::Deduplicated {
                retried.push((request, answer));
            } else {
                answered.push((request, answer));
            }
        }
        if round == KILLS {
            let drained = async {
                let last = until(&mut client, ID, |status| has_ended(status) && status.queued_starts == 0).await;
                server.signal("KILL");
                last
            };
            let (last, done) = tokio::join!(drained, labour.work(&server, None));
            assert_eq!(last.runtime_status(), RuntimeStatus::Completed);
            labour = done;
            break;
        }
        let mut calling = JoinSet::new();
        for caller in 0..CALLERS {
            calling.spawn(ask(server.client().await, format!("{round} {caller}"), seed.fork()));
        }
        let last_run = seed.below(30);
        labour = labour.work(&server, Some(last_run)).await;
        while let Some(asked) = calling.join_next().await {
            let asked = asked.expect("a caller does not panic");
            answered.extend(asked.answered);
            lost.extend(asked.lost);
        }
    }

    // In the order in which they were accepted: what each execution was to run with, the newest coalesced one last.
    let revision = |answer: &v1::StartSingletonResponse| answer.status.as_ref().map(|status| status.revision);
    answered.sort_by_key(|(_, answer)| revision(answer));
    println!("{} answered, {} found accepted, {} ran", answered.len(), retried.len(), labour.ran.len());
    let mut turns = Vec::new();
    let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (request, answer) in &answered {
        if answer.outcome() != StartOutcome::Coalesced {
            turns.push(answer.execution_id.clone());
        }
        inputs.entry(answer.execution_id.clone()).or_default().push(request.request_id.clone());
    }
    // Whose answer was lost may have been the newest of those that coalesced, or the first.
    let mut unsure: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (request, answer) in &retried {
        unsure.entry(answer.execution_id.clone()).or_default().push(request.request_id.clone());
    }
    for (execution, input) in &labour.ran {
        let newest = inputs.get(execution).and_then(|inputs| inputs.last());
        let sure = newest == Some(input);
        let maybe = unsure.get(execution).is_some_and(|inputs| inputs.contains(input));
        assert!(sure || maybe, "{execution} ran with {input}, not {newest:?}");
    }
    let ran: Vec<&String> = labour.ran.iter().map(|(execution, _)| execution).collect();
    let known: Vec<&String> = ran.iter().copied().filter(|execution| turns.contains(execution)).collect();
    assert!(known.iter().copied().eq(&turns), "each in its turn");
    let all: BTreeSet<&String> = inputs.keys().chain(unsure.keys()).collect();
    assert_eq!(ran.into_iter().collect::<BTreeSet<_>>(), all, "those, and no others");
}
