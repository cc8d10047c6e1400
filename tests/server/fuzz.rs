//! Whatever is sent, the server neither panics nor hangs nor grows, and works normally afterwards.

mod frozen;
mod messages;
mod raw;
mod words;

use std::time::Duration;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use soloist::proto::v1::{self, RuntimeStatus, StartOutcome};

use crate::support::{RawWorker, Server, seed::Seed, start, status};

/// Every call is answered within this, or it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A runner of so many cases, from a printed seed.
fn runner(test: &str, cases: u32) -> TestRunner {
    let mut seed = Seed::print(test);
    let bytes: Vec<u8> = (0..4).flat_map(|_| seed.next().to_le_bytes()).collect();
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Waits for an answer; panics if it does not come.
async fn in_time<F: Future>(what: &str, answer: F) -> F::Output {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what}: no answer within {PATIENCE:?}"))
}

/// Asserts that the server does what it is there for.
async fn assert_works(server: &Server, id: &str) {
    let story = async {
        let mut client = server.client().await;
        let started = client.start_singleton(start("works", id)).await.expect("started").into_inner();
        assert_eq!(started.outcome(), StartOutcome::Started);
        let mut worker = RawWorker::join(server, "w", &["works"], 1).await;
        let run = worker.take().await;
        let raise = v1::RaiseEventRequest { instance_id: id.into(), name: "e".into(), ..Default::default() };
        client.raise_event(raise).await.expect("raised");
        let event = worker.hear().await;
        assert!(matches!(event, v1::work_response::Message::Event(_)), "{event:?}");
        worker.complete(&run, "1").await;
        assert_eq!(status(&mut client, id).await.runtime_status(), RuntimeStatus::Completed);
    };
    in_time("a whole story", story).await;
}

/// Asserts that the server works, ends in order, and has not panicked.
async fn assert_unharmed(server: Server) {
    assert_works(&server, "after-all").await;
    let (ended, said) = server.stop().await;
    assert!(ended.success(), "{said}");
    for word in ["panicked", "\"ERROR\""] {
        assert!(!said.contains(word), "{said}");
    }
}
