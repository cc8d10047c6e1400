//! `soloist bench`: that each load runs and says what it promises. What the figures are is the machine's affair.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::program::{Done, Running, Server, run, soloist};

/// As short as can be.
const SHORT: [&str; 6] = ["--duration", "200ms", "--warmup", "20ms", "--in-flight", "4"];

const LOADS: [&str; 13] = [
    "echo", "start", "contend", "status", "watch", "runs", "list", "http", "activity", "turns", "fanout", "eternal",
    "disk",
];

/// Those with a Durable Task worker.
const DURABLE_TASK: [&str; 4] = ["activity", "turns", "fanout", "eternal"];

/// One of their orchestrations takes many commits: on a slow disk nothing would end in the shortest round.
const ORCHESTRATIONS: [&str; 8] = ["--duration", "2s", "--warmup", "20ms", "--in-flight", "4", "--activities", "2"];

fn bench(folder: &Path, args: &[&str]) -> Done {
    bench_as(&SHORT, folder, args)
}

fn bench_as(how: &[&str], folder: &Path, args: &[&str]) -> Done {
    let folder = folder.to_str().expect("UTF-8");
    run(&[&["bench"], args, how, &["--folder", folder]].concat())
}

#[track_caller]
fn number(figures: &Value, path: &str) -> f64 {
    let found = figures.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {path} in {figures:#}"))
}

#[test]
fn every_load_says_what_it_promises_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for load in LOADS {
        let has_turns = DURABLE_TASK.contains(&load);
        let how = if has_turns { &ORCHESTRATIONS[..] } else { &SHORT };
        let report = bench_as(how, folder.path(), &[load, "--json", "--instances", "20"]).ends_with(0).json();
        assert_eq!(report["load"], load);
        assert_eq!(report["rounds"].as_array().map(Vec::len), Some(1), "{report:#}");
        let round = &report["rounds"][0];
        for field in ["/requests", "/perSecond", "/seconds", "/latencyMicros/p50"] {
            assert!(number(round, field) > 0.0, "{field} of {load}: {round:#}");
        }
        let rising = ["/latencyMicros/p50", "/latencyMicros/p99", "/latencyMicros/p999", "/latencyMicros/max"];
        assert!(rising.map(|field| number(round, field)).is_sorted(), "{round:#}");
        assert_eq!(number(&report, "/median/perSecond"), number(round, "/perSecond"));
        if load == "disk" {
            assert_eq!((report["inFlight"].as_u64(), report.get("server")), (Some(1), None), "{report:#}");
            assert_eq!(round.get("serverCpuMicros"), None, "{round:#}");
        } else {
            assert_eq!((&report["inFlight"], &report["server"]["started"]), (&4.into(), &true.into()), "{report:#}");
            // One that ended within a clock tick can be 0.
            assert!(!cfg!(target_os = "linux") || number(round, "/serverCpuMicros") >= 0.0);
            assert!(!cfg!(target_os = "linux") || number(round, "/serverMemoryBytes") > 1e6);
        }
        assert_eq!(round.get("lastToldMicros").is_some(), load == "watch", "{round:#}");
        assert_eq!(round.get("turns").is_some(), has_turns, "{round:#}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{load} has left something behind");
    }
}

#[test]
fn two_loads_in_turn_have_a_ratio_for_each_pair_of_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let report = bench(folder.path(), &["start", "--compare", "echo", "--rounds", "2", "--json"]).ends_with(0).json();
    let compare = &report["compare"];
    assert_eq!(compare["load"], "echo");
    for pair in 0..2 {
        let of = |rounds: &Value| number(&rounds[pair], "/perSecond");
        let expected = of(&report["rounds"]) / of(&compare["rounds"]);
        assert!((of(&compare["ratios"]) - expected).abs() < 1e-6, "{report:#}");
    }
    let ratios = [0, 1].map(|pair| number(&compare["ratios"][pair], "/p50"));
    assert!((number(compare, "/medianRatio/p50") - (ratios[0] + ratios[1]) / 2.0).abs() < 1e-6, "{report:#}");

    let told = bench(folder.path(), &["start", "--compare", "echo", "--rounds", "2"]).ends_with(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines.contains(&"start divided by echo:"), "{told:#?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("median  ")), "{told:#?}");
    assert_eq!(told.stderr, "", "progress is for terminals");
}

#[test]
fn a_payload_goes_with_echoes_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    for load in ["echo", "start", "http"] {
        let report = bench(folder.path(), &[load, "--payload", "100000", "--json"]).ends_with(0).json();
        assert_eq!(report["payloadBytes"], 100_000, "{load}");
    }
}

/// Every orchestration goes all the way, also the last ones of a round. What is counted of turns and activities is what
/// was completed between two moments, so it fits what has ended but for what was under way.
#[test]
fn durable_task_orchestrations_come_to_their_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::serve(data.path());
    let here = tempfile::tempdir().unwrap();
    // Of each orchestration, with two activities where that can be said.
    let cases = [("activity", 2.0, 1.0), ("turns", 3.0, 2.0), ("fanout", 2.0, 2.0), ("eternal", 1.0, 0.0)];
    for (load, turns, activities) in cases {
        let args = [load, "--against", &server.address, "--json", "--hub", load, "--payload", "9"];
        let report = bench_as(&ORCHESTRATIONS, here.path(), &args).ends_with(0).json();
        let round = &report["rounds"][0];
        let (done, under_way) = (number(round, "/requests"), 4.0 * turns);
        // A turn of a fan-out is told of one activity or of both.
        let turns_max = if load == "fanout" { 3.0 } else { turns };
        let counted = number(round, "/turns");
        assert!(counted >= done * turns - under_way && counted <= done * turns_max + under_way, "{load}: {round:#}");
        let counted = number(round, "/activities");
        assert!((counted - done * activities).abs() <= under_way, "{load}: {round:#}");
        if cfg!(target_os = "linux") {
            assert!(number(round, "/serverCpuMicrosByTurn") >= 0.0, "{round:#}");
            assert_eq!(round.get("serverCpuMicrosByActivity").is_some(), activities > 0.0, "{round:#}");
        }
        let listed = |status| server.run(&["list", "--hub", load, "--json", "--limit", "1", "--status", status]);
        let ended = listed("completed").ends_with(0).json();
        assert!(ended["functionName"].as_str().is_some_and(|name| name.starts_with("bench-")), "{ended:#}");
        for status in ["pending", "running", "failed", "terminated"] {
            assert_eq!(listed(status).ends_with(0).stdout, "", "{status} of {load}");
        }
    }
    let args = ["turns", "--compare", "eternal", "--rounds", "1"];
    let told = bench_as(&ORCHESTRATIONS, here.path(), &args).ends_with(0);
    assert!(told.stdout.contains("BY TURN") && told.stdout.contains("BY ACTIVITY"), "{told:#?}");
}

/// A server that somebody else has started, and that goes on afterwards.
#[test]
fn a_server_by_its_address_serves_the_echo_only_where_it_was_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Server::serve(folder.path());
    let address = plain.address.as_str();
    let here = tempfile::tempdir().unwrap();
    for args in [&["echo"][..], &["start", "--compare", "echo"]] {
        let refused = bench(here.path(), &[args, &["--against", address]].concat()).ends_with(2);
        assert!(refused.stderr.contains("soloist serve --bench-echo"), "{refused:#?}");
    }
    let report = bench(here.path(), &["start", "--against", address, "--json", "--hub", "load"]).ends_with(0).json();
    assert_eq!(report["server"]["started"], false);
    if cfg!(target_os = "linux") {
        assert!(report["server"]["processId"].is_u64(), "it is on this machine: {report:#}");
    }
    let listed = plain.run(&["list", "--hub", "load", "--json", "--limit", "1"]).ends_with(0).json();
    assert_eq!(listed["functionName"], "bench");

    let data = folder.path().join("echoing");
    let serve = ["serve", "--bench-echo", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"];
    let echoing = Running::start(soloist(&serve).arg(data));
    let ready: Value = serde_json::from_str(&echoing.stderr.until("\"ready\"")).unwrap();
    let address = ready["address"].as_str().unwrap();
    bench(here.path(), &["echo", "--against", address]).ends_with(0);
}

#[test]
fn what_can_not_be_measured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 12] = [
        (&["--json"], "<LOAD>"),
        (&["loudness"], "possible values: echo, start"),
        (&["echo", "--in-flight", "0"], "--in-flight"),
        (&["echo", "--connections", "0"], "--connections"),
        (&["echo", "--payload", "4000000"], "--payload"),
        (&["turns", "--activities", "0"], "--activities"),
        (&["echo", "--duration", "10ms"], "it must be 50ms to 1day"),
        (&["echo", "--warmup", "soon"], "--warmup"),
        (&["start", "--compare", "nothing"], "--compare"),
        (&["disk", "--against", "localhost:1"], "disk asks no server"),
        (&["watch", "--in-flight", "40000", "--connections", "2"], "raise --connections"),
        (&["echo", "--folder", "/dev/null"], "--folder /dev/null is not there, or no folder"),
    ];
    for (args, why) in cases {
        let refused = run(&[&["bench"], args].concat()).ends_with(2);
        assert!(refused.stderr.contains(why), "{args:?}: {refused:#?}");
    }
    let unreachable = bench(folder.path(), &["start", "--against", "http://127.0.0.1:1"]).ends_with(1);
    assert!(unreachable.stderr.contains("cannot connect to http://127.0.0.1:1"), "{unreachable:#?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_signal_ends_it_with_its_server_and_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = soloist(&["bench", "start", "--duration", "1h", "--folder"]);
    let bench = Running::start(command.arg(folder.path()));
    // Signals are heard before there is a folder.
    let until = Instant::now() + Duration::from_secs(15);
    while fs::read_dir(folder.path()).unwrap().count() == 0 {
        assert!(Instant::now() < until, "there is no folder");
        thread::yield_now();
    }
    bench.signal("TERM");
    let ended = bench.end().ends_with(1);
    assert!(ended.stderr.contains("SIGTERM: the bench was stopped"), "{ended:#?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Whoever has started it may have been killed. Here stdin is closed from the beginning.
#[test]
fn the_server_of_a_bench_ends_with_its_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = soloist(&["bench-server", "--listen", "127.0.0.1:0", "--data-dir"]);
    let ended = Running::start(command.arg(folder.path())).end().ends_with(0);
    assert!(ended.stderr.contains("ready"), "{ended:#?}");
}
