//! Servers follow each other over one store with leases of different lengths: what a worker was told goes on to hold.

use std::collections::BTreeMap;

use soloist::{
    core::{
        command::{Report, ReportBody},
        ids::TaskHub,
        lease::NotHeld,
        time::Span,
    },
    engine::{Connection, workers::Mail},
};

use crate::stage::{FUNCTION, LEASE, MOMENT, Stage, just_before, key, name, settle};

/// The worker came back to a server with long leases, and was told so; that server died before it wrote anything more
/// of the run. The next one, with short leases again, gave the run to somebody else while the first one's lease stood.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_made_longer_stays_longer() {
    let long = Span::from_secs(60);
    let stage = Stage::new();
    let worker = stage.worker("first").await;
    stage.engine.start(&key("a"), stage.start()).await.expect("started");
    let Mail::Run(_, run) = worker.session.next_mail().await else { panic!("no run") };
    let accept = Report { proof: run.proof, body: ReportBody::Accept };
    stage.engine.report(key("a"), accept).await.expect("accepted");
    drop(worker);

    let stage = stage.crash_into(long).await;
    let held = BTreeMap::from([(run.proof, key("a"))]);
    let back = stage.engine.connect(TaskHub::default(), name("first"), vec![name(FUNCTION)], 1, held);
    let back = back.await.expect("it may come back");
    assert_eq!(back.continued, [(key("a"), run.proof)]);
    drop(back);

    let stage = stage.crash_into(LEASE).await;
    let _rival: Connection = stage.worker("rival").await;
    stage.clock.pass(just_before(long));
    settle().await;
    let held = stage.engine.status(&key("a"), None, false).await.expect("it is there").status.view;
    assert_eq!((held.worker, held.fencing_token), (Some(name("first")), run.proof.token));
    stage.clock.pass(MOMENT);
    assert_eq!(stage.engine.renew(&key("a"), run.proof), Err(NotHeld::Lost));
    stage.end().await;
}
