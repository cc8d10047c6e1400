//! Starting at the moment of an end, and over an end that may not be replaced.

use soloist::proto::v1::{
    self, ReplaceableStatuses, RuntimeStatus, StartOutcome, work_request::Message as Say,
    work_response::Message as Heard,
};
use tonic::Code;

use super::{Told, all_start, sorted};
use crate::support::{Client, Crowd, RawWorker, Server, error_info, start, status, value};

const FEW: usize = 32;

/// Tries until the id has another execution than `old`.
async fn start_over(mut client: Client, request: v1::StartSingletonRequest, old: String) -> Told {
    loop {
        match client.start_singleton(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(refused) if value(&error_info(&refused), "execution_id") == old => {
                assert_eq!(value(&error_info(&refused), "status"), "Running", "an end can be replaced at once");
            }
            Err(refused) => return Err(refused),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_run_completes_under_starters_one_of_them_has_the_next() {
    const ROUNDS: usize = 30;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, FEW, 8).await;
    let mut worker = RawWorker::join(&server, "w", &["first"], 1).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let old = client.start_singleton(start("first", &id)).await.expect("started").into_inner().execution_id;
        let run = worker.take().await;
        let starters = crowd.at_once(|_, client| start_over(client, start("next", &id), old.clone()));
        let (told, answer) = tokio::join!(starters, worker.complete(&run, "\"done\""));
        assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");

        let (started, others, refused) = sorted(told);
        assert_eq!((started.len(), others.len(), refused.len()), (1, 0, FEW - 1), "round {round}");
        assert_ne!(started[0].execution_id, old);
        for refused in &refused {
            assert_eq!(value(&error_info(refused), "execution_id"), started[0].execution_id);
        }
        let now = status(&mut client, &id).await;
        assert_eq!((now.execution_id, now.function_name.as_str()), (started[0].execution_id.clone(), "next"));
    }
}

/// Brings the instance to its end in this status.
async fn end_as(server: &Server, worker: &mut RawWorker, id: &str, wanted: RuntimeStatus) {
    let mut client = server.client().await;
    client.start_singleton(start("first", id)).await.expect("started");
    let run = worker.take().await;
    match wanted {
        RuntimeStatus::Completed => {
            worker.complete(&run, "1").await;
        }
        RuntimeStatus::Failed => {
            let failure = v1::Failure { error_type: "Broken".into(), ..Default::default() };
            worker.ask(Say::Failed(v1::Failed { claim: run.claim, failure: Some(failure) })).await;
        }
        _ => {
            let request = v1::TerminateInstanceRequest { instance_id: id.into(), ..Default::default() };
            client.terminate_instance(request).await.expect("terminated");
            let cancel = worker.hear().await;
            assert!(matches!(cancel, Heard::Cancel(_)), "{cancel:?}");
            worker.ask(Say::Stopped(v1::Stopped { claim: run.claim })).await;
        }
    }
    assert_eq!(status(&mut client, id).await.runtime_status(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_an_end_that_may_be_replaced_one_starts_over_any_other_nobody() {
    use RuntimeStatus::{Completed, Failed, Terminated};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, FEW, 8).await;
    let mut worker = RawWorker::join(&server, "w", &["first"], 1).await;
    let lists: [(&str, Option<&[RuntimeStatus]>); 6] = [
        ("absent", None),
        ("empty", Some(&[])),
        ("completed", Some(&[Completed])),
        ("failed", Some(&[Failed])),
        ("terminated", Some(&[Terminated])),
        ("twice", Some(&[Failed, Completed, Failed])),
    ];
    for ended in [Completed, Failed, Terminated] {
        for (name, list) in lists {
            let id = format!("{}-{name}", ended.as_str_name());
            end_as(&server, &mut worker, &id, ended).await;
            let statuses =
                list.map(|list| ReplaceableStatuses { statuses: list.iter().map(|s| (*s).into()).collect() });
            let request = v1::StartSingletonRequest { replaceable_statuses: statuses, ..start("next", &id) };
            let (started, others, refused) = sorted(all_start(&crowd, &request).await);
            let may = list.is_none_or(|list| list.contains(&ended));
            let wins = usize::from(may);
            assert_eq!((started.len(), others.len(), refused.len()), (wins, 0, FEW - wins), "{id}");
            let reason = if may { "INSTANCE_ALREADY_RUNNING" } else { "STATUS_NOT_REPLACEABLE" };
            for refused in refused {
                assert_eq!(
                    (refused.code(), error_info(&refused).reason.as_str()),
                    (Code::AlreadyExists, reason),
                    "{id}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_starters_with_different_wishes_only_one_that_may_replaces_the_end() {
    const ROUNDS: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, FEW, 8).await;
    let mut worker = RawWorker::join(&server, "w", &["first"], 1).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        end_as(&server, &mut worker, &id, RuntimeStatus::Completed).await;
        let told = crowd.at_once(|caller, mut client| {
            let wish = if caller % 2 == 0 { RuntimeStatus::Completed } else { RuntimeStatus::Failed };
            let statuses = Some(ReplaceableStatuses { statuses: vec![wish.into()] });
            let request = v1::StartSingletonRequest { replaceable_statuses: statuses, ..start("next", &id) };
            async move { (caller, client.start_singleton(request).await) }
        });
        let mut started = 0;
        for (caller, told) in told.await {
            match (caller % 2 == 0, told) {
                (true, Ok(answer)) => {
                    assert_eq!(answer.into_inner().outcome(), StartOutcome::Started);
                    started += 1;
                }
                (false, Ok(_)) => panic!("{id}: caller {caller} may not replace Completed"),
                (may, Err(refused)) => {
                    let reason = error_info(&refused).reason;
                    let early = !may && reason == "STATUS_NOT_REPLACEABLE";
                    assert!(early || reason == "INSTANCE_ALREADY_RUNNING", "{id}: caller {caller}: {reason}");
                }
            }
        }
        assert_eq!(started, 1, "{id}");
    }
}
