use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{CommandFactory, error::ErrorKind};

use super::*;
use crate::proto::v1::{
    ConflictPolicy, InstanceFilter, ListInstancesRequest, PurgeInstancesRequest, ReplaceableStatuses, RetryPolicy,
    RuntimeStatus, SignalOnConflict, StartSingletonRequest, WatchInstancesRequest, WatchStatusRequest, WorkerKind,
};

/// When these lines are typed: 1,000,000 s after the epoch.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn start(line: &str) -> StartSingletonRequest {
    match parse(line).unwrap().command {
        Command::Start(args) => args.request(now()).unwrap(),
        other => panic!("{line} is no start but {other:?}"),
    }
}

#[test]
fn the_definition_of_the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn a_plain_start_asks_for_nothing_special() {
    let expected = StartSingletonRequest {
        instance_id: "nightly".into(),
        function_name: "backup".into(),
        conflict_policy: ConflictPolicy::Fail.into(),
        worker_kind: WorkerKind::Any.into(),
        ..StartSingletonRequest::default()
    };
    assert_eq!(start("soloist start backup nightly"), expected);
}

#[test]
fn every_flag_of_start_reaches_the_request() {
    let line = "soloist start backup nightly --input {\"a\":1} --request-id r1 --on-conflict use-existing \
        --replaceable completed,failed --start-deadline 5m --run-timeout 1500ms --retry-attempts 3 \
        --retry-initial-backoff 2s --retry-max-backoff 1m --retry-multiplier 1.5 --function-version v2 \
        --tag team=ops --tag query=a=b --worker-kind native --max-queue 3 --start-at 5m --signal go \
        --signal-input 1 --wait";
    let seconds = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let expected = StartSingletonRequest {
        instance_id: "nightly".into(),
        function_name: "backup".into(),
        input: Some("{\"a\":1}".into()),
        request_id: "r1".into(),
        conflict_policy: ConflictPolicy::UseExisting.into(),
        worker_kind: WorkerKind::Native.into(),
        replaceable_statuses: Some(ReplaceableStatuses {
            statuses: vec![RuntimeStatus::Completed.into(), RuntimeStatus::Failed.into()],
        }),
        start_deadline: seconds(300, 0),
        run_timeout: seconds(1, 500_000_000),
        retry: Some(RetryPolicy {
            max_attempts: 3,
            initial_backoff: seconds(2, 0),
            max_backoff: seconds(60, 0),
            multiplier: 1.5,
        }),
        version: "v2".into(),
        tags: [("team".into(), "ops".into()), ("query".into(), "a=b".into())].into(),
        max_queue: 3,
        start_at: at(1_000_300),
        signal_on_conflict: Some(SignalOnConflict { name: "go".into(), input: Some("1".into()) }),
    };
    assert_eq!(start(line), expected);
}

#[test]
fn a_start_says_what_to_do_on_a_conflict() {
    let cases = [
        ("fail", ConflictPolicy::Fail),
        ("use-existing", ConflictPolicy::UseExisting),
        ("replace", ConflictPolicy::Replace),
        ("queue", ConflictPolicy::Queue),
        ("coalesce", ConflictPolicy::Coalesce),
    ];
    for (word, policy) in cases {
        assert_eq!(start(&format!("soloist start f i --on-conflict {word}")).conflict_policy(), policy, "{word}");
    }
}

#[test]
fn a_list_takes_every_filter() {
    let list = |line| match parse(line).unwrap().command {
        Command::List(args) => args.request(now()).unwrap(),
        other => panic!("{line} is no list but {other:?}"),
    };
    let all = InstanceFilter::default();
    let expected = ListInstancesRequest { filter: Some(all), page_size: 1000, page_token: String::new() };
    assert_eq!(list("soloist list"), expected);
    let line = "soloist list --status pending,running --status failed --function backup --prefix night \
        --created-from 1h --created-before 1970-01-13T00:00:00Z --tag team=ops --limit 20";
    let statuses = [RuntimeStatus::Pending, RuntimeStatus::Running, RuntimeStatus::Failed].map(i32::from);
    let filter = InstanceFilter {
        statuses: statuses.into(),
        function_name: "backup".into(),
        instance_id_prefix: "night".into(),
        created_from: at(996_400),
        created_before: at(12 * 86_400),
        tags: [("team".into(), "ops".into())].into(),
    };
    let expected = ListInstancesRequest { filter: Some(filter), page_size: 21, page_token: String::new() };
    assert_eq!(list(line), expected);
}

#[test]
fn a_purge_by_filter_says_how_long_ago() {
    let line = "soloist purge --status completed --completed-before 7d";
    let Command::Purge(args) = parse(line).unwrap().command else { panic!("no purge") };
    let expected = PurgeInstancesRequest {
        filter: Some(InstanceFilter { statuses: vec![RuntimeStatus::Completed.into()], ..Default::default() }),
        completed_before: at(1_000_000 - 7 * 86_400),
        ..PurgeInstancesRequest::default()
    };
    assert_eq!(args.wanted(now()).unwrap(), purge::Wanted::Many(expected));
}

#[test]
fn none_replaceable_differs_from_not_said() {
    let none = start("soloist start f i --replaceable none").replaceable_statuses;
    assert_eq!(none, Some(ReplaceableStatuses::default()));
    assert_eq!(start("soloist start f i").replaceable_statuses, None);
}

#[test]
fn wrong_command_lines_are_refused() {
    let cases = [
        ("soloist start backup", ErrorKind::MissingRequiredArgument),
        ("soloist start f i --replaceable completed,none", ErrorKind::ValueValidation),
        ("soloist start f i --on-conflict perhaps", ErrorKind::InvalidValue),
        ("soloist start f i --start-at tomorrow", ErrorKind::ValueValidation),
        ("soloist start f i --signal-input 1", ErrorKind::MissingRequiredArgument),
        ("soloist start f i --tag novalue", ErrorKind::ValueValidation),
        ("soloist start f i --start-deadline 5", ErrorKind::ValueValidation),
        ("soloist start f i --retry-multiplier 2", ErrorKind::MissingRequiredArgument),
        ("soloist watch i --from-revision -1", ErrorKind::UnknownArgument),
        ("soloist raise i", ErrorKind::MissingRequiredArgument),
        ("soloist watch", ErrorKind::MissingRequiredArgument),
        ("soloist watch i --prefix p", ErrorKind::ArgumentConflict),
        ("soloist watch --prefix p --function f", ErrorKind::ArgumentConflict),
        ("soloist list --status done", ErrorKind::InvalidValue),
        ("soloist list --limit 0", ErrorKind::ValueValidation),
        ("soloist purge --expected-execution-id a", ErrorKind::MissingRequiredArgument),
        ("soloist terminate i --execution-id a --expected-execution-id a", ErrorKind::ArgumentConflict),
        ("soloist completions csh", ErrorKind::InvalidValue),
        ("soloist stop", ErrorKind::InvalidSubcommand),
        ("soloist status i --timeout soon", ErrorKind::ValueValidation),
    ];
    for (line, expected) in cases {
        assert_eq!(parse(line).unwrap_err().kind(), expected, "{line}");
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn client_flags_stand_before_or_after_the_command() {
    let flags = "--server http://there:1 --hub h --json --timeout 2s";
    for line in [format!("soloist {flags} status i"), format!("soloist status i {flags}")] {
        let ClientArgs { server, hub, json, timeout } = parse(&line).unwrap().client;
        assert_eq!((server.as_str(), hub.as_str(), json), ("http://there:1", "h", true), "{line}");
        assert_eq!(timeout, Some(Duration::from_secs(2)), "{line}");
    }
}

fn watch(line: &str) -> Result<watch::Wanted, Error> {
    match parse(line).unwrap().command {
        Command::Watch(args) => args.wanted(),
        other => panic!("{line} is no watch but {other:?}"),
    }
}

#[test]
fn a_watch_from_the_beginning_differs_from_one_from_now() {
    let now = WatchStatusRequest { instance_id: "i".into(), ..WatchStatusRequest::default() };
    assert_eq!(watch("soloist watch i").unwrap(), watch::Wanted::One(now.clone()));
    let expected = WatchStatusRequest {
        execution_id: "e".into(),
        from_revision: Some(0),
        until_terminal: true,
        wait_for_start: true,
        include_payloads: true,
        ..now
    };
    let line = "soloist watch i --execution-id e --from-revision 0 --until-terminal --wait-for-start --payloads";
    assert_eq!(watch(line).unwrap(), watch::Wanted::One(expected));
}

#[test]
fn many_are_watched_by_their_ids_a_prefix_or_a_function() {
    let cases = [
        ("soloist watch a b", WatchInstancesRequest::of_ids(["a", "b"])),
        ("soloist watch --prefix night", WatchInstancesRequest::of_prefix("night")),
        ("soloist watch --prefix=", WatchInstancesRequest::of_prefix("")),
        ("soloist watch --function backup", WatchInstancesRequest::of_function("backup")),
    ];
    for (line, expected) in cases {
        assert_eq!(watch(line).unwrap(), watch::Wanted::Many(expected), "{line}");
    }
    assert_eq!(watch("soloist watch a b --until-terminal").unwrap_err().exit(), Exit::Usage);
}

#[test]
fn a_flag_of_the_server_wins_over_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("soloist.toml");
    std::fs::write(&file, "lease = '20s'\ndata-dir = 'elsewhere'\n").unwrap();
    let line = format!("soloist serve --config {} --lease 30s", file.display());
    let Command::Serve(args) = parse(&line).unwrap().command else { panic!("{line} is no serve") };

    let config = serve::configure(&args).unwrap();

    assert_eq!(config.lease, Duration::from_secs(30));
    assert_eq!(config.data_dir, PathBuf::from("elsewhere"));
}

#[test]
fn a_wrong_setting_is_told_with_its_flag() {
    let Command::Serve(args) = parse("soloist serve --lease 2h").unwrap().command else { panic!("no serve") };
    let told = serve::configure(&args).unwrap_err().to_string();
    assert!(told.contains("'2h' of lease, from the flag --lease"), "{told}");
}
