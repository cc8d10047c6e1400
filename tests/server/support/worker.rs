//! A worker that speaks the protocol by hand, so that a test can break its rules.

use std::collections::VecDeque;

use soloist::proto::v1::{self, work_request::Message as Say, work_response::Message as Heard};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Server, process::PATIENCE};

/// One stream of one worker.
pub struct RawWorker {
    say: mpsc::Sender<v1::WorkRequest>,
    hear: Streaming<v1::WorkResponse>,
    /// Runs that came while the answer to something else was awaited: the answer to a report and the run that takes
    /// the place it frees are in no order.
    early: VecDeque<v1::Run>,
    sequence: u64,
    pub registered: v1::Registered,
}

impl RawWorker {
    /// Registers for the functions, with room for `max_runs`.
    pub async fn join(server: &Server, name: &str, functions: &[&str], max_runs: u32) -> RawWorker {
        RawWorker::come_back(server, name, functions, max_runs, Vec::new()).await
    }

    /// The same, with runs that it holds.
    pub async fn come_back(
        server: &Server,
        name: &str,
        functions: &[&str],
        max_runs: u32,
        held: Vec<v1::Claim>,
    ) -> RawWorker {
        let joined = RawWorker::try_come_back(server, name, functions, max_runs, held).await;
        joined.unwrap_or_else(|status| panic!("not registered: {status:?}"))
    }

    /// The same, or how the server refused.
    pub async fn try_come_back(
        server: &Server,
        name: &str,
        functions: &[&str],
        max_runs: u32,
        held: Vec<v1::Claim>,
    ) -> Result<RawWorker, Status> {
        let (say, said) = mpsc::channel(1024);
        let hear = server.workers().await.work(ReceiverStream::new(said)).await?.into_inner();
        let mut worker =
            RawWorker { say, hear, early: VecDeque::new(), sequence: 0, registered: v1::Registered::default() };
        let functions = functions.iter().map(|function| (*function).into()).collect();
        worker.say(Say::Register(v1::Register { worker_name: name.into(), functions, max_runs, held })).await;
        match worker.try_hear().await?.expect("the stream does not end") {
            Heard::Registered(registered) => worker.registered = registered,
            other => panic!("not registered: {other:?}"),
        }
        Ok(worker)
    }

    /// Says something; answers its number.
    pub async fn say(&mut self, message: Say) -> u64 {
        self.try_say(message).await.expect("the stream is open")
    }

    /// The same; nothing if the server is gone.
    pub async fn try_say(&mut self, message: Say) -> Option<u64> {
        self.sequence += 1;
        let request = v1::WorkRequest { sequence: self.sequence, message: Some(message) };
        self.say.send(request).await.ok().map(|()| self.sequence)
    }

    /// The next thing that the server says.
    pub async fn hear(&mut self) -> Heard {
        self.try_hear().await.expect("the stream goes on").expect("the stream does not end")
    }

    /// The same, or how the stream ended.
    pub async fn try_hear(&mut self) -> Result<Option<Heard>, Status> {
        match self.early.pop_front() {
            Some(run) => Ok(Some(Heard::Run(run))),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Heard>, Status> {
        let heard = tokio::time::timeout(PATIENCE, self.hear.message()).await;
        let heard = heard.unwrap_or_else(|_| panic!("the server said nothing for {PATIENCE:?}"));
        Ok(heard?.map(|response| response.message.expect("the server says something")))
    }

    /// The next run that is handed out; heartbeats' answers on the way are passed over.
    pub async fn run(&mut self) -> v1::Run {
        loop {
            match self.hear().await {
                Heard::Run(run) => return run,
                Heard::HeartbeatAcked(_) => {}
                other => panic!("no run: {other:?}"),
            }
        }
    }

    /// Says something and hears the answer to it; panics if anything else comes first but a heartbeat's answer or a
    /// run, which is heard next.
    pub async fn ask(&mut self, message: Say) -> Heard {
        let sequence = self.say(message).await;
        loop {
            let heard = self.read().await.expect("the stream goes on").expect("the stream does not end");
            match &heard {
                Heard::Accepted(v1::Accepted { sequence: of, .. })
                | Heard::Rejected(v1::Rejected { sequence: of, .. })
                | Heard::Cancel(v1::Cancel { sequence: of, .. })
                | Heard::HeartbeatAcked(v1::HeartbeatAcked { sequence: of, .. })
                    if *of == sequence =>
                {
                    return heard;
                }
                Heard::HeartbeatAcked(_) => {}
                Heard::Run(run) => self.early.push_back(run.clone()),
                other => panic!("not the answer to {sequence}: {other:?}"),
            }
        }
    }

    /// Accepts the run.
    pub async fn accept(&mut self, run: &v1::Run) {
        let answer = self.ask(Say::Accept(v1::Accept { claim: run.claim.clone() })).await;
        assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");
    }

    /// Takes the next run on.
    pub async fn take(&mut self) -> v1::Run {
        let run = self.run().await;
        self.accept(&run).await;
        run
    }

    /// Reports the run's end.
    pub async fn complete(&mut self, run: &v1::Run, output: &str) -> Heard {
        self.ask(Say::Completed(v1::Completed { claim: run.claim.clone(), output: Some(output.into()) })).await
    }

    /// Renews the leases; answers those that were.
    pub async fn heartbeat(&mut self, claims: &[v1::Claim]) -> Vec<v1::Claim> {
        match self.ask(Say::Heartbeat(v1::Heartbeat { claims: claims.to_vec() })).await {
            Heard::HeartbeatAcked(acked) => acked.renewed,
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    /// Reports that the attempt has failed.
    pub async fn fail(&mut self, run: &v1::Run, message: &str, non_retriable: bool) -> Heard {
        let failure = v1::Failure {
            error_type: "Oops".into(),
            message: message.into(),
            details: "at line 7".into(),
            non_retriable,
        };
        self.ask(Say::Failed(v1::Failed { claim: run.claim.clone(), failure: Some(failure) })).await
    }

    /// Gives the run back.
    pub async fn give_back(&mut self, run: &v1::Run) -> Heard {
        self.ask(Say::Stopped(v1::Stopped { claim: run.claim.clone() })).await
    }

    /// The next order to stop; heartbeats' answers on the way are passed over.
    pub async fn cancel(&mut self) -> v1::Cancel {
        loop {
            match self.hear().await {
                Heard::Cancel(cancel) => return cancel,
                Heard::HeartbeatAcked(_) => {}
                other => panic!("no cancel: {other:?}"),
            }
        }
    }

    /// The next word to pause (true) or to go on, and for which run; heartbeats' answers on the way are passed over.
    pub async fn pace(&mut self) -> (bool, Option<v1::Claim>) {
        loop {
            match self.hear().await {
                Heard::Suspend(suspend) => return (true, suspend.claim),
                Heard::Resume(resume) => return (false, resume.claim),
                Heard::HeartbeatAcked(_) => {}
                other => panic!("neither Suspend nor Resume: {other:?}"),
            }
        }
    }

    /// The next event; heartbeats' answers on the way are passed over.
    pub async fn event(&mut self) -> v1::Event {
        loop {
            match self.hear().await {
                Heard::Event(event) => return event,
                Heard::HeartbeatAcked(_) => {}
                other => panic!("no event: {other:?}"),
            }
        }
    }
}
