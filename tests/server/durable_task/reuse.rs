//! A start whose id is in use: the policies of today's SDKs, and of those before.

use soloist::proto::durable_task::{
    self as pb, CreateOrchestrationAction as Legacy, OrchestrationIdReusePolicy as Policy,
    OrchestrationStatus::{self, *},
};
use tonic::Code;

use super::{become_, creation, sidecar, state};
use crate::support::{Server, error_info};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Replaced,
    /// Nothing was started, and that is fine.
    Kept,
    Exists,
    Invalid,
}
use Told::{Exists, Invalid, Kept, Replaced};

/// What is told over instances in which statuses.
type Rules = [(Told, &'static [OrchestrationStatus]); 2];

const ALL: [OrchestrationStatus; 8] =
    [Running, Completed, ContinuedAsNew, Failed, Canceled, Terminated, Pending, Suspended];
const LIVE: [OrchestrationStatus; 3] = [Pending, Running, Suspended];
const ENDED: [OrchestrationStatus; 3] = [Completed, Failed, Terminated];

fn policy(statuses: &[OrchestrationStatus], legacy: Legacy) -> Option<Policy> {
    Some(Policy {
        replaceable_status: statuses.iter().map(|status| (*status).into()).collect(),
        legacy_action: legacy.into(),
    })
}

fn new(statuses: &[OrchestrationStatus]) -> Option<Policy> {
    policy(statuses, Legacy::Error)
}

/// Each policy, and what becomes of a start over an instance in each status.
fn table() -> Vec<(&'static str, Option<Policy>, Rules)> {
    vec![
        ("none", None, [(Exists, &LIVE), (Replaced, &ENDED)]),
        ("nothing", new(&[]), [(Exists, &LIVE), (Exists, &ENDED)]),
        ("everything", new(&ALL), [(Replaced, &LIVE), (Replaced, &ENDED)]),
        ("what has ended", new(&ENDED), [(Exists, &LIVE), (Replaced, &ENDED)]),
        ("failed only", new(&[Failed]), [(Exists, &[Pending, Completed, Terminated]), (Replaced, &[Failed])]),
        ("pending", new(&[Pending, Terminated]), [(Exists, &[Running, Suspended]), (Replaced, &[Pending])]),
        ("running", new(&[Running, Terminated]), [(Exists, &[Pending, Suspended]), (Replaced, &[Running])]),
        ("suspended", new(&[Suspended, Terminated]), [(Exists, &[Pending, Running]), (Replaced, &[Suspended])]),
        // .NET: all but Failed and Terminated.
        (
            "but terminated",
            new(&[Running, Completed, ContinuedAsNew, Canceled, Pending, Suspended]),
            [(Invalid, &LIVE), (Replaced, &[Completed])],
        ),
        (
            "running but terminated",
            new(&[Running]),
            [(Invalid, &[Running]), (Exists, &[Pending, Suspended, Completed])],
        ),
        (
            "ignore",
            policy(&[Running, Completed], Legacy::Ignore),
            [(Kept, &[Running, Completed]), (Exists, &[Pending, Failed])],
        ),
        ("ignore nothing", policy(&[], Legacy::Ignore), [(Exists, &LIVE), (Exists, &ENDED)]),
        (
            "terminate",
            policy(&[Running, Failed], Legacy::Terminate),
            [(Replaced, &[Running, Failed]), (Exists, &[Pending, Suspended, Completed, Terminated])],
        ),
    ]
}

#[tokio::test]
async fn every_policy_meets_every_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let mut number = 0;
    for (name, policy, rules) in table() {
        let fresh = pb::CreateInstanceRequest { orchestration_id_reuse_policy: policy.clone(), ..creation("f", "") };
        sidecar.start_instance(fresh).await.expect("an id that was never used is free");
        for (told, statuses) in rules {
            for status in statuses {
                number += 1;
                let id = format!("i{number}");
                let case = format!("{name}, over {}", status.as_str_name());
                become_(&server, &mut sidecar, &id, *status).await;
                let before = state(&mut sidecar, &id).await;
                let request =
                    pb::CreateInstanceRequest { orchestration_id_reuse_policy: policy.clone(), ..creation("g", &id) };
                let answer = sidecar.start_instance(request).await;
                let after = state(&mut sidecar, &id).await;
                match told {
                    Replaced => {
                        assert_eq!(answer.expect(&case).into_inner().instance_id, id, "{case}");
                        assert_eq!((after.name.as_str(), after.orchestration_status()), ("g", Pending), "{case}");
                        assert_ne!(after.execution_id, before.execution_id, "{case}");
                        assert!(after.output.is_none() && after.failure_details.is_none(), "{case}");
                    }
                    Kept => assert_eq!(answer.expect(&case).into_inner().instance_id, id, "{case}"),
                    Exists => {
                        let refused = answer.expect_err(&case);
                        assert_eq!(refused.code(), Code::AlreadyExists, "{case}");
                        assert!(refused.message().contains("orchestration instance already exists"), "{case}");
                        assert_eq!(error_info(&refused).metadata["instance_id"], id);
                    }
                    Invalid => {
                        let refused = answer.expect_err(&case);
                        assert_eq!(refused.code(), Code::InvalidArgument, "{case}");
                        let text = "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of \
                                    running instances";
                        assert_eq!(refused.message(), text, "{case}");
                    }
                }
                if told != Replaced {
                    assert_eq!(after, before, "{case}");
                }
            }
        }
    }
}
