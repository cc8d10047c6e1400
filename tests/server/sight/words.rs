//! Requests that mean nothing: every violation at once, each by its field.

use std::collections::{BTreeSet, HashMap};

use prost_types::Timestamp;
use soloist::proto::v1::{self, InstanceFilter, watch_instances_request::Selector};
use tonic::{Code, Status};

use super::named;
use crate::support::{Server, error_info, start, violations};

fn fields(refused: &Status) -> Vec<String> {
    assert_eq!((refused.code(), error_info(refused).reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    violations(refused).into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let nonsense = Some(Timestamp { seconds: 1, nanos: -1 });
    let filter = InstanceFilter {
        statuses: vec![1, 0, 77],
        function_name: "f".repeat(257),
        instance_id_prefix: "p".repeat(257),
        created_from: nonsense,
        created_before: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
        tags: HashMap::from([(String::new(), "v".repeat(257))]),
    };
    let of_filter = [
        "filter.statuses[1]",
        "filter.statuses[2]",
        "filter.function_name",
        "filter.instance_id_prefix",
        "filter.created_from",
        "filter.created_before",
        "filter.tags",
        "filter.tags",
    ];
    let list =
        v1::ListInstancesRequest { filter: Some(filter.clone()), page_size: 1_001, page_token: "nonsense".into() };
    let refused = client.list_instances(list).await.expect_err("refused");
    assert_eq!(fields(&refused), [&of_filter[..], &["page_size", "page_token"]].concat());
    let purge = v1::PurgeInstancesRequest {
        filter: Some(filter),
        completed_before: nonsense,
        page_size: 1_001,
        page_token: "é".repeat(16),
    };
    let refused = client.purge_instances(purge).await.expect_err("refused");
    let of_purge = ["filter.statuses", "completed_before", "page_size", "page_token"];
    assert_eq!(fields(&refused), [&of_filter[..], &of_purge].concat());

    let history = v1::GetHistoryRequest { instance_id: "/".into(), expected_execution_id: "X".into() };
    let refused = client.get_history(history).await.expect_err("refused");
    assert_eq!(fields(&refused), ["expected_execution_id", "instance_id"]);

    let many = v1::InstanceIds { ids: (0..1_001).map(|n| n.to_string()).collect() };
    let ill = v1::InstanceIds { ids: vec!["fine".into(), "/".into(), String::new()] };
    for (selector, expected) in [
        (None, vec!["selector"]),
        (Some(Selector::InstanceIds(v1::InstanceIds::default())), vec!["instance_ids.ids"]),
        (Some(Selector::InstanceIds(many)), vec!["instance_ids.ids"]),
        (Some(Selector::InstanceIds(ill)), vec!["instance_ids.ids[1]", "instance_ids.ids[2]"]),
        (Some(Selector::InstanceIdPrefix("p".repeat(257))), vec!["instance_id_prefix"]),
        (Some(Selector::FunctionName(String::new())), vec!["function_name"]),
    ] {
        let refused = client.watch_instances(v1::WatchInstancesRequest { selector }).await.expect_err("refused");
        assert_eq!(fields(&refused), expected);
    }
}

#[tokio::test]
async fn a_token_goes_with_its_own_list_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    for n in 0..3 {
        client.start_singleton(start("f", &format!("i{n}"))).await.expect("it is free");
    }
    let first = client.list_instances(v1::ListInstancesRequest { page_size: 1, ..Default::default() }).await;
    let page_token = first.expect("a page").into_inner().next_page_token;
    assert!(!page_token.is_empty());
    // Another size is no other list.
    let next = v1::ListInstancesRequest { page_size: 2, page_token: page_token.clone(), ..Default::default() };
    let next = client.list_instances(next).await.expect("a page").into_inner();
    let found: BTreeSet<String> = next.instances.into_iter().map(|status| status.instance_id).collect();
    assert_eq!(found, named(&["i1", "i2"]));

    let of_function = InstanceFilter { function_name: "f".into(), ..Default::default() };
    let other = v1::ListInstancesRequest { filter: Some(of_function), page_size: 1, page_token: page_token.clone() };
    assert_eq!(fields(&client.list_instances(other.clone()).await.expect_err("refused")), ["page_token"]);
    let purge = v1::PurgeInstancesRequest { page_token: page_token.clone(), ..Default::default() };
    assert_eq!(fields(&client.purge_instances(purge).await.expect_err("refused")), ["page_token"]);
    let plain = v1::ListInstancesRequest { page_token, ..Default::default() };
    let mut elsewhere = tonic::Request::new(plain.clone());
    elsewhere.metadata_mut().insert("taskhub", "other".parse().expect("a hub"));
    assert_eq!(fields(&client.list_instances(elsewhere).await.expect_err("refused")), ["page_token"]);
    // Its position is sealed too.
    let moved = plain.page_token.replacen("00000001", "00000002", 1);
    assert_ne!(moved, plain.page_token);
    let moved = v1::ListInstancesRequest { page_token: moved, ..plain };
    assert_eq!(fields(&client.list_instances(moved).await.expect_err("refused")), ["page_token"]);
}
