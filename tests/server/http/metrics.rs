//! The metrics: in the format that Prometheus reads, and in agreement with what was done.

use std::collections::{BTreeMap, BTreeSet};

use soloist::proto::v1;

use super::INSTANCES;
use crate::support::{RawWorker, Server, Web};

/// Samples by name and labels, as they are written.
type Samples = BTreeMap<String, f64>;

async fn scrape(web: &Web) -> Samples {
    let answer = web.get("/metrics").await;
    let content_type = answer.header("content-type");
    assert_eq!((answer.status.as_u16(), content_type), (200, "text/plain; version=0.0.4; charset=utf-8"));
    parse(&answer.body)
}

/// Reads the text as strictly as promtool does: help and type before the samples, each family once and in one piece,
/// names and units by the conventions, histograms that add up.
fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let mut family: (String, String) = Default::default();
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').expect("a help text").0.to_owned();
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, helped, "a type without its help");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            check_name(name, kind);
            family = (name.to_owned(), kind.to_owned());
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let name = sample.split('{').next().expect("a name");
        let of_family = match family.1.as_str() {
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{}{end}", family.0)),
            _ => name == family.0,
        };
        assert!(of_family, "{line} stands among {family:?}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} comes twice");
    }
    families.iter().for_each(|name| check_histogram(&samples, name));
    samples
}

fn check_name(name: &str, kind: &str) {
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    assert!(name.starts_with("soloist_"), "{name} has no prefix");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    let is_time = name.split('_').any(|part| ["time", "duration", "age"].contains(&part));
    assert!(!is_time || name.ends_with("_seconds"), "{name} has no unit");
}

fn check_histogram(samples: &Samples, name: &str) {
    let bucket = format!("{name}_bucket{{le=\"");
    let bound_of = |sample: &str| {
        let bound = sample.strip_prefix(&bucket)?.strip_suffix("\"}")?;
        Some(if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") })
    };
    let buckets = samples.iter().filter_map(|(sample, count)| Some((bound_of(sample)?, *count)));
    let mut buckets: Vec<(f64, f64)> = buckets.collect();
    let Some(count) = samples.get(&format!("{name}_count")) else { return assert!(buckets.is_empty()) };
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}: {buckets:?}");
    assert_eq!(buckets.last().copied(), Some((f64::INFINITY, *count)), "{name}");
    assert!(samples.contains_key(&format!("{name}_sum")), "{name}");
}

/// The starts by outcome, but those that there were none of.
fn starts(samples: &Samples) -> BTreeMap<&str, f64> {
    let outcome = |sample: &'_ String| -> Option<(usize, usize)> {
        let prefix = "soloist_starts_total{outcome=\"";
        sample.starts_with(prefix).then(|| (prefix.len(), sample.len() - 2))
    };
    let counted = samples.iter().filter(|(_, count)| **count > 0.0);
    counted.filter_map(|(sample, count)| outcome(sample).map(|(from, to)| (&sample[from..to], *count))).collect()
}

fn instances(samples: &Samples) -> [f64; 6] {
    ["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]
        .map(|status| samples[&format!("soloist_instances{{status=\"{status}\"}}")])
}

#[tokio::test]
async fn what_is_counted_agrees_with_what_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let fresh = scrape(&web).await;
    assert_eq!((starts(&fresh).len(), instances(&fresh)), (0, [0.0; 6]));
    assert_eq!(fresh["soloist_oldest_pending_age_seconds"], 0.0);

    let mut client = server.client().await;
    let mut watches = Vec::new();
    for n in 0..10 {
        web.post(&format!("/orchestrators/f/i-{n}"), "").await;
        let request = v1::WatchStatusRequest { instance_id: format!("i-{n}"), ..Default::default() };
        watches.push(client.watch_status(request).await.expect("a watch"));
    }
    let more =
        ["i-0", "i-0", "i-1?conflictPolicy=USE_EXISTING", "i-2?conflictPolicy=REPLACE", "i-3?conflictPolicy=QUEUE"];
    for path in more.into_iter().chain(["r?requestId=1"; 3]).chain(["%00"]) {
        web.post(&format!("/orchestrators/f/{path}"), "").await;
    }
    web.post(&format!("{INSTANCES}/i-4/suspend"), "").await;
    web.post(&format!("{INSTANCES}/i-5/terminate"), "").await;
    web.post(&format!("{INSTANCES}/i-6/terminate"), "").await;
    web.ask("DELETE", &format!("{INSTANCES}/i-6"), &[], "").await;
    let waiting = scrape(&web).await;
    assert_eq!(instances(&waiting), [8.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let expected = [
        ("deduplicated", 2.0),
        ("joined", 1.0),
        ("queued", 1.0),
        ("rejected", 2.0),
        ("replaced", 1.0),
        ("started", 11.0),
    ];
    assert_eq!(starts(&waiting), BTreeMap::from(expected));
    let names = ["soloist_runs_waiting", "soloist_runs_held", "soloist_workers"];
    assert_eq!(names.map(|name| waiting[name]), [8.0, 0.0, 0.0]);
    assert!(waiting["soloist_oldest_pending_age_seconds"] > 0.0);

    let mut worker = RawWorker::join(&server, "w", &["f"], 3).await;
    let runs = [worker.run().await, worker.run().await, worker.run().await];
    let running = scrape(&web).await;
    assert_eq!(instances(&running), [5.0, 3.0, 1.0, 0.0, 0.0, 1.0]);
    let names = ["soloist_workers", "soloist_runs_held", "soloist_runs_waiting", "soloist_leases_granted_total"];
    assert_eq!(names.map(|name| running[name]), [1.0, 3.0, 5.0, 3.0]);
    let commits = running["soloist_commit_duration_seconds_count"];
    assert_eq!(commits, running["soloist_commit_changes_count"]);
    assert!(commits > 0.0 && commits <= running["soloist_commit_changes_sum"]);

    // What stands is counted anew after a restart, what happened begins at zero.
    drop((watches, worker, runs));
    server.stop().await;
    let server = Server::with_long_leases(folder.path());
    let again = scrape(&Web::new(&server)).await;
    assert_eq!((instances(&again), starts(&again).len()), (instances(&running), 0));
}

#[tokio::test]
async fn watches_are_counted_while_they_are_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    web.post("/orchestrators/f/i", "").await;
    let mut client = server.client().await;
    let mut watches = Vec::new();
    for _ in 0..7 {
        let request = v1::WatchStatusRequest { instance_id: "i".into(), ..Default::default() };
        watches.push(client.watch_status(request).await.expect("a watch"));
    }
    assert_eq!(scrape(&web).await["soloist_watchers"], 7.0);
}

#[tokio::test]
async fn leases_that_run_out_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let web = Web::new(&server);
    web.post("/orchestrators/f/i", "").await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    worker.take().await;
    worker.cancel().await;
    let samples = scrape(&web).await;
    let names = ["soloist_leases_granted_total", "soloist_leases_expired_total", "soloist_runs_held"];
    assert_eq!(names.map(|name| samples[name]), [1.0, 1.0, 0.0]);
    assert_eq!(instances(&samples), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}
