//! Callers and watchers in full load, until their server is gone.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use prost_types::Duration;
use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::{Code, Status};

use crate::support::{
    Client,
    recorder::{Fact, Recorder},
    seed::Seed,
    start,
};

/// The function that everything here runs.
pub const FUNCTION: &str = "work";

/// The starts with a request id whose callers never heard what became of them.
#[derive(Clone, Default)]
pub struct Lost(Arc<Mutex<Vec<v1::StartSingletonRequest>>>);

/// One caller.
pub struct Caller {
    pub client: Client,
    pub recorder: Recorder,
    pub lost: Lost,
    pub seed: Seed,
    pub ids: Vec<String>,
}

impl Lost {
    pub fn take(&self) -> Vec<v1::StartSingletonRequest> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }

    fn push(&self, request: v1::StartSingletonRequest) {
        self.0.lock().expect("nobody panics with it").push(request);
    }
}

impl Caller {
    /// Calls until there is no answer.
    pub async fn call(mut self) {
        loop {
            let id = self.ids[self.seed.below(self.ids.len() as u64) as usize].clone();
            let answered = match self.seed.below(10) {
                0..=4 => self.start(id).await,
                5 | 6 => self.raise(id).await,
                7 => self.terminate(id).await,
                _ => self.read(id).await,
            };
            match answered {
                Ok(()) => {}
                Err(status) if is_answer(&status) => {}
                Err(_) => return,
            }
            self.recorder.answered();
        }
    }

    async fn start(&mut self, id: String) -> Result<(), Status> {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        let policies = [ConflictPolicy::Fail, ConflictPolicy::UseExisting, ConflictPolicy::Replace];
        let mut request = v1::StartSingletonRequest {
            conflict_policy: policies[self.seed.below(3) as usize].into(),
            input: Some("\"in\"".into()),
            retry: Some(v1::RetryPolicy {
                max_attempts: 3,
                initial_backoff: Some(Duration::default()),
                ..Default::default()
            }),
            ..start(FUNCTION, &id)
        };
        if self.seed.below(2) == 0 {
            request.request_id = format!("request {}", REQUESTS.fetch_add(1, Ordering::Relaxed));
            request.version = request.request_id.clone();
        }
        let answer = self.client.start_singleton(request.clone()).await;
        if answer.as_ref().is_err_and(|status| !is_answer(status)) && !request.request_id.is_empty() {
            self.lost.push(request.clone());
        }
        started(&self.recorder, &answer?.into_inner());
        Ok(())
    }

    async fn raise(&mut self, id: String) -> Result<(), Status> {
        let request = v1::RaiseEventRequest { instance_id: id.clone(), name: "go".into(), ..Default::default() };
        let raised = self.client.raise_event(request).await?.into_inner();
        self.recorder.raised(&id, &raised.execution_id, raised.sequence);
        Ok(())
    }

    async fn terminate(&mut self, id: String) -> Result<(), Status> {
        let request = v1::TerminateInstanceRequest { instance_id: id.clone(), ..Default::default() };
        let ended = self.client.terminate_instance(request).await?.into_inner().status.expect("a status");
        self.recorder.told(&ended);
        self.recorder.fact(&id, Fact::Ended { execution: ended.execution_id, status: RuntimeStatus::Terminated });
        Ok(())
    }

    async fn read(&mut self, id: String) -> Result<(), Status> {
        let request = v1::GetStatusRequest { instance_id: id, ..Default::default() };
        let found = self.client.get_status(request).await?.into_inner();
        self.recorder.told(&found.status.expect("a status"));
        Ok(())
    }
}

/// Notes an accepted start.
pub fn started(recorder: &Recorder, started: &v1::StartSingletonResponse) {
    let status = started.status.as_ref().expect("a status");
    recorder.told(status);
    recorder.fact(&status.instance_id, Fact::Started { execution: started.execution_id.clone() });
}

/// Asks again for what was never answered: it is done once in all, however often it is asked for.
pub async fn retry(client: &mut Client, recorder: &Recorder, request: v1::StartSingletonRequest) {
    let mut executions = Vec::new();
    for _ in 0..3 {
        match client.start_singleton(request.clone()).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let again = answer.outcome() == StartOutcome::Deduplicated;
                assert!(again || executions.is_empty(), "{request:?} was done again: {answer:?}");
                started(recorder, &answer);
                executions.push(answer.execution_id);
            }
            // It had not been done, and now somebody else is live.
            Err(status) => {
                assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
                assert!(executions.is_empty(), "{request:?}: {executions:?} was forgotten");
            }
        }
    }
    assert!(executions.iter().all(|execution| *execution == executions[0]), "{request:?}: {executions:?}");
}

/// Watches an instance until there is no answer, from where others have come.
pub async fn watch(mut client: Client, recorder: Recorder, id: String) {
    let (from, mut last) = recorder.position(&id);
    let request = v1::WatchStatusRequest {
        instance_id: id,
        from_revision: Some(from),
        wait_for_start: true,
        ..Default::default()
    };
    let Ok(watch) = client.watch_status(request).await else { return };
    let mut watch = watch.into_inner();
    while let Ok(Some(item)) = watch.message().await {
        let Some(status) = item.status else { continue };
        if item.resync {
            recorder.told(&status);
        } else {
            assert_eq!(item.sequence, last + 1, "a gap: {status:?}");
            recorder.saw(item.sequence, &status);
        }
        last = item.sequence;
    }
}

/// Whether the server has said something, be it a refusal.
fn is_answer(status: &Status) -> bool {
    matches!(status.code(), Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound | Code::ResourceExhausted)
}
