//! QueryInstances and ListInstanceIds: filters, pages and tokens.

use std::time::Duration;

use prost_types::Timestamp;
use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus},
    v1,
};
use tonic::Code;

use super::{Sidecar, become_, create, creation, sidecar, state, terminate};
use crate::support::{Server, start};

async fn page(sidecar: &mut Sidecar, query: pb::InstanceQuery) -> (Vec<pb::OrchestrationState>, Option<String>) {
    let request = pb::QueryInstancesRequest { query: Some(query) };
    let page = sidecar.query_instances(request).await.expect("a page").into_inner();
    (page.orchestration_state, page.continuation_token)
}

async fn ids(sidecar: &mut Sidecar, query: pb::InstanceQuery) -> Vec<String> {
    let (states, token) = page(sidecar, query).await;
    assert_eq!(token, None);
    states.into_iter().map(|state| state.instance_id).collect()
}

/// As .NET does: reads on while there is a token, whatever is in the page.
async fn all(sidecar: &mut Sidecar, mut query: pb::InstanceQuery) -> (Vec<String>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    loop {
        let (states, token) = page(sidecar, query.clone()).await;
        ids.extend(states.into_iter().map(|state| state.instance_id));
        pages += 1;
        match token {
            Some(token) => query.continuation_token = Some(token),
            None => return (ids, pages),
        }
    }
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_whatever_their_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let wanted: Vec<String> = (0..21).map(|number| format!("i{number:02}")).collect();
    for id in &wanted {
        create(&mut sidecar, id).await;
    }
    for (size, pages) in [(5, 5), (7, 3), (20, 2), (21, 1), (0, 1), (-1, 1), (i32::MAX, 1)] {
        let query = pb::InstanceQuery { max_instance_count: size, ..Default::default() };
        assert_eq!(all(&mut sidecar, query).await, (wanted.clone(), pages), "{size}");
    }
    let query = pb::InstanceQuery { max_instance_count: 5, ..Default::default() };
    let (first, token) = page(&mut sidecar, query.clone()).await;
    assert_eq!((first.len(), first[4].instance_id.as_str()), (5, "i04"));
    let rest = pb::InstanceQuery { max_instance_count: 4, continuation_token: token.clone(), ..query.clone() };
    assert_eq!(page(&mut sidecar, rest).await.0[0].instance_id, "i05");
    // Of another list, or of none.
    for (prefix, token) in [("i", token), ("", Some("7".into()))] {
        let query =
            pb::InstanceQuery { instance_id_prefix: Some(prefix.into()), continuation_token: token, ..query.clone() };
        let refused = sidecar.query_instances(pb::QueryInstancesRequest { query: Some(query) }).await;
        assert_eq!(refused.expect_err("no such page").code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn each_filter_means_some() {
    use OrchestrationStatus::*;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let made = [
        ("a-pending", Pending),
        ("a-running", Running),
        ("b-suspended", Suspended),
        ("b-completed", Completed),
        ("c-failed", Failed),
        ("c-terminated", Terminated),
    ];
    for (id, status) in made {
        become_(&server, &mut sidecar, id, status).await;
    }
    let everybody: Vec<&str> = made.iter().map(|(id, _)| *id).collect();
    let query = pb::InstanceQuery::default;
    assert_eq!(ids(&mut sidecar, query()).await, everybody);
    assert!(sidecar.query_instances(pb::QueryInstancesRequest { query: None }).await.is_ok());
    // What .NET and Python send for nothing.
    let empty = pb::InstanceQuery {
        instance_id_prefix: Some(String::new()),
        continuation_token: Some(String::new()),
        task_hub_names: vec!["elsewhere".into()],
        ..query()
    };
    assert_eq!(ids(&mut sidecar, empty).await, everybody);
    let of = |statuses: &[OrchestrationStatus]| pb::InstanceQuery {
        runtime_status: statuses.iter().map(|status| (*status).into()).collect(),
        ..query()
    };
    for (id, status) in made {
        assert_eq!(ids(&mut sidecar, of(&[status])).await, [id]);
    }
    assert_eq!(ids(&mut sidecar, of(&[Failed, Running, Canceled])).await, ["a-running", "c-failed"]);
    // Nothing ever has these: that means nothing, not everything.
    assert!(ids(&mut sidecar, of(&[Canceled, ContinuedAsNew])).await.is_empty());
    let prefix = pb::InstanceQuery { instance_id_prefix: Some("b-".into()), ..query() };
    assert_eq!(ids(&mut sidecar, prefix).await, ["b-suspended", "b-completed"]);
    // Both bounds belong to it; half microseconds, which only .NET has, don't matter.
    let at = state(&mut sidecar, "b-completed").await.created_timestamp.expect("a time");
    let between = |from: Option<Timestamp>, to: Option<Timestamp>| pb::InstanceQuery {
        created_time_from: from,
        created_time_to: to,
        ..query()
    };
    let later = |at: Timestamp, nanos| Timestamp { nanos: at.nanos + nanos, ..at };
    assert_eq!(ids(&mut sidecar, between(Some(at), Some(at))).await, ["b-completed"]);
    assert_eq!(ids(&mut sidecar, between(Some(at), Some(later(at, 100)))).await, ["b-completed"]);
    assert_eq!(ids(&mut sidecar, between(Some(later(at, 100)), None)).await, everybody[4..]);
    assert_eq!(ids(&mut sidecar, between(None, Some(at))).await, everybody[..4]);
    assert!(ids(&mut sidecar, between(Some(at), Some(Timestamp { seconds: 0, nanos: 0 }))).await.is_empty());
}

#[tokio::test]
async fn payloads_come_if_they_are_asked_for_and_pages_stay_small_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    const LARGE: usize = 900_000;
    for number in 0..10 {
        let request =
            pb::CreateInstanceRequest { input: Some("x".repeat(LARGE)), ..creation("f", &format!("i{number}")) };
        sidecar.start_instance(request).await.expect("it is free");
    }
    let (bare, token) = page(&mut sidecar, pb::InstanceQuery::default()).await;
    assert!(bare.len() == 10 && token.is_none() && bare.iter().all(|state| state.input.is_none()));
    // A stock client takes 4 MiB.
    let query = pb::InstanceQuery { fetch_inputs_and_outputs: true, ..Default::default() };
    let (full, token) = page(&mut sidecar, query.clone()).await;
    assert!(
        full.len() == 4 && token.is_some() && full.iter().all(|state| state.input.as_ref().unwrap().len() == LARGE)
    );
    assert_eq!(all(&mut sidecar, query).await, ((0..10).map(|number| format!("i{number}")).collect(), 3));
}

async fn ended(sidecar: &mut Sidecar, request: pb::ListInstanceIdsRequest) -> (Vec<String>, Option<String>) {
    let page = sidecar.list_instance_ids(request).await.expect("a page").into_inner();
    (page.instance_ids, page.last_instance_key)
}

#[tokio::test]
async fn ids_of_those_that_have_ended() {
    use OrchestrationStatus::*;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let made = [("a", Pending), ("b", Completed), ("c", Failed), ("d", Running), ("e", Terminated), ("f", Suspended)];
    for (id, status) in made {
        become_(&server, &mut sidecar, id, status).await;
    }
    let request = pb::ListInstanceIdsRequest::default;
    assert_eq!(ended(&mut sidecar, request()).await, (vec!["b".into(), "c".into(), "e".into()], None));
    let of = |statuses: &[OrchestrationStatus]| pb::ListInstanceIdsRequest {
        runtime_status: statuses.iter().map(|status| (*status).into()).collect(),
        ..request()
    };
    assert_eq!(ended(&mut sidecar, of(&[Failed, Running])).await.0, ["c"]);
    assert!(ended(&mut sidecar, of(&[Running])).await.0.is_empty());
    let at = state(&mut sidecar, "c").await.completed_timestamp;
    let between =
        |from, to| pb::ListInstanceIdsRequest { completed_time_from: from, completed_time_to: to, ..request() };
    assert_eq!(ended(&mut sidecar, between(at, at)).await.0, ["c"]);
    assert_eq!(ended(&mut sidecar, between(at, None)).await.0, ["c", "e"]);
    assert_eq!(ended(&mut sidecar, between(None, at)).await.0, ["b", "c"]);
    // .NET and Java always send a key; the one that comes names the last id, also for who reads on in other steps.
    let (ids, key) = ended(
        &mut sidecar,
        pb::ListInstanceIdsRequest { page_size: 1, last_instance_key: Some(String::new()), ..request() },
    )
    .await;
    let key = key.expect("more follows");
    assert!(ids == ["b"] && key.contains('b'), "{key}");
    let (ids, key) =
        ended(&mut sidecar, pb::ListInstanceIdsRequest { page_size: 2, last_instance_key: Some(key), ..request() })
            .await;
    assert_eq!((ids, key), (vec!["c".into(), "e".into()], None));
}

/// The page says how things stood; who asks for payloads sees them as they stand.
#[tokio::test]
async fn lists_change_while_they_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let changing = tokio::spawn({
        let mut sidecar = sidecar.clone();
        async move {
            for round in 0..200 {
                client.start_singleton(start("f", "busy")).await.expect("it has ended");
                terminate(&mut sidecar, "busy", None).await;
                if round % 10 == 0 {
                    let request = v1::PurgeInstanceRequest { instance_id: "busy".into(), ..Default::default() };
                    client.purge_instance(request).await.expect("it has ended");
                }
            }
        }
    });
    while !changing.is_finished() {
        let query = pb::InstanceQuery {
            runtime_status: vec![OrchestrationStatus::Terminated.into()],
            fetch_inputs_and_outputs: true,
            ..Default::default()
        };
        let (states, token) = page(&mut sidecar, query).await;
        assert!(token.is_none() && states.len() <= 2);
        assert!(states.iter().all(|state| state.orchestration_status() == OrchestrationStatus::Terminated));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    changing.await.expect("all went well");
}
