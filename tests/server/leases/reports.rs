//! A final report counts once, however often and wherever it is said; any other one after it counts never.

use soloist::proto::v1::{self, work_request::Message as Say};

use super::{LONG, assert_accepted, assert_stale, started};
use crate::support::{RawWorker, Server, status};

#[tokio::test]
async fn the_same_report_gets_the_same_answer_everywhere_and_another_one_is_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 8).await;
    let failure =
        |message: &str| v1::Failure { error_type: "Oops".into(), message: message.into(), ..Default::default() };
    type Report = Box<dyn Fn(Option<v1::Claim>) -> Say>;
    // id, the report, reports that are others
    let completed = |output: Option<&str>| -> Report {
        let output = output.map(str::to_owned);
        Box::new(move |claim| Say::Completed(v1::Completed { claim, output: output.clone() }))
    };
    let failed = |message: &'static str| -> Report {
        Box::new(move |claim| Say::Failed(v1::Failed { claim, failure: Some(failure(message)) }))
    };
    let stopped = || -> Report { Box::new(|claim| Say::Stopped(v1::Stopped { claim })) };
    let continued = |input: Option<&'static str>| -> Report {
        Box::new(move |claim| Say::ContinueAsNew(v1::ContinueAsNew { claim, input: input.map(str::to_owned) }))
    };
    let cases: Vec<(&str, Report, Vec<Report>)> = vec![
        ("completed", completed(Some("1")), vec![completed(None), completed(Some("2")), failed("1"), stopped()]),
        ("empty", completed(None), vec![completed(Some("")), continued(None)]),
        ("failed", failed("1"), vec![failed("2"), completed(Some("1")), stopped()]),
        ("stopped", stopped(), vec![failed("1"), completed(None)]),
    ];
    let mut runs = Vec::new();
    for (id, report, others) in &cases {
        started(&mut client, id).await;
        let run = worker.take().await;
        let say = || report(run.claim.clone());
        let forged = run.claim.clone().map(|claim| v1::Claim { claim_id: vec![9; 16], ..claim });
        let older = run.claim.clone().map(|claim| v1::Claim { fencing_token: claim.fencing_token - 1, ..claim });
        assert_stale(&worker.ask(report(forged.clone())).await);
        assert_stale(&worker.ask(report(older)).await);
        assert_accepted(&worker.ask(say()).await);
        assert_accepted(&worker.ask(say()).await);
        assert_stale(&worker.ask(report(forged)).await);
        for other in others {
            assert_stale(&worker.ask(other(run.claim.clone())).await);
        }
        runs.push(run);
    }
    let mut before = Vec::new();
    for (id, ..) in &cases {
        before.push(status(&mut client, id).await);
    }
    // On another stream, and after a restart.
    for restart in [false, true] {
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        let mut worker = RawWorker::join(&server, "another", &["g"], 1).await;
        for ((id, report, others), run) in cases.iter().zip(&runs) {
            assert_accepted(&worker.ask(report(run.claim.clone())).await);
            for other in others {
                assert_stale(&worker.ask(other(run.claim.clone())).await);
            }
            let after = status(&mut client, id).await;
            assert!(before.contains(&after), "{id} has not changed: {after:?}");
        }
    }
}
