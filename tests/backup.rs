//! Backups of the embedded store, and what is made of them: whole, or refused with nothing left behind.
#![cfg(feature = "server")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use rusqlite::Connection;
use soloist::{
    core::{
        ids::{Arrival, Revision},
        partitioning::PartitionId,
        time::Timestamp,
    },
    store::{
        BackupError, Batch, Claim, RowKey, Stop, Store, Table, Write,
        embedded::{Config, Embedded, OpenError, RestoreError, Restored, restore},
        memory::Memory,
    },
};
use tempfile::TempDir;

/// The temporary copy in the data folder.
const COPY: &str = "soloist.db.copy";
/// A database that is not restored yet.
const RESTORING: &str = "soloist.db.restoring";
/// A wall time.
const NOW: Timestamp = Timestamp::from_micros(1_763_856_000_000_000);
/// What the seal takes at the end of a backup.
const SEAL_BYTES: usize = 65;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(folder: &Path) -> Embedded {
    Embedded::open(Config::new(folder)).expect("a store that opens")
}

fn claim(store: &Embedded) -> Claim {
    store.claim(&[PartitionId(0)]).expect("a claim")[0]
}

/// Commits the record of one arrival.
fn commit(store: &Embedded, claim: &mut Claim, arrival: u64) {
    let key = RowKey { arrival: Arrival(arrival), number: 0 };
    let bytes = format!("the record of instance {arrival}").into_bytes();
    let Claim { partition, epoch, sequence, .. } = *claim;
    let (sequence, revision) = (sequence + 1, Revision(claim.revision.0 + 1));
    let writes = vec![Write::Put { table: Table::Record, key, bytes }];
    store.commit(&[Batch { partition, epoch, sequence, revision, writes }]).expect("a commit");
    *claim = Claim { sequence, revision, ..*claim };
}

/// A store with the records 1 to `last`.
fn filled(folder: &Path, last: u64) -> (Embedded, Claim) {
    let store = open(folder);
    let mut claim = claim(&store);
    (1..=last).for_each(|arrival| commit(&store, &mut claim, arrival));
    (store, claim)
}

fn arrivals(store: &Embedded) -> BTreeSet<u64> {
    let rows = store.scan(Table::Record, None, usize::MAX).expect("a scan");
    rows.into_iter().map(|row| row.key.arrival.0).collect()
}

fn back_up(store: &Embedded) -> Result<Vec<u8>, BackupError> {
    let mut backup = store.backup(&Stop::default())?;
    let mut bytes = Vec::new();
    while backup.remaining_bytes() > 0 {
        bytes.extend(backup.next(10_000).expect("the copy can be read"));
    }
    Ok(bytes)
}

/// A backup of a store with the records 1 to `last`, in a file of its own.
fn backup_of(home: &TempDir, last: u64) -> PathBuf {
    let (store, _) = filled(&home.path().join("original"), last);
    let file = home.path().join("backup");
    fs::write(&file, back_up(&store).expect("a backup")).expect("a file");
    file
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect()
}

fn restored(file: &Path, folder: &Path) -> Restored {
    restore(file, folder, NOW).unwrap_or_else(|error| panic!("not restored: {error}"))
}

#[test]
fn a_backup_holds_what_was_committed_before_it_began() {
    const BEFORE: u64 = 2_000;
    let home = folder();
    let (store, mut claim) = filled(&home.path().join("original"), BEFORE);
    let bytes = thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::sync_channel(1);
        let (store, claim) = (&store, &mut claim);
        let committing = scope.spawn(move || {
            let mut arrival = BEFORE;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                arrival += 1;
                commit(store, claim, arrival);
                // Full: it was told.
                let _ = begun.try_send(());
            }
        });
        has_begun.recv().expect("a commit");
        let bytes = back_up(store).expect("a backup");
        drop(stop);
        committing.join().expect("it commits on");
        bytes
    });
    assert!(!home.path().join("original").join(COPY).exists());

    let file = home.path().join("backup");
    fs::write(&file, &bytes).expect("a file");
    let copy = home.path().join("copy");
    let Restored { bytes: database_bytes, revision } = restored(&file, &copy);
    assert_eq!(database_bytes, (bytes.len() - SEAL_BYTES) as u64);
    let store = open(&copy);
    let found = arrivals(&store);
    let last = found.len() as u64;
    assert!(last > BEFORE);
    assert_eq!(found, (1..=last).collect(), "one snapshot");
    let mut claim = self::claim(&store);
    assert_eq!((claim.sequence, claim.revision, claim.restored), (last, revision, revision));
    // It is a store like any other.
    commit(&store, &mut claim, last + 1);
    store.close().expect("a clean end");
    assert_eq!(names(&copy), ["FORMAT", "LOCK", "MARK", "soloist.db"].map(String::from).into());
    assert_eq!(arrivals(&open(&copy)).len() as u64, last + 1);
}

/// Everybody can look into a backup.
#[test]
fn a_backup_is_a_database() {
    let home = folder();
    let file = backup_of(&home, 100);
    let database = Connection::open(&file).expect("a database");
    let check = database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
    assert_eq!(check.expect("a word"), "ok");
    assert_eq!(database.query_row("SELECT count(*) FROM record", (), |row| row.get::<_, i64>(0)), Ok(100));
}

#[test]
fn there_is_one_at_a_time() {
    let home = folder();
    let (store, _) = filled(home.path(), 10);
    let first = store.backup(&Stop::default()).expect("a backup");
    assert!(matches!(back_up(&store), Err(BackupError::Running)), "it is not read yet");
    // It has its place on the disk, but no name any more.
    assert!(!home.path().join(COPY).exists());
    drop(first);
    back_up(&store).expect("the next one");
}

#[test]
fn a_backup_that_nobody_wants_leaves_nothing() {
    let home = folder();
    let (store, mut claim) = filled(home.path(), 10);
    let before = names(home.path());
    let stop = Stop::default();
    stop.stop();
    assert!(matches!(store.backup(&stop), Err(BackupError::Stopped)));
    assert_eq!(names(home.path()), before);
    commit(&store, &mut claim, 11);
    back_up(&store).expect("the next one");
    store.close().expect("a clean end");
    assert!(matches!(back_up(&store), Err(BackupError::Failed(_))), "it is closed");
}

/// A server that died while it copied.
#[test]
fn a_copy_that_was_left_is_removed() {
    let home = folder();
    let (store, _) = filled(home.path(), 10);
    fs::write(home.path().join(COPY), "left").expect("a file");
    back_up(&store).expect("a backup");
    assert!(!home.path().join(COPY).exists(), "by the next backup");
    for name in [COPY, "soloist.db.copy-wal"] {
        fs::write(home.path().join(name), "left").expect("a file");
    }
    drop(store);
    drop(open(home.path()));
    assert!(!names(home.path()).iter().any(|name| name.starts_with(COPY)), "by the next start");
}

#[test]
fn a_copy_that_finds_no_place_fails_alone() {
    let home = folder();
    let (store, mut claim) = filled(home.path(), 10);
    fs::create_dir(home.path().join(COPY)).expect("a folder in its place");
    assert!(matches!(back_up(&store), Err(BackupError::Failed(_))));
    store.check().expect("the store has not failed");
    commit(&store, &mut claim, 11);
    drop(store);
    let store = open(home.path());
    fs::remove_dir(home.path().join(COPY)).expect("it is empty");
    back_up(&store).expect("a backup");
    assert_eq!(arrivals(&store).len(), 11);
}

#[test]
fn a_damaged_store_has_no_backup() {
    for damage in
        ["UPDATE record SET checksum = checksum + 1 WHERE arrival = 7", "INSERT INTO payload VALUES (1, 1, 1, x'')"]
    {
        let home = folder();
        let (store, mut claim) = filled(home.path(), 10);
        let database = Connection::open(home.path().join("soloist.db")).expect("a database");
        assert_eq!(database.execute(damage, ()).expect("it is done"), 1);
        let Err(BackupError::Damaged(what)) = back_up(&store) else { panic!("{damage}: a backup") };
        assert!(what.contains("row") && what.contains("checksum"), "{what}");
        assert!(!home.path().join(COPY).exists());
        commit(&store, &mut claim, 11);
    }
}

#[test]
fn a_store_in_memory_has_none() {
    assert!(matches!(Memory::new().backup(&Stop::default()), Err(BackupError::Unsupported)));
}

/// The same backup restored again, when the first server was lost too: what that one gave out is not given out again.
#[test]
fn revisions_rise_with_every_restore() {
    let home = folder();
    let file = backup_of(&home, 100);
    let restored_at = |name: &str, now: Timestamp| {
        let folder = home.path().join(name);
        let revision = restore(&file, &folder, now).expect("restored").revision;
        let store = open(&folder);
        let all: Vec<PartitionId> = PartitionId::all().collect();
        let claims = store.claim(&all).expect("claims");
        assert!(claims.iter().all(|claim| claim.revision == revision && claim.restored == revision));
        (store, claims[0])
    };
    let (store, mut first) = restored_at("first", NOW);
    let begun = first.revision;
    assert!(begun > Revision(100));
    (101..200).for_each(|arrival| commit(&store, &mut first, arrival));
    let (_, second) = restored_at("second", Timestamp::from_micros(NOW.as_micros() + 1_000_000));
    assert!(second.revision > first.revision);

    // A clock that is behind what the backup holds.
    fs::write(&file, back_up(&store).expect("a backup")).expect("a file");
    let (_, third) = restored_at("third", Timestamp::from_micros(0));
    assert!(third.revision.0 >= first.revision.0 + (1 << 40));
    assert_eq!(claim(&store).restored, begun, "the original goes on");
}

#[test]
fn what_is_no_whole_backup_is_refused_and_nothing_is_left() {
    let home = folder();
    let file = backup_of(&home, 100);
    let whole = fs::read(&file).expect("a file");
    let length = whole.len();
    let cut = [0, 1, SEAL_BYTES - 1, SEAL_BYTES, 8192, length / 2, length - 8192, length - SEAL_BYTES, length - 1];
    let cut = cut.map(|at| whole[..at].to_vec());
    let flipped = (0..length).step_by(997).chain(length - SEAL_BYTES..length).map(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        flipped
    });
    let others = [whole[1..].to_vec(), [&whole, b"\n".as_slice()].concat(), b"SQLite format 3\0".to_vec()];
    let there = home.path().join("there");
    fs::create_dir(&there).expect("a folder");
    for (n, bytes) in cut.into_iter().chain(flipped).chain(others).enumerate() {
        fs::write(&file, bytes).expect("a file");
        for folder in [home.path().join("anew"), there.clone()] {
            let error = restore(&file, &folder, NOW).expect_err("it is no backup");
            let expected = matches!(error, RestoreError::NotWhole { .. } | RestoreError::Damaged { .. });
            // The seal's own digits may name a newer format.
            assert!(expected || matches!(error, RestoreError::FormatNewer { .. }), "case {n}: {error}");
        }
        assert!(!home.path().join("anew").exists() && names(&there).is_empty(), "case {n}");
    }
    let missing = restore(&home.path().join("nowhere"), &there, NOW).expect_err("there is no file");
    assert!(matches!(missing, RestoreError::Unreadable { .. }), "{missing}");
    fs::write(&file, whole).expect("a file");
    restored(&file, &there);
}

#[test]
fn a_newer_backup_is_refused() {
    let home = folder();
    let file = backup_of(&home, 1);
    let mut bytes = fs::read(&file).expect("a file");
    let at = bytes.len() - SEAL_BYTES + "\nsoloist-backup ".len();
    bytes[at..at + 10].copy_from_slice(b"0000000007");
    fs::write(&file, bytes).expect("a file");
    let error = restore(&file, home.path().join("copy"), NOW).expect_err("it is newer");
    assert!(matches!(error, RestoreError::FormatNewer { found: 7, supported: 1, .. }), "{error}");
    assert!(!home.path().join("copy").exists());
}

#[test]
fn nothing_is_restored_over_anything() {
    let home = folder();
    let file = backup_of(&home, 3);
    let original = home.path().join("original");
    let before = names(&original);
    let error = restore(&file, &original, NOW).expect_err("a store is there");
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    assert_eq!(names(&original), before);
    let store = open(&original);
    let error = restore(&file, &original, NOW).expect_err("a server is there");
    assert!(matches!(error, RestoreError::Folder(OpenError::Locked { .. })), "{error}");
    drop(store);
    assert_eq!(arrivals(&open(&original)), [1, 2, 3].into());

    let other = home.path().join("other");
    for name in ["notes", "FORMAT", "MARK", "soloist.db-wal"] {
        fs::create_dir_all(&other).expect("a folder");
        fs::write(other.join(name), "precious").expect("a file");
        let error = restore(&file, &other, NOW).expect_err("something is there");
        assert!(matches!(&error, RestoreError::NotEmpty { found, .. } if found == name), "{error}");
        assert_eq!(names(&other), [name.to_owned()].into());
        fs::remove_dir_all(&other).expect("removed");
    }
    // The root of a file system of its own.
    fs::create_dir_all(other.join("lost+found")).expect("a folder");
    restored(&file, &other);
}

/// The machine died in the middle of it: no server takes that for a store, nor for a place to make a new one.
#[test]
fn an_interrupted_restore_is_no_store_and_can_be_run_again() {
    let home = folder();
    let file = backup_of(&home, 3);
    let newer = home.path().join("newer");
    let (store, _) = filled(&newer, 50);
    store.close().expect("a clean end");
    let whole = home.path().join("whole");
    restored(&file, &whole);
    for (n, staged) in [&[][..], &["MARK"], &["MARK", "FORMAT"]].into_iter().enumerate() {
        let folder = home.path().join(format!("interrupted {n}"));
        fs::create_dir(&folder).expect("a folder");
        fs::copy(whole.join("soloist.db"), folder.join(RESTORING)).expect("a file");
        fs::write(folder.join("soloist.db.restoring-wal"), "torn").expect("a file");
        for name in staged {
            // Of another backup than the one that is restored then.
            fs::copy(newer.join(name), folder.join(name)).expect("a file");
        }
        let before = names(&folder);
        let Err(error) = Embedded::open(Config::new(&folder)) else { panic!("{staged:?} was taken for a store") };
        assert!(matches!(error, OpenError::Unrestored { .. }), "{error}");
        assert_eq!(names(&folder), before);
        restored(&file, &folder);
        assert_eq!(arrivals(&open(&folder)), [1, 2, 3].into());
    }
}
