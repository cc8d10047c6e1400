//! What the embedded store costs: commits of so many starts at a time, and a scan of what they have written. Each commit
//! is flushed, so what is measured is the disk too: the folder is made where `TMPDIR` says.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use divan::{Bencher, counter::ItemsCount};
use soloist::{
    core::{
        ids::{Arrival, Revision},
        partitioning::PartitionId,
    },
    store::{
        Batch, Row, RowKey, Store, Table, Write,
        embedded::{Config, Embedded},
    },
};

/// About what a record has.
const RECORD: [u8; 100] = [7; 100];
/// Rows that are scanned.
const ROWS: u64 = 100_000;

fn main() {
    divan::main();
}

/// A store with one partition that is written in turn.
struct Stage {
    store: Embedded,
    partition: PartitionId,
    epoch: u64,
    sequence: AtomicU64,
    // Removed last.
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(Config::new(folder.path())).expect("a new store");
        let partition = PartitionId::all().next().expect("a partition");
        let claim = store.claim(&[partition]).expect("a claim")[0];
        let sequence = AtomicU64::new(claim.sequence);
        Stage { store, partition, epoch: claim.epoch, sequence, _folder: folder }
    }

    /// Writes the rows of so many starts in one commit.
    fn commit(&self, starts: u64) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let first = sequence * ROWS;
        let record = |arrival| {
            let key = RowKey { arrival: Arrival(arrival), number: 0 };
            Write::Put { table: Table::Record, key, bytes: RECORD.to_vec() }
        };
        let writes = (first..first + starts).map(record).collect();
        let (partition, epoch, revision) = (self.partition, self.epoch, Revision(first + starts));
        self.store.commit(&[Batch { partition, epoch, sequence, revision, writes }]).expect("committed");
    }
}

#[divan::bench(args = [1, 16, 128, 1024], sample_size = 1)]
fn commit(bencher: Bencher, starts: u64) {
    let stage = Stage::new();
    bencher.counter(ItemsCount::new(starts)).bench_local(|| stage.commit(starts));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn scan_of_records(bencher: Bencher) {
    let stage = Stage::new();
    (0..10).for_each(|_| stage.commit(ROWS / 10));
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut after = None;
        loop {
            let rows: Vec<Row> = stage.store.scan(Table::Record, after, 10_000).expect("rows");
            let Some(last) = black_box(&rows).last() else { break };
            after = Some(last.key);
        }
    });
}
