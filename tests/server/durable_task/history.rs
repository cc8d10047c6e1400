//! StreamInstanceHistory, of what native workers run too.

use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus, history_event::EventType},
    v1,
};
use tonic::{Code, Status};

use super::{Sidecar, create, raise, resume, sidecar, state, suspend, terminate};
use crate::support::{RawWorker, Server, start};

async fn chunks(sidecar: &mut Sidecar, id: &str, execution: Option<String>) -> Result<Vec<pb::HistoryChunk>, Status> {
    let request =
        pb::StreamInstanceHistoryRequest { instance_id: id.into(), execution_id: execution, ..Default::default() };
    let mut stream = sidecar.stream_instance_history(request).await?.into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

async fn events(sidecar: &mut Sidecar, id: &str) -> Vec<EventType> {
    let chunks = chunks(sidecar, id, None).await.expect("it is there");
    let events: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.events).collect();
    assert!(events.iter().all(|event| event.timestamp.is_some()));
    events.into_iter().map(|event| event.event_type.expect("it says what happened")).collect()
}

#[tokio::test]
async fn from_the_beginning_to_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    raise(&mut sidecar, "i", "Go").await.expect("it is live");
    suspend(&mut sidecar, "i").await.expect("it is live");
    resume(&mut sidecar, "i").await.expect("it is live");
    terminate(&mut sidecar, "i", Some("bye")).await;
    let told = events(&mut sidecar, "i").await;
    let [
        EventType::ExecutionStarted(started),
        EventType::EventRaised(raised),
        EventType::ExecutionSuspended(suspended),
        EventType::ExecutionResumed(resumed),
        EventType::ExecutionTerminated(terminated),
        EventType::ExecutionCompleted(completed),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    let instance = started.orchestration_instance.clone().expect("whose history it is");
    let seen = state(&mut sidecar, "i").await;
    assert_eq!(
        (started.name.as_str(), instance.instance_id.as_str(), instance.execution_id),
        ("f", "i", seen.execution_id)
    );
    assert_eq!((raised.name.as_str(), &raised.input, &started.input), ("Go", &None, &None));
    assert_eq!((suspended.input.as_deref(), resumed.input.as_deref()), (None, Some("go on")));
    assert_eq!((terminated.input.as_deref(), completed.result.as_deref()), (Some("bye"), Some("bye")));

    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for (id, fails) in [("completes", false), ("fails", true)] {
        let request = v1::StartSingletonRequest { input: Some("in".into()), ..start("f", id) };
        client.start_singleton(request).await.expect("it is free");
        let run = worker.take().await;
        match fails {
            true => worker.fail(&run, "no", true).await,
            false => worker.complete(&run, "out").await,
        };
        let told = events(&mut sidecar, id).await;
        let [EventType::ExecutionStarted(started), EventType::ExecutionCompleted(ended)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(started.input.as_deref(), Some("in"));
        let message = ended.failure_details.as_ref().map(|why| why.error_message.as_str());
        let wanted = match fails {
            true => (OrchestrationStatus::Failed, None, Some("no")),
            false => (OrchestrationStatus::Completed, Some("out"), None),
        };
        assert_eq!((ended.orchestration_status(), ended.result.as_deref(), message), wanted);
    }
}

#[tokio::test]
async fn it_comes_in_chunks_and_only_of_the_execution_that_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    for _ in 0..150 {
        raise(&mut sidecar, "i", "Go").await.expect("it is live");
    }
    let execution = state(&mut sidecar, "i").await.execution_id;
    for asked in [None, Some(String::new()), execution] {
        let sizes: Vec<usize> = chunks(&mut sidecar, "i", asked)
            .await
            .expect("it is there")
            .iter()
            .map(|chunk| chunk.events.len())
            .collect();
        assert_eq!(sizes, [100, 51]);
    }
    let others = [("i", Some("0".repeat(32))), ("i", Some("another".into())), ("never", None), ("@counter@1", None)];
    for (id, execution) in others {
        let refused = chunks(&mut sidecar, id, execution).await.expect_err("no such history");
        assert_eq!(refused.code(), Code::NotFound, "{id}");
    }
}
