//! Whatever workers make of their turns and activities: nothing panics, and the instance can be read, ended and taken over.
//! `cargo +nightly fuzz run turns`

#![no_main]

use std::{
    collections::BTreeSet,
    pin::pin,
    slice,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use prost::Message;
use soloist::{
    clock::SystemClock,
    core::{ids::TaskHub, limits, time::Span},
    engine::{
        Config, Engine, Stepper,
        work_items::{Assignment, Content, Sent, Wishes, Work},
    },
    entropy::SystemEntropy,
    grpc::{Door, Sidecar},
    proto::durable_task::{self as pb, task_hub_sidecar_service_server::TaskHubSidecarService},
    store::memory::Memory,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Request;

const ID: &str = "i";
/// One input is asked for an answer so often at most.
const ITEMS: usize = 50;
/// What does not end in so many steps waits for ever.
const STEPS: usize = 1_000;

struct Stage {
    engine: Engine,
    stepper: Stepper,
    sidecar: Sidecar,
}

fn engine(memory: Arc<Memory>) -> Engine {
    let config = Config {
        lease_ttl: Span::from_secs(15),
        turn_ttl: Span::from_secs(300),
        request_memory: Span::from_secs(60),
        retention: None,
        watchers_max: 10,
        workers_max: 10,
    };
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Engine::recover(config, memory, clock, entropy).expect("whatever was written can be read")
}

impl Stage {
    fn over(memory: Arc<Memory>) -> Stage {
        let engine = engine(memory);
        let payload_bytes_max = limits::PAYLOAD_BYTES_DEFAULT;
        let (watch_heartbeat, drain, tasks) = (Duration::from_secs(30), CancellationToken::new(), TaskTracker::new());
        let door = Door { engine: engine.clone(), payload_bytes_max, watch_heartbeat, drain, tasks };
        Stage { stepper: engine.stepper(), engine, sidecar: Sidecar { door } }
    }

    /// Everything that waits becomes durable and is carried out, and what is due is done.
    fn settle(&self) {
        for _ in 0..STEPS {
            match self.stepper.take_commit() {
                Some(commit) => self.stepper.carry_out(self.stepper.flush(commit).expect("a disk that works")),
                None if self.stepper.fire_next() => {}
                None => return,
            }
        }
    }

    fn finish<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        for _ in 0..STEPS {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                self.settle();
                return done;
            }
            self.settle();
        }
        panic!("a call is not answered");
    }

    /// Tells the worker of a turn what there is to tell. Nothing if nobody wants it any more.
    fn tell(&self, assignment: &Assignment) -> Option<()> {
        let told = self.finish(self.engine.contents(slice::from_ref(assignment))).remove(0);
        if let Content::Turn(content) = told.expect("whole rows")? {
            let claim = assignment.claim.as_ref()?;
            let sent = Sent {
                execution: claim.execution.id,
                spec: claim.execution.spec.clone(),
                notes: Vec::new(),
                events_sent: BTreeSet::new(),
                through: content.through,
                began_at: self.engine.now(),
            };
            self.engine.was_sent(assignment.token, sent);
        }
        Some(())
    }
}

/// The next message in these bytes; an empty one where there is none.
fn next<M: Message + Default>(bytes: &mut &[u8]) -> M {
    M::decode_length_delimited(&mut *bytes).unwrap_or_default()
}

fn token(assignment: &Assignment) -> String {
    assignment.token.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let (memory, mut bytes) = (Arc::new(Memory::new()), bytes);
    let stage = Stage::over(memory.clone());
    let wishes = Wishes { hub: TaskHub::default(), turns_max: 9, activities_max: 9, filters: None, nameless: false };
    let worker = stage.engine.attend(wishes).expect("a place");
    let start = pb::CreateInstanceRequest { name: "f".into(), instance_id: ID.into(), ..Default::default() };
    stage.finish(stage.sidecar.start_instance(Request::new(start))).expect("it is free");
    for _ in 0..ITEMS {
        let mut come = pin!(worker.stream.next(1));
        let Poll::Ready(come) = come.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { break };
        let Some(assignment) = come.first() else { break };
        if stage.tell(assignment).is_none() {
            stage.engine.take_back_item(assignment.token);
            continue;
        }
        match assignment.item.work {
            Work::Turn => {
                let mut response: pb::OrchestratorResponse = next(&mut bytes);
                response.completion_token = token(assignment);
                // It would be given to this same worker again.
                response.requires_history = false;
                stage.finish(stage.sidecar.complete_orchestrator_task(Request::new(response))).expect("never an error");
            }
            Work::Activity(_) => {
                let mut response: pb::ActivityResponse = next(&mut bytes);
                response.completion_token = token(assignment);
                stage.finish(stage.sidecar.complete_activity_task(Request::new(response))).expect("never an error");
            }
        }
        assert!(stage.engine.item_out(assignment.token).is_none(), "its worker has it no longer");
    }
    drop(worker);
    let again = Stage::over(Arc::new(memory.reopen()));
    let terminate = pb::TerminateRequest { instance_id: ID.into(), output: None, recursive: true };
    again.finish(again.sidecar.terminate_instance(Request::new(terminate))).expect("always OK");
    let get = pb::GetInstanceRequest { instance_id: ID.into(), get_inputs_and_outputs: true };
    let found = again.finish(again.sidecar.get_instance(Request::new(get))).expect("never an error").into_inner();
    assert!(found.orchestration_state.expect("it was started").completed_timestamp.is_some());
});
