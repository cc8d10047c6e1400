//! Starts that wait, coalesce or signal: who is let in, who runs when, and who never does.

mod coalesce;
mod crash;
mod endings;
mod racers;
mod requests;
mod signal;
mod withdrawn;

use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::{Status, Streaming};

use crate::support::{Client, process::PATIENCE, start};

/// A start of `f` under a policy, with an input of its own.
fn asking(policy: ConflictPolicy, id: &str, input: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { conflict_policy: policy.into(), input: Some(input.into()), ..start("f", id) }
}

async fn told(client: &mut Client, request: v1::StartSingletonRequest) -> v1::StartSingletonResponse {
    client.start_singleton(request).await.expect("accepted").into_inner()
}

/// Lets a start wait behind what is live; answers its execution.
async fn queued(client: &mut Client, id: &str, input: &str) -> String {
    let answer = told(client, asking(ConflictPolicy::Queue, id, input)).await;
    assert_eq!(answer.outcome(), StartOutcome::Queued);
    answer.execution_id
}

/// What is known of one execution, with payloads.
async fn of(client: &mut Client, id: &str, execution: &str) -> Result<v1::InstanceStatus, Status> {
    let request =
        v1::GetStatusRequest { instance_id: id.into(), execution_id: execution.into(), include_payloads: true };
    client.get_status(request).await.map(|found| *found.into_inner().status.expect("a status"))
}

/// The executions in the queue, the next one first.
async fn waiting(client: &mut Client, id: &str) -> Vec<String> {
    let request = v1::GetStatusRequest { instance_id: id.into(), ..Default::default() };
    let found = client.get_status(request).await.expect("it is there").into_inner();
    found.queue.into_iter().map(|start| start.execution_id).collect()
}

async fn withdraw(client: &mut Client, id: &str, execution: &str) -> Result<v1::InstanceStatus, Status> {
    let request = v1::TerminateInstanceRequest {
        instance_id: id.into(),
        reason: "no longer wanted".into(),
        execution_id: execution.into(),
        ..Default::default()
    };
    client.terminate_instance(request).await.map(|ended| *ended.into_inner().status.expect("a status"))
}

/// Watches one execution.
async fn watch(client: &mut Client, id: &str, execution: &str) -> Streaming<v1::WatchStatusResponse> {
    let request =
        v1::WatchStatusRequest { instance_id: id.into(), execution_id: execution.into(), ..Default::default() };
    client.watch_status(request).await.expect("a watch").into_inner()
}

/// The next status that a watcher is shown; nothing at the end of the stream.
async fn next(watch: &mut Streaming<v1::WatchStatusResponse>) -> Option<v1::InstanceStatus> {
    loop {
        let item = tokio::time::timeout(PATIENCE, watch.message()).await.expect("something comes");
        match item.expect("the watch goes on") {
            Some(v1::WatchStatusResponse { status: Some(status), .. }) => return Some(*status),
            Some(_) => {}
            None => return None,
        }
    }
}

/// Everything that a watcher is shown until its stream ends.
async fn to_the_end(mut watch: Streaming<v1::WatchStatusResponse>) -> Vec<v1::InstanceStatus> {
    let mut shown = Vec::new();
    while let Some(status) = next(&mut watch).await {
        shown.push(status);
    }
    shown
}

fn statuses(shown: &[v1::InstanceStatus]) -> Vec<RuntimeStatus> {
    shown.iter().map(v1::InstanceStatus::runtime_status).collect()
}

fn has_ended(status: &v1::InstanceStatus) -> bool {
    matches!(status.runtime_status(), RuntimeStatus::Completed | RuntimeStatus::Failed | RuntimeStatus::Terminated)
}
