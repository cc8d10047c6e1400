//! PurgeInstances: by id, by filter, by batch.

use prost_types::{Duration, Timestamp};
use soloist::proto::durable_task::{
    self as pb, OrchestrationStatus, PurgeInstanceFilter, purge_instances_request::Request as Which,
};
use tonic::Code;

use super::{Sidecar, become_, create, found, sidecar, state, terminate};
use crate::support::Server;

async fn purge(sidecar: &mut Sidecar, which: Which) -> i32 {
    let request = pb::PurgeInstancesRequest { request: Some(which), recursive: false, is_orchestration: true };
    let purged = sidecar.purge_instances(request).await.expect("OK").into_inner();
    assert_eq!(purged.is_complete, Some(true));
    purged.deleted_instance_count
}

fn batch(ids: &[&str]) -> Which {
    Which::InstanceBatch(pb::InstanceBatch { instance_ids: ids.iter().map(|id| (*id).to_owned()).collect() })
}

#[tokio::test]
async fn by_id_and_by_batch_only_what_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for id in ["live", "a", "b", "c"] {
        create(&mut sidecar, id).await;
    }
    for id in ["a", "b", "c"] {
        terminate(&mut sidecar, id, None).await;
    }
    for (id, count) in [("live", 0), ("never", 0), ("@counter@1", 0), ("a", 1), ("a", 0)] {
        assert_eq!(purge(&mut sidecar, Which::InstanceId(id.into())).await, count, "{id}");
    }
    assert!(found(&mut sidecar, "a").await.is_none());
    create(&mut sidecar, "a").await;
    assert_eq!(purge(&mut sidecar, batch(&["a", "b", "never", "c", "live", "b"])).await, 2);
    assert!(found(&mut sidecar, "live").await.is_some() && found(&mut sidecar, "a").await.is_some());
    for (which, why) in [
        (None, "of none"),
        (Some(batch(&["a"; 501])), "of too many"),
        (Some(Which::InstanceId(String::new())), "no id"),
    ] {
        let request = pb::PurgeInstancesRequest { request: which, ..Default::default() };
        assert_eq!(sidecar.purge_instances(request).await.expect_err(why).code(), Code::InvalidArgument, "{why}");
    }
}

#[tokio::test]
async fn by_filter_only_what_has_ended() {
    use OrchestrationStatus::*;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let made = [("a", Pending), ("b", Completed), ("c", Failed), ("d", Running), ("e", Terminated), ("f", Completed)];
    for (id, status) in made {
        become_(&server, &mut sidecar, id, status).await;
    }
    let filter = |filter: PurgeInstanceFilter| Which::PurgeInstanceFilter(filter);
    let of = |statuses: &[OrchestrationStatus]| PurgeInstanceFilter {
        runtime_status: statuses.iter().map(|status| (*status).into()).collect(),
        ..Default::default()
    };
    assert_eq!(purge(&mut sidecar, filter(of(&[Running, Pending, Canceled]))).await, 0);
    assert_eq!(purge(&mut sidecar, filter(of(&[Failed, Running]))).await, 1);
    assert!(found(&mut sidecar, "c").await.is_none());
    let at = state(&mut sidecar, "b").await.created_timestamp;
    let day_one = Some(Timestamp { seconds: 0, nanos: 0 });
    let before = PurgeInstanceFilter { created_time_from: day_one, created_time_to: day_one, ..Default::default() };
    assert_eq!(purge(&mut sidecar, filter(before)).await, 0);
    let only_b = PurgeInstanceFilter { created_time_from: at, created_time_to: at, ..Default::default() };
    assert_eq!(purge(&mut sidecar, filter(only_b)).await, 1);
    let hour = Some(Duration { seconds: 3_600, nanos: 0 });
    let rest = PurgeInstanceFilter { timeout: hour, ..Default::default() };
    assert_eq!(purge(&mut sidecar, filter(rest)).await, 2);
    for (id, is_left) in [("a", true), ("b", false), ("c", false), ("d", true), ("e", false), ("f", false)] {
        assert_eq!(found(&mut sidecar, id).await.is_some(), is_left, "{id}");
    }
}

/// Whoever gives a purge little time hears how far it came, and may ask again.
#[tokio::test]
async fn a_purge_whose_time_is_over_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    const INSTANCES: i32 = 1_500;
    for number in 0..INSTANCES {
        let id = format!("i{number}");
        create(&mut sidecar, &id).await;
        terminate(&mut sidecar, &id, None).await;
    }
    let (mut count, mut rounds) = (0, 0);
    loop {
        let filter = PurgeInstanceFilter { timeout: Some(Duration { seconds: 0, nanos: 1 }), ..Default::default() };
        let request =
            pb::PurgeInstancesRequest { request: Some(Which::PurgeInstanceFilter(filter)), ..Default::default() };
        let purged = sidecar.purge_instances(request).await.expect("OK").into_inner();
        (count, rounds) = (count + purged.deleted_instance_count, rounds + 1);
        if purged.is_complete == Some(true) {
            break;
        }
        assert!(purged.deleted_instance_count > 0, "round {rounds} came no further");
    }
    assert!(count == INSTANCES && rounds > 1, "{count} in {rounds}");
}
