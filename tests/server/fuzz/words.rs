//! Messages that can be read, whatever they say, on every call and in any order.

use proptest::{collection::vec, prelude::*};
use soloist::proto::v1::{self, work_request::Message as Say, work_response::Message as Heard};
use tonic::Code;

use super::{assert_unharmed, assert_works, in_time, messages, runner};
use crate::support::{Client, Server, start};

#[derive(Clone, Debug)]
enum Ask {
    Start(Box<v1::StartSingletonRequest>),
    Get(v1::GetStatusRequest),
    Watch(v1::WatchStatusRequest),
    Raise(v1::RaiseEventRequest),
    Terminate(v1::TerminateInstanceRequest),
    Suspend(v1::SuspendInstanceRequest),
    Resume(v1::ResumeInstanceRequest),
    Restart(v1::RestartInstanceRequest),
    Purge(v1::PurgeInstanceRequest),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        5 => messages::start().prop_map(|request| Ask::Start(Box::new(request))),
        1 => messages::get().prop_map(Ask::Get),
        1 => messages::watch().prop_map(Ask::Watch),
        1 => messages::raise().prop_map(Ask::Raise),
        1 => messages::terminate().prop_map(Ask::Terminate),
        1 => messages::suspend().prop_map(Ask::Suspend),
        1 => messages::resume().prop_map(Ask::Resume),
        1 => messages::restart().prop_map(Ask::Restart),
        1 => messages::purge().prop_map(Ask::Purge),
    ]
}

impl Ask {
    /// The same of the instance that is held, where it is about that.
    fn about(mut self, held: &str) -> Ask {
        let id = match &mut self {
            Ask::Start(request) => &mut request.instance_id,
            Ask::Get(request) => &mut request.instance_id,
            Ask::Watch(request) => &mut request.instance_id,
            Ask::Raise(request) => &mut request.instance_id,
            Ask::Terminate(request) => &mut request.instance_id,
            Ask::Suspend(request) => &mut request.instance_id,
            Ask::Resume(request) => &mut request.instance_id,
            Ask::Restart(request) => &mut request.instance_id,
            Ask::Purge(request) => &mut request.instance_id,
        };
        if id == messages::HELD {
            *id = held.into();
        }
        self
    }

    /// Asks, and asserts that the answer is one that a caller can do something with.
    async fn of(self, client: &mut Client) {
        let what = format!("{self:?}");
        let answered = async {
            match self {
                Ask::Start(request) => client.start_singleton(*request).await.map(drop),
                Ask::Get(request) => client.get_status(request).await.map(drop),
                Ask::Raise(request) => client.raise_event(request).await.map(drop),
                Ask::Terminate(request) => client.terminate_instance(request).await.map(drop),
                Ask::Suspend(request) => client.suspend_instance(request).await.map(drop),
                Ask::Resume(request) => client.resume_instance(request).await.map(drop),
                Ask::Restart(request) => client.restart_instance(request).await.map(drop),
                Ask::Purge(request) => client.purge_instance(request).await.map(drop),
                Ask::Watch(request) => {
                    // Without a first item to wait for, that it is open is the answer.
                    let comes_first = request.from_revision.is_none() && !request.wait_for_start;
                    let mut watch = client.watch_status(request).await?.into_inner();
                    if comes_first { watch.message().await.map(drop) } else { Ok(()) }
                }
            }
        };
        if let Err(status) = in_time(&what, answered).await {
            let expected = [
                Code::InvalidArgument,
                Code::NotFound,
                Code::AlreadyExists,
                Code::FailedPrecondition,
                Code::ResourceExhausted,
            ];
            assert!(expected.contains(&status.code()), "{what}: {status:?}");
            crate::support::error_info(&status);
        }
    }
}

#[test]
fn whatever_callers_ask_they_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(server.client());
    let mut runner = runner("whatever_callers_ask_they_are_answered", 150);
    let outcome = runner.run(&vec(ask(), 1..16), |asked| {
        runtime.block_on(async {
            for ask in asked {
                ask.of(&mut client.clone()).await;
            }
        });
        Ok(())
    });
    outcome.expect("every call is answered");
    runtime.block_on(assert_unharmed(server));
}

/// One stream from its beginning to its end: what a worker says, with callers in between. Without a Register it serves
/// the instance that is held.
async fn work(
    server: &Server,
    client: &mut Client,
    held: &str,
    register: Option<v1::Register>,
    said: Vec<(v1::WorkRequest, Option<Ask>)>,
) {
    let (say, saying) = tokio::sync::mpsc::channel(64);
    let stream = server.workers().await.work(tokio_stream::wrappers::ReceiverStream::new(saying)).await;
    let mut hear = stream.expect("a stream").into_inner();
    let serves = register.is_none();
    let register = register.unwrap_or_else(|| v1::Register {
        worker_name: "w".into(),
        functions: vec!["f".into(), "g".into()],
        max_runs: 100,
        held: Vec::new(),
    });
    let first = v1::WorkRequest { sequence: 1, message: Some(Say::Register(register)) };
    say.send(first).await.expect("the stream is open");
    let mut claim = None;
    if serves {
        client.start_singleton(start("f", held)).await.expect("started");
        while claim.is_none() {
            let heard = hear.message().await.expect("the stream goes on").expect("the stream does not end");
            if let Some(Heard::Run(run)) = heard.message {
                claim = run.claim.filter(|claim| claim.instance_id == held);
            }
        }
    }
    // All that is heard is read, so that the server is never held up.
    let reader = tokio::spawn(async move { while let Ok(Some(_)) = hear.message().await {} });
    for (mut request, ask) in said {
        if let Some(claim) = &claim {
            let placeholders = claims_of(&mut request).into_iter().filter(|claim| claim.instance_id == messages::HELD);
            placeholders.for_each(|placeholder| *placeholder = claim.clone());
        }
        // The server may have ended the stream, with reason.
        let _ = say.send(request).await;
        if let Some(ask) = ask {
            ask.about(held).of(client).await;
        }
    }
    drop(say);
    reader.await.expect("the stream ends");
}

fn claims_of(request: &mut v1::WorkRequest) -> Vec<&mut v1::Claim> {
    match &mut request.message {
        None => Vec::new(),
        Some(Say::Register(m)) => m.held.iter_mut().collect(),
        Some(Say::Heartbeat(m)) => m.claims.iter_mut().collect(),
        Some(Say::Accept(m)) => m.claim.iter_mut().collect(),
        Some(Say::Progress(m)) => m.claim.iter_mut().collect(),
        Some(Say::EventsAcked(m)) => m.claim.iter_mut().collect(),
        Some(Say::Completed(m)) => m.claim.iter_mut().collect(),
        Some(Say::Failed(m)) => m.claim.iter_mut().collect(),
        Some(Say::ContinueAsNew(m)) => m.claim.iter_mut().collect(),
        Some(Say::Stopped(m)) => m.claim.iter_mut().collect(),
    }
}

#[test]
fn whatever_a_worker_says_its_stream_goes_on_or_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(server.client());
    let register = proptest::option::weighted(0.2, messages::register());
    let cases = std::cell::Cell::new(0);
    let said = vec((messages::said(), proptest::option::weighted(0.3, ask())), 0..20);
    let mut runner = runner("whatever_a_worker_says_its_stream_goes_on_or_ends", 100);
    let outcome = runner.run(&(register, said), |(register, said)| {
        cases.set(cases.get() + 1);
        let (held, mut client) = (format!("held-{}", cases.get()), client.clone());
        runtime.block_on(in_time("a worker's stream", work(&server, &mut client, &held, register, said)));
        Ok(())
    });
    outcome.expect("every stream goes on or ends");
    runtime.block_on(assert_works(&server, "before-a-restart"));
    // What all this has left on the disk is read again.
    let (ended, said) = runtime.block_on(server.stop());
    assert!(ended.success() && !said.contains("panicked"), "{said}");
    let server = Server::with_long_leases(folder.path());
    runtime.block_on(assert_unharmed(server));
}
