//! A server that can't be set up as it was told to says what is wrong, and where.

use std::{fs, net::TcpListener};

use crate::support::Server;

#[test]
fn a_setting_that_is_garbage_is_named_with_where_it_comes_from() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    let config = home.path().join("soloist.toml");
    let file = config.to_str().expect("text");
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);
    let cases: [Case; 10] = [
        (&["--lease", "soon"], &[], "", &["'soon'", "lease", "flag --lease", "a duration from 1s to 1h"]),
        (&["--lease", "10ms"], &[], "", &["'10ms'", "lease", "a duration from 1s to 1h"]),
        (&["--listen", "localhost"], &[], "", &["'localhost'", "flag --listen", "an IP address and a port"]),
        (&["--payload-bytes-max", "4MiB"], &[], "", &["'4MiB'", "flag --payload-bytes-max", "from 1 to 3145728"]),
        (&[], &[("SOLOIST_WATCHERS_MAX", "-1")], "", &["'-1'", "variable SOLOIST_WATCHERS_MAX", "a whole number"]),
        (&[], &[("SOLOIST_LOG", "soloist=loud")], "", &["'soloist=loud'", "variable SOLOIST_LOG", "a filter"]),
        (&["--config", file], &[], "workers-max = 0", &["'0'", "workers-max", file, "a whole number from 1"]),
        (&["--config", file], &[], "workers-max = [", &[file, "is not valid"]),
        (&["--config", file], &[], "wrokers-max = 1", &[file, "is not valid", "wrokers-max"]),
        (&["--config", "/no/such/file"], &[], "", &["/no/such/file", "can't be read"]),
    ];
    for (flags, environment, toml, says) in cases {
        fs::write(&config, toml).expect("a file");
        let Err((status, said)) = Server::try_start(&data, flags, environment) else {
            panic!("{flags:?} {environment:?} {toml:?} is taken")
        };
        assert_eq!(status.code(), Some(2), "{said}");
        for text in says {
            assert!(said.contains(text), "{flags:?} {environment:?} {toml:?}: no {text:?} in {said}");
        }
        assert!(!data.exists(), "nothing was made");
    }
    let wrong = [("SOLOIST_LEASE", "x"), ("SOLOIST_WORKERS_MAX", "y")];
    let Err((_, said)) = Server::try_start(&data, &["--drain-timeout", "z"], &wrong) else {
        panic!("garbage is taken")
    };
    for text in ["'x'", "'y'", "'z'"] {
        assert!(said.contains(text), "not all at once: no {text} in {said}");
    }
}

#[test]
fn an_address_in_use_is_named_and_nothing_is_made() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    let Err((status, said)) = Server::try_start(&data, &["--listen", &taken], &[]) else { panic!("it listens") };
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("can't listen on {taken}")) && said.contains("in use"), "{said}");
    assert!(!data.exists(), "nothing was made");
}
