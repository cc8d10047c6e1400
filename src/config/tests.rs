use std::{path::Path, time::Duration};

use super::*;

fn flag(name: &str, text: &str) -> Option<Given> {
    Some(Given { text: text.into(), origin: Origin::Flag(name.into()) })
}

fn variable(name: &str, text: &str) -> Option<Given> {
    Some(Given { text: text.into(), origin: Origin::Variable(name.into()) })
}

fn read(settings: Settings) -> Result<Config, String> {
    Config::from_settings(settings, Some(Path::new("soloist.toml"))).map_err(|e| e.to_string())
}

#[test]
fn nothing_set_gives_the_defaults() {
    assert_eq!(read(Settings::default()), Ok(Config::default()));
}

#[test]
fn flags_and_variables_win_over_the_file_and_the_file_over_the_defaults() {
    let typed = Settings {
        listen: flag("listen", "0.0.0.0:1"),
        lease: variable("SOLOIST_LEASE", "20s"),
        ..Settings::default()
    };
    let file = Settings::from_toml("listen = '0.0.0.0:2'\nlease = '30s'\nworkers-max = 7").unwrap();

    let config = read(typed.over(file)).unwrap();

    assert_eq!(config.listen, "0.0.0.0:1".parse().unwrap());
    assert_eq!(config.lease, Duration::from_secs(20));
    assert_eq!(config.workers_max, 7);
    assert_eq!(config.watchers_max, Config::default().watchers_max);
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let unusual = Config {
        listen: "[::1]:0".parse().unwrap(),
        data_dir: "a \"quoted\"\\folder".into(),
        log: LogConfig { filter: "soloist=debug,h2=warn".into(), format: LogFormat::Json },
        lease: Duration::from_millis(1_500),
        turn_lease: Duration::from_secs(90),
        watch_heartbeat: Duration::from_secs(7),
        max_connection_age: Some(Duration::from_secs(5_400)),
        payload_bytes_max: 3 << 20,
        http_allowed_origins: vec!["https://app.example".into(), "http://[::1]:8080".into()],
        ..Config::default()
    };
    for config in [Config::default(), unusual] {
        let text = config.to_toml();
        assert_eq!(read(Settings::from_toml(&text).unwrap()), Ok(config), "{text}");
    }
}

#[test]
fn a_wrong_value_says_which_where_what_and_what_is_allowed() {
    let sizes = "a number of bytes from 1 to 3145728, or one with KiB or MiB, such as 1MiB";
    let cases = [
        (
            Settings { lease: flag("lease", "15"), ..Settings::default() },
            "the value '15' of lease, from the flag --lease, is not allowed: it must be a duration from 1s to 1h, with its unit, such as 1h 30m".into(),
        ),
        (
            Settings { listen: variable("SOLOIST_LISTEN", "localhost:4001"), ..Settings::default() },
            "the value 'localhost:4001' of listen, from the variable SOLOIST_LISTEN, is not allowed: it must be an IP address and a port, such as 127.0.0.1:4001 or [::1]:4001".into(),
        ),
        (
            Settings::from_toml("workers-max = 0").unwrap(),
            "the value '0' of workers-max, from the configuration file soloist.toml, is not allowed: it must be a whole number from 1 to 1000000".into(),
        ),
        (
            Settings { payload_bytes_max: flag("payload-bytes-max", "4MiB"), ..Settings::default() },
            format!("the value '4MiB' of payload-bytes-max, from the flag --payload-bytes-max, is not allowed: it must be {sizes}"),
        ),
        (
            Settings { payload_bytes_max: flag("payload-bytes-max", "-1"), ..Settings::default() },
            format!("the value '-1' of payload-bytes-max, from the flag --payload-bytes-max, is not allowed: it must be {sizes}"),
        ),
        (
            Settings { log_format: flag("log-format", "xml"), ..Settings::default() },
            "the value 'xml' of log-format, from the flag --log-format, is not allowed: it must be text or json".into(),
        ),
        (
            Settings { data_dir: flag("data-dir", ""), ..Settings::default() },
            "the value '' of data-dir, from the flag --data-dir, is not allowed: it must be the path of a folder".into(),
        ),
    ];
    for (settings, expected) in cases {
        assert_eq!(read(settings), Err(expected));
    }
}

#[test]
fn what_no_browser_sends_is_no_origin() {
    for text in
        ["", "*", "null", "a.example", "https://", "https://a.example/", "https://A.example", "http://a,,http://b"]
    {
        let settings = Settings { http_allowed_origins: flag("http-allowed-origins", text), ..Settings::default() };
        assert!(read(settings).is_err(), "{text}");
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let told = read(Settings {
        lease: flag("lease", "2h"),
        watch_heartbeat: flag("watch-heartbeat", "0s"),
        request_memory: flag("request-memory", "1s"),
        log: flag("log", "soloist=loud"),
        max_connection_age: flag("max-connection-age", "never"),
        ..Settings::default()
    })
    .unwrap_err();
    assert_eq!(told.lines().count(), 5, "{told}");
}

#[test]
fn values_may_be_written_in_several_ways() {
    let bytes = [("1048576", 1 << 20), ("512KiB", 512 << 10), ("2 MiB", 2 << 20)];
    for (text, expected) in bytes {
        let settings = Settings { payload_bytes_max: flag("payload-bytes-max", text), ..Settings::default() };
        assert_eq!(read(settings).unwrap().payload_bytes_max, expected, "{text}");
    }
    let origins: [(&str, &[&str]); 3] = [
        ("off", &[]),
        ("https://a.example", &["https://a.example"]),
        ("http://a:1, http://b", &["http://a:1", "http://b"]),
    ];
    for (text, expected) in origins {
        let settings = Settings { http_allowed_origins: flag("http-allowed-origins", text), ..Settings::default() };
        assert_eq!(read(settings).unwrap().http_allowed_origins, expected, "{text}");
    }
    let ages = [("off", None), ("1h 30m", Some(Duration::from_secs(5_400)))];
    for (text, expected) in ages {
        let settings = Settings { max_connection_age: flag("max-connection-age", text), ..Settings::default() };
        assert_eq!(read(settings).unwrap().max_connection_age, expected, "{text}");
    }
}

#[test]
fn a_file_with_an_unknown_key_or_another_type_is_refused_with_its_place() {
    for (text, expected) in [
        ("leese = '15s'", "unknown field `leese`"),
        ("lease = ['15s']", "expected a string or a whole number"),
        ("lease = true", "expected a string or a whole number"),
        ("lease = ", "line 1"),
    ] {
        let told = Settings::from_toml(text).unwrap_err().to_string();
        assert!(told.contains(expected) && told.contains("line 1"), "{told}");
    }
}
