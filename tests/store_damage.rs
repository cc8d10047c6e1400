//! What the embedded store does when its files are not what it left there: refuse them untouched, or lose nothing.
#![cfg(feature = "server")]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rusqlite::Connection;
use soloist::{
    core::{
        ids::{Arrival, Revision},
        partitioning::PartitionId,
    },
    store::{
        Batch, Claim, CommitError, ReadError, RowKey, Store, Table, Write,
        embedded::{Config, Embedded, OpenError},
    },
};
use tempfile::TempDir;

const DATABASE: &str = "soloist.db";
const LOG: &str = "soloist.db-wal";

type Files = BTreeMap<String, Vec<u8>>;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(folder: &TempDir) -> Embedded {
    Embedded::open(Config::new(folder.path())).expect("a store that opens")
}

fn claim(store: &Embedded) -> Claim {
    store.claim(&[PartitionId(0)]).expect("a claim")[0]
}

fn record(arrival: u64) -> RowKey {
    RowKey { arrival: Arrival(arrival), number: 0 }
}

fn value(arrival: u64) -> Vec<u8> {
    format!("the record of instance {arrival}").into_bytes()
}

/// Commits the record of one arrival.
fn commit(store: &Embedded, claim: &mut Claim, arrival: u64) -> Result<(), CommitError> {
    let writes = vec![Write::Put { table: Table::Record, key: record(arrival), bytes: value(arrival) }];
    let Claim { partition, epoch, sequence, .. } = *claim;
    let batch = Batch { partition, epoch, sequence: sequence + 1, revision: Revision(arrival), writes };
    store.commit(&[batch])?;
    claim.sequence += 1;
    Ok(())
}

/// A store with the records 1 to `last`, closed.
fn closed_store(last: u64) -> TempDir {
    let folder = folder();
    let store = open(&folder);
    let mut claim = claim(&store);
    (1..=last).for_each(|arrival| commit(&store, &mut claim, arrival).expect("a commit"));
    store.close().expect("a clean end");
    folder
}

/// The same, but the server died: the log was never emptied.
fn crashed_store(last: u64) -> TempDir {
    let folder = folder();
    let store = open(&folder);
    let mut claim = claim(&store);
    (1..=last).for_each(|arrival| commit(&store, &mut claim, arrival).expect("a commit"));
    drop(store);
    folder
}

fn arrivals(store: &Embedded) -> Vec<u64> {
    let rows = store.scan(Table::Record, None, usize::MAX).expect("a scan");
    for row in &rows {
        assert_eq!(row.bytes, value(row.key.arrival.0));
    }
    rows.into_iter().map(|row| row.key.arrival.0).collect()
}

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("a plain name");
    entries.map(|entry| (name(&entry), fs::read(entry.path()).expect("a file"))).collect()
}

fn restored(files: &Files) -> TempDir {
    let folder = folder();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("a file");
    }
    folder
}

/// Opens what must be refused, and checks that not a byte changed.
fn refusal(folder: &TempDir) -> OpenError {
    let before = files(folder.path());
    let Err(error) = Embedded::open(Config::new(folder.path())) else { panic!("the folder was not refused") };
    let after = files(folder.path());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "after: {error}");
    for (name, bytes) in before {
        assert!(after[&name] == bytes, "{name} changed after: {error}");
    }
    error
}

fn assert_says(error: &dyn Error, words: &[&str]) {
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is missing in: {error}");
    }
}

fn sql(folder: &TempDir, statements: &str) {
    let database = Connection::open(folder.path().join(DATABASE)).expect("a database");
    database.execute_batch(statements).expect("statements");
}

#[test]
fn a_folder_serves_one_store_at_a_time() {
    let folder = folder();
    let store = open(&folder);
    let Err(error) = Embedded::open(Config::new(folder.path())) else { panic!("two stores in one folder") };
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert_says(&error, &["in use by another server"]);
    let mut claim = claim(&store);
    commit(&store, &mut claim, 1).expect("the first store is not disturbed");
    store.close().expect("a clean end");
    assert_eq!(arrivals(&open(&folder)), [1], "closed is free, even before it is dropped");
}

#[test]
fn a_clean_end_leaves_no_log() {
    let folder = closed_store(3);
    let names: Vec<String> = files(folder.path()).into_keys().collect();
    assert_eq!(names, ["FORMAT", "LOCK", "MARK", DATABASE]);
}

#[test]
fn parents_are_created() {
    let folder = folder();
    let deep = folder.path().join("a/b/c");
    Embedded::open(Config::new(&deep)).expect("a new store").close().expect("a clean end");
    assert!(deep.join(DATABASE).exists());
}

#[test]
fn a_file_is_no_folder() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "precious").expect("a file");
    let Err(error) = Embedded::open(Config::new(&file)) else { panic!("a file was opened as a folder") };
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert_eq!(fs::read(&file).expect("a file"), b"precious");
}

#[test]
fn a_newer_format_is_refused() {
    for folder in [closed_store(1), crashed_store(1)] {
        fs::write(folder.path().join("FORMAT"), "soloist-store 7\n").expect("a file");
        let error = refusal(&folder);
        assert!(matches!(error, OpenError::FormatNewer { found: 7, supported: 1, .. }), "{error}");
        assert_says(&error, &["format 7", "up to 1"]);
    }
    let folder = closed_store(1);
    sql(&folder, "UPDATE meta SET value = '7' WHERE name = 'format'");
    assert!(matches!(refusal(&folder), OpenError::FormatNewer { found: 7, .. }));
}

#[test]
fn an_unreadable_format_is_refused() {
    for text in ["", "soloist-store", "soloist-store x\n", "soloist-store 0\n", "soloist-store -1", "1\n", "\u{0}\u{1}"]
    {
        let folder = closed_store(1);
        fs::write(folder.path().join("FORMAT"), text).expect("a file");
        let error = refusal(&folder);
        assert!(matches!(error, OpenError::FormatUnreadable { .. }), "{text:?}: {error}");
    }
}

#[test]
fn a_missing_file_is_refused() {
    let cases: [(&[&str], &str); 5] = [
        (&["FORMAT"], "no FORMAT"),
        (&[DATABASE], "no database"),
        (&[DATABASE, "FORMAT"], "no database"),
        (&[DATABASE, LOG, "MARK"], "no database"),
        (&[DATABASE, "MARK", "FORMAT"], "no database"),
    ];
    for (missing, says) in cases {
        let folder = crashed_store(1);
        missing.iter().for_each(|name| fs::remove_file(folder.path().join(name)).expect("a file"));
        let error = refusal(&folder);
        assert!(matches!(error, OpenError::Incomplete { .. }), "without {missing:?}: {error}");
        assert_says(&error, &[says]);
    }
}

/// A server that died while it made its store left a folder that every later start refused.
#[test]
fn a_store_whose_making_was_interrupted_is_made_anew() {
    let whole = files(closed_store(1).path());
    for database in [b"SQLite form".as_slice(), b"", whole[DATABASE].as_slice()] {
        for format in [None, Some(b"solo".as_slice()), Some(whole["FORMAT"].as_slice())] {
            let folder = folder();
            fs::write(folder.path().join("soloist.db.new"), database).expect("a file");
            fs::write(folder.path().join("soloist.db.new-wal"), "torn").expect("a file");
            format.iter().for_each(|bytes| fs::write(folder.path().join("FORMAT"), bytes).expect("a file"));
            let store = open(&folder);
            assert!(arrivals(&store).is_empty(), "what is made anew is empty");
            let mut claim = claim(&store);
            commit(&store, &mut claim, 1).expect("a commit");
            store.close().expect("a clean end");
            assert_eq!(arrivals(&open(&folder)), [1]);
        }
    }
}

#[test]
fn another_layout_is_refused() {
    for (what, update) in [
        ("partitions", "UPDATE meta SET value = '64' WHERE name = 'partitions'"),
        ("hash", "UPDATE meta SET value = 'crc32' WHERE name = 'hash'"),
    ] {
        let folder = closed_store(1);
        sql(&folder, update);
        let error = refusal(&folder);
        assert!(matches!(error, OpenError::LayoutDiffers { .. }), "{error}");
        assert_says(&error, &[what]);
    }
}

/// A restored backup of the database under a MARK that has seen more: acknowledged commits are gone.
#[test]
fn a_database_short_of_its_mark_is_refused() {
    let older = files(closed_store(3).path());
    let newer = files(closed_store(5).path());
    let mixed: Files =
        [older.clone(), [("MARK".to_owned(), newer["MARK"].clone())].into()].into_iter().flatten().collect();
    let error = refusal(&restored(&mixed));
    // The claim is a commit too.
    assert!(matches!(error, OpenError::ShortOfMark { found: 4, mark: 6, .. }), "{error}");
    assert_says(&error, &["commit 4", "commit 6", "damaged or replaced by an older copy"]);
    let reversed: Files = [newer, [("MARK".to_owned(), older["MARK"].clone())].into()].into_iter().flatten().collect();
    assert_eq!(arrivals(&open(&restored(&reversed))), [1, 2, 3, 4, 5], "a late MARK is none too");
}

/// The log of a crashed server was removed, or flipped somewhere in the middle: SQLite ends the log there in silence.
#[test]
fn a_log_that_lost_marked_commits_is_refused() {
    let mut crashed = files(crashed_store(5).path());
    crashed.remove("LOCK");
    crashed.insert("MARK".into(), files(closed_store(5).path())["MARK"].clone());
    assert_eq!(arrivals(&open(&restored(&crashed))), [1, 2, 3, 4, 5]);

    let mut without = crashed.clone();
    without.remove(LOG);
    let error = refusal(&restored(&without));
    assert!(matches!(error, OpenError::ShortOfMark { found: 0, mark: 6, .. }), "{error}");

    let length = crashed[LOG].len();
    for at in [0, 31, 32, 60, length / 2, length - 1] {
        let mut flipped = crashed.clone();
        flipped.get_mut(LOG).expect("a log")[at] ^= 0x40;
        let error = refusal(&restored(&flipped));
        assert!(matches!(error, OpenError::ShortOfMark { mark: 6, .. }), "flipped at {at}: {error}");
    }
}

#[test]
fn what_is_no_whole_database_is_refused() {
    let whole = files(closed_store(100).path());
    let length = whole[DATABASE].len();
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut flipped = whole[DATABASE].clone();
    flipped[3] ^= 1;
    let cases =
        [garbage, b"tiny".to_vec(), vec![], vec![0; 65_536], whole[DATABASE][..length - 8192].to_vec(), flipped];
    for (n, bytes) in cases.into_iter().enumerate() {
        let mut files = whole.clone();
        files.insert(DATABASE.into(), bytes);
        let error = refusal(&restored(&files));
        assert!(matches!(error, OpenError::Damaged { .. }), "case {n}: {error}");
        assert_says(&error, &["damaged"]);
    }
    let folder = closed_store(1);
    sql(&folder, "DELETE FROM \"partition\"");
    assert!(matches!(refusal(&folder), OpenError::Damaged { .. }));
}

/// Bits of a value turned on the disk, where SQLite itself would not notice.
#[test]
fn a_damaged_row_is_named() {
    let folder = closed_store(4);
    let path = folder.path().join(DATABASE);
    let mut bytes = fs::read(&path).expect("a file");
    let wanted = value(3);
    let at = bytes.windows(wanted.len()).position(|found| found == wanted).expect("the value stands in the file");
    bytes[at + 5] ^= 1;
    fs::write(&path, &bytes).expect("a file");
    let error = refusal(&folder);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_says(&error, &["Record row 3/0 is damaged", "checksum"]);
    bytes[at + 5] ^= 1;
    fs::write(&path, bytes).expect("a file");

    let store = open(&folder);
    sql(&folder, "UPDATE record SET checksum = checksum + 1 WHERE arrival = 3");
    let error = store.scan(Table::Record, None, 9).expect_err("a damaged row");
    assert!(matches!(&error, ReadError::Damaged { table: Table::Record, key, .. } if *key == record(3)), "{error}");
    assert_says(&error, &["Record row 3/0 is damaged", "checksum"]);
    assert!(store.read(Table::Record, Arrival(3), 0, 1).is_err());
    assert_eq!(store.scan(Table::Record, None, 2).expect("the rows before it").len(), 2);
    assert_eq!(store.scan(Table::Record, Some(record(3)), 9).expect("the rows behind it").len(), 1);
}

#[test]
fn rows_that_strayed_are_damaged() {
    for stray in [
        "UPDATE record SET arrival = 7 WHERE arrival = 3",
        "UPDATE record SET (checksum, bytes) = (SELECT checksum, bytes FROM record WHERE arrival = 1) WHERE arrival = 3",
        "UPDATE record SET bytes = x'' WHERE arrival = 3",
        "UPDATE record SET arrival = -7 WHERE arrival = 3",
    ] {
        let folder = closed_store(4);
        sql(&folder, stray);
        let error = refusal(&folder);
        assert!(matches!(error, OpenError::Damaged { .. }), "{stray}: {error}");
    }
    let folder = closed_store(4);
    sql(&folder, "INSERT INTO event SELECT arrival, 0, checksum, bytes FROM record");
    assert!(matches!(open(&folder).scan(Table::Event, None, 1), Err(ReadError::Damaged { .. })), "another table's");
}

/// A machine that died during a commit: however much of it reached the disk, the store opens, what was acknowledged
/// is there, and the last commit is there as a whole or not at all.
#[test]
fn a_torn_last_commit_is_all_or_nothing() {
    const FRAME_HEADER_BYTES: usize = 24;
    let folder = folder();
    let store = open(&folder);
    let mut claim = claim(&store);
    (1..=3).for_each(|arrival| commit(&store, &mut claim, arrival).expect("a commit"));
    let before = files(folder.path());
    commit(&store, &mut claim, 4).expect("the commit that gets torn");
    let mut torn = files(folder.path());
    // As it was before that commit, since a MARK names what was acknowledged.
    torn.insert("MARK".into(), before["MARK"].clone());
    let (start, whole) = (before[LOG].len(), torn[LOG].clone());
    assert!(whole.len() > start, "the log only grows here");

    let frame = FRAME_HEADER_BYTES + 8192;
    let telling = |length: &usize| {
        let within = (length - start) % frame;
        within <= FRAME_HEADER_BYTES + 1 || within >= frame - 2 || within.is_multiple_of(509)
    };
    for length in (start..=whole.len()).filter(telling) {
        let expected: &[u64] = if length == whole.len() { &[1, 2, 3, 4] } else { &[1, 2, 3] };
        let cut = whole[..length].to_vec();
        // The file had its length already, but the end of it was not written.
        let mut unwritten = cut.clone();
        unwritten.resize(whole.len(), 0);
        for log in [cut, unwritten] {
            torn.insert(LOG.into(), log);
            let copy = restored(&torn);
            let store = open(&copy);
            assert_eq!(arrivals(&store), expected, "cut at {length} of {}", whole.len());
            let mut claim = self::claim(&store);
            assert_eq!(claim.sequence, expected.len() as u64);
            commit(&store, &mut claim, 9).expect("it goes on");
            drop(store);
            assert_eq!(arrivals(&open(&copy)), [expected, &[9]].concat());
        }
    }
}

#[test]
fn a_torn_mark_refuses_no_good_database() {
    let whole = files(closed_store(5).path());
    for length in 0..=whole["MARK"].len() {
        for fill in [None, Some(0), Some(b'9')] {
            let mut mark = whole["MARK"][..length].to_vec();
            fill.iter().for_each(|byte| mark.resize(whole["MARK"].len(), *byte));
            let mut torn = whole.clone();
            torn.insert("MARK".into(), mark);
            let folder = restored(&torn);
            let store = open(&folder);
            assert_eq!(arrivals(&store), [1, 2, 3, 4, 5], "cut at {length}, filled with {fill:?}");
            store.close().expect("a clean end");
        }
    }
}

/// A copy that was made without its MARK is a good copy; only the proof is lost that it is whole.
#[test]
fn a_missing_mark_is_made_anew() {
    for folder in [closed_store(5), crashed_store(5)] {
        fs::remove_file(folder.path().join("MARK")).expect("a file");
        assert_eq!(arrivals(&open(&folder)), [1, 2, 3, 4, 5]);
        assert!(folder.path().join("MARK").exists());
    }
}

/// The disk fills up: the commit that finds no room fails, so does every later one, and nothing acknowledged is lost.
#[test]
fn a_full_disk_ends_the_store() {
    let folder = folder();
    let store = Embedded::open(Config { pages_max: Some(40), ..Config::new(folder.path()) }).expect("a new store");
    let acknowledged = fill(&store);
    assert!(acknowledged.1.contains("full"), "{}", acknowledged.1);
    assert!(store.claim(&[PartitionId(0)]).is_err());
    assert_eq!(arrivals(&store).len() as u64, acknowledged.0, "reading goes on");
    assert!(store.close().is_err(), "an end after a failure is no clean one");
    drop(store);
    assert_eq!(arrivals(&open(&folder)).len() as u64, acknowledged.0);
}

/// Commits until it is refused: how many were acknowledged, and what the refusal said.
fn fill(store: &Embedded) -> (u64, String) {
    const COMMITS_MAX: u64 = 100_000;
    let mut claim = claim(store);
    for arrival in 1..=COMMITS_MAX {
        match commit(store, &mut claim, arrival) {
            Ok(()) => {}
            Err(error @ CommitError::OutcomeUnknown(_)) => {
                let later = commit(store, &mut claim, arrival).expect_err("nothing is written after a failure");
                assert!(matches!(later, CommitError::OutcomeUnknown(_)), "{later}");
                assert_says(&later, &["since a write failed"]);
                return (arrival - 1, error.to_string());
            }
            Err(fenced) => panic!("{fenced}"),
        }
    }
    panic!("{COMMITS_MAX} commits found room");
}

/// Where [`a_write_that_the_system_refuses_ends_the_store`] runs this program again, the folder to fill.
const FOLDER_TO_FILL: &str = "SOLOIST_TEST_FOLDER_TO_FILL";

/// The operating system refuses to let the log grow, in the middle of a write.
#[cfg(unix)]
#[test]
fn a_write_that_the_system_refuses_ends_the_store() {
    let folder = folder();
    // In units of 512 bytes or of 1 KiB, as the shell likes.
    let script = "trap '' XFSZ; ulimit -f 1999; exec \"$0\" --exact --ignored --nocapture fill_the_given_folder";
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new("sh");
    child.args(["-c", script]).arg(program).env(FOLDER_TO_FILL, folder.path()).stdin(Stdio::null());
    let output = child.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (acknowledged, refusal) = said
        .lines()
        .find_map(|line| line.split_once("acknowledged ")?.1.split_once(", then: "))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(refusal.contains("write"), "{refusal}");
    let found = arrivals(&open(&folder)).len() as u64;
    let acknowledged: u64 = acknowledged.parse().expect("a number");
    assert!(acknowledged > 10 && found >= acknowledged && found <= acknowledged + 1, "{found} of {acknowledged}");
}

#[test]
#[ignore = "run by a_write_that_the_system_refuses_ends_the_store, in a process whose files can't grow"]
fn fill_the_given_folder() {
    let Some(folder) = std::env::var_os(FOLDER_TO_FILL) else { return };
    let store = Embedded::open(Config::new(folder)).expect("a new store");
    let (acknowledged, refusal) = fill(&store);
    println!("acknowledged {acknowledged}, then: {refusal}");
}
