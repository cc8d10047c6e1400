//! The floors of `src/`: each file names only what lies below it, and what a floor must not know is absent there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The floors from the lowest to the highest, with all that each may use of the crate. What is beside it is not below it.
const FLOORS: [(&str, &[&str]); 20] = [
    // Deliberate faults: named where they are made.
    ("mutant", &[]),
    ("core", &["mutant"]),
    ("proto", &[]),
    ("clock", &["core"]),
    ("entropy", &[]),
    ("files", &[]),
    ("metrics", &["core"]),
    ("store", &["core", "proto", "files"]),
    ("engine", &["mutant", "core", "clock", "entropy", "metrics", "store"]),
    ("grpc", &["core", "proto", "store", "engine"]),
    // It calls the services as they stand on the wire: neither the engine nor the rules are its to know.
    ("http", &["proto", "grpc"]),
    ("client", &["proto"]),
    ("worker", &["proto", "client"]),
    ("config", &["core"]),
    ("telemetry", &["config"]),
    // It judges the others, so it knows none of them.
    ("checker", &[]),
    ("server", &["core", "proto", "clock", "entropy", "store", "engine", "grpc", "http", "config"]),
    ("cli", &["proto", "clock", "files", "store", "client", "worker", "config", "telemetry", "server"]),
    // The roots name what there is.
    ("lib", &[]),
    ("main", &["cli"]),
];

/// What only some files may name, and why.
const ABSENT: [(&[&str], &[&str], &str); 7] = [
    (
        &["tokio", "tonic", "prost", "rusqlite", "dashmap", "parking_lot", "getrandom", "futures_util"],
        &[],
        "core is pure",
    ),
    (&["rusqlite"], &["store/embedded"], "SQLite is one store's affair"),
    (
        &["tonic", "tonic_types", "tonic_health", "tonic_reflection", "tonic_web"],
        &["grpc", "http", "proto", "client", "worker", "server", "cli"],
        "gRPC stays at the edge",
    ),
    (&["axum", "tower_http", "tower_layer"], &["http"], "HTTP is one floor's affair"),
    (&["SystemTime::now"], &["clock", "core/time", "worker"], "the wall clock is read in clock alone"),
    (
        &["Instant::now"],
        // A timer is set anew by the runtime's own clock.
        &["clock", "grpc/idle", "client", "worker", "cli", "checker/tests"],
        "the steady clock is read in clock alone",
    ),
    (&["getrandom"], &["entropy", "client"], "randomness is drawn in entropy alone"),
];

/// A file of `src/`, by its path without the ending: `engine/watch`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: without_comments(text) }
    }

    fn floor(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || self.path.starts_with(&format!("{place}/")))
    }

    /// What is wrong with it.
    fn violations(&self) -> Vec<String> {
        let Some((_, below)) = FLOORS.iter().find(|(floor, _)| *floor == self.floor()) else {
            return vec![format!("{}: no floor has this name; give it one in tests/floors.rs", self.path)];
        };
        let mut wrong = Vec::new();
        for named in named_floors(&self.text) {
            if named != self.floor() && !below.contains(&named.as_str()) {
                wrong.push(format!("{} names {named}, which does not lie below it", self.path));
            }
        }
        for (words, places, why) in &ABSENT {
            let concerned = if places.is_empty() { self.is_under(&["core"]) } else { !self.is_under(places) };
            for word in words.iter().filter(|word| concerned && names(&self.text, word)) {
                wrong.push(format!("{} names {word}: {why}", self.path));
            }
        }
        let clocks = ["Instant", "SystemTime"];
        for word in clocks.iter().filter(|word| self.is_under(&["core", "engine", "store"]) && names(&self.text, word))
        {
            wrong.push(format!("{} names {word}: time is an argument, or the clock's", self.path));
        }
        wrong
    }
}

/// The parts of the crate that the text names: after `crate::` or `soloist::`, in nested lists too.
fn named_floors(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for root in ["crate", "soloist"] {
        for (at, _) in text.match_indices(&format!("{root}::")) {
            if text[..at].ends_with(|c: char| is_of_name(c) || c == ':') {
                continue;
            }
            let rest = &text[at + root.len() + 2..];
            match rest.strip_prefix('{') {
                None => named.extend(first_name(rest)),
                Some(list) => named.extend(heads(list)),
            }
        }
    }
    named
}

/// The first name of each part of a list in braces, whose opening brace was read.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut begins, mut heads) = (0_usize, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && is_of_name(c) => {
                heads.extend(first_name(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    heads
}

/// A module's name; types and macros of the crate's root are none.
fn first_name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !is_of_name(c)).unwrap_or(text.len());
    let name = &text[..end];
    name.starts_with(|c: char| c.is_ascii_lowercase()).then(|| name.to_owned())
}

/// Whether the word stands in the text as a name of its own: of a library `tonic::…`, else as it is.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let is_library = word.starts_with(|c: char| c.is_ascii_lowercase());
        let follows =
            if is_library { after.starts_with("::") || after.starts_with(';') } else { !after.starts_with(is_of_name) };
        let leads = !(before.ends_with(is_of_name) || is_library && before.ends_with("::"));
        follows && leads
    })
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What is said in comments binds nobody.
fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(&root).expect("below src").with_extension("");
                let text = fs::read_to_string(&path).expect("a source");
                sources.push(Source::new(&below.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    sources
}

#[test]
fn no_floor_looks_up() {
    let sources = sources();
    assert!(sources.len() > 60, "only {} files were found", sources.len());
    let wrong: Vec<String> = sources.iter().flat_map(Source::violations).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_floor_lies_below_those_that_use_it() {
    for (place, (floor, below)) in FLOORS.iter().enumerate() {
        for used in *below {
            assert!(
                FLOORS[..place].iter().any(|(lower, _)| lower == used),
                "{floor} uses {used}, which is no lower floor"
            );
        }
    }
}

/// A check that can't fail checks nothing: texts as nobody should write them, and what is found there.
#[test]
fn what_looks_up_is_found() {
    let cases = [
        ("core/instance", "use crate::store::Store;", "core/instance names store"),
        ("core/instance", "fn f() { crate::engine::watch::f() }", "names engine"),
        ("core/instance", "use crate::{core::{ids, time}, clock::Clock};", "names clock"),
        ("core/time", "use std::time::Instant;", "names Instant"),
        ("core/time", "use std::time::{Duration, SystemTime};", "names SystemTime"),
        ("core/lease", "use tokio::sync::Mutex;", "names tokio"),
        ("core/lease", "let e = tonic::Status::ok();", "names tonic"),
        ("store/memory", "use rusqlite::Connection;", "names rusqlite"),
        ("store/mod", "use crate::engine;", "names engine"),
        ("engine/timers", "let now = std::time::Instant::now();", "names Instant"),
        ("engine/query", "use tonic::Status;", "names tonic"),
        ("engine/query", "use crate::{\n    core::ids::{Name},\n    grpc::Door,\n};", "names grpc"),
        ("grpc/door", "use crate::server::run;", "names server"),
        ("grpc/door", "use crate::http::router;", "names http"),
        ("grpc/door", "use axum::Router;", "names axum"),
        ("http/start", "use crate::{engine::Engine, grpc::Orchestration};", "names engine"),
        ("client/mod", "use crate::{proto::v1, core::ids};", "names core"),
        ("worker/mod", "use crate::config::Config;", "names config"),
        ("server", "use crate::cli;", "names cli"),
        ("grpc/door", "let b = getrandom::u64();", "names getrandom"),
        ("attic/mod", "", "no floor has this name"),
    ];
    for (path, text, found) in cases {
        let wrong = Source::new(path, text).violations().join("\n");
        assert!(wrong.contains(found), "{path}: {text}: {wrong}");
    }
    let fine = [
        ("store/record", "use crate::{core::ids::Name, proto::store as disk};\nuse prost::Message;"),
        ("store/embedded/writer", "use rusqlite::Connection;"),
        ("core/lease", "//! Knows no tokio::sync and no crate::engine."),
        ("core/lease", "use crate::core::time::Span;\nuse super::Instance;"),
        ("worker/link", "use crate::client::Error;\nlet now = Instant::now();"),
        ("clock", "let now = SystemTime::now();"),
    ];
    for (path, text) in fine {
        assert_eq!(Source::new(path, text).violations(), [""; 0], "{path}: {text}");
    }
}
