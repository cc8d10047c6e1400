//! Events: in order, at least once, until they are confirmed; then never again.

use soloist::proto::v1::{self, work_request::Message as Say};

use super::{LONG, assert_accepted, attempts, raised};
use crate::support::{RawWorker, Server, start};

/// The next events: their numbers, names and payloads.
async fn events(worker: &mut RawWorker, run: &v1::Run, count: usize) -> Vec<(u64, String, String)> {
    let mut events = Vec::new();
    for _ in 0..count {
        let event = worker.event().await;
        assert_eq!(event.claim, run.claim);
        assert!(event.raised_at.is_some());
        events.push((event.sequence, event.name, event.input.unwrap_or_default()));
    }
    events
}

async fn confirm(worker: &mut RawWorker, run: &v1::Run, sequence: u64) {
    let claim = run.claim.clone();
    assert_accepted(&worker.ask(Say::EventsAcked(v1::EventsAcked { claim, sequence })).await);
}

fn expected(events: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    events.iter().map(|(sequence, name, input)| (*sequence, (*name).into(), (*input).into())).collect()
}

#[tokio::test]
async fn what_is_not_confirmed_goes_to_the_next_attempt_and_execution() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    client.start_singleton(v1::StartSingletonRequest { retry: attempts(9), ..start("f", "i") }).await.expect("free");
    // Raised before anybody runs it.
    let numbers = [raised(&mut client, "i", "a", "1").await, raised(&mut client, "i", "b", "2").await];
    assert_eq!(numbers, [1, 2]);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.run().await;
    assert_eq!(events(&mut worker, &run, 2).await, expected(&[(1, "a", "1"), (2, "b", "2")]));
    worker.accept(&run).await;
    assert_eq!(raised(&mut client, "i", "c", "3").await, 3);
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(3, "c", "3")]));

    // The first is confirmed; the next attempt is given the others, and then what comes new.
    confirm(&mut worker, &run, 1).await;
    assert_accepted(&worker.fail(&run, "no", false).await);
    let run = worker.run().await;
    assert_eq!(events(&mut worker, &run, 2).await, expected(&[(2, "b", "2"), (3, "c", "3")]));
    worker.accept(&run).await;

    // The same stream is told once, another one from the beginning.
    assert_eq!(raised(&mut client, "i", "d", "4").await, 4);
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(4, "d", "4")]));
    let held: Vec<v1::Claim> = run.claim.clone().into_iter().collect();
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, held.clone()).await;
    let all = expected(&[(2, "b", "2"), (3, "c", "3"), (4, "d", "4")]);
    assert_eq!(events(&mut worker, &run, 3).await, all);
    confirm(&mut worker, &run, 2).await;

    // After a restart: what was confirmed is gone, what was not is not.
    server.kill();
    server = Server::start_with(folder.path(), &[], &LONG);
    client = server.client().await;
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, held).await;
    assert_eq!(worker.registered.continued.len(), 1);
    assert_eq!(events(&mut worker, &run, 2).await, all[1..]);
    assert_eq!(raised(&mut client, "i", "e", "5").await, 5, "numbers go on");
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(5, "e", "5")]));
    confirm(&mut worker, &run, 4).await;
    // Confirmed beyond what there is: all that there is, and nothing of the future.
    let report = Say::ContinueAsNew(v1::ContinueAsNew { claim: run.claim.clone(), input: None });
    assert_accepted(&worker.ask(report).await);
    let run = worker.run().await;
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(5, "e", "5")]), "carried over");
    worker.accept(&run).await;
    confirm(&mut worker, &run, 999).await;
    assert_eq!(raised(&mut client, "i", "f", "6").await, 6);
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(6, "f", "6")]));

    // An end empties the inbox; the numbers are the id's, not the execution's.
    assert_accepted(&worker.complete(&run, "done").await);
    super::started(&mut client, "i").await;
    let run = worker.take().await;
    assert_eq!(raised(&mut client, "i", "g", "7").await, 7);
    assert_eq!(events(&mut worker, &run, 1).await, expected(&[(7, "g", "7")]));
}

#[tokio::test]
async fn many_events_come_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    super::started(&mut client, "i").await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    // More than are read at a time, raised while they are delivered.
    let raise = async {
        for number in 1..=100 {
            assert_eq!(raised(&mut client, "i", "e", &number.to_string()).await, number);
        }
    };
    let (seen, ()) = tokio::join!(events(&mut worker, &run, 100), raise);
    let numbers: Vec<u64> = seen.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<u64>>());
    assert!(seen.iter().all(|(sequence, _, input)| sequence.to_string() == *input));
}
