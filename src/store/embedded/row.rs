//! The checksum of a row: over its place as well as its bytes, so that a row that strayed is noticed too.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::super::Table;

/// As it stands in the table's column: the bits of an unsigned number, read as a signed one. Fixed for ever.
pub(super) fn checksum(table: Table, arrival: i64, number: i64, bytes: &[u8]) -> i64 {
    let mut place = [0; 17];
    place[0] = tag(table);
    place[1..9].copy_from_slice(&arrival.to_le_bytes());
    place[9..].copy_from_slice(&number.to_le_bytes());
    xxh3_64_with_seed(bytes, xxh3_64(&place)).cast_signed()
}

fn tag(table: Table) -> u8 {
    match table {
        Table::Record => 1,
        Table::Transition => 2,
        Table::Payload => 3,
        Table::Event => 4,
        Table::Queue => 6,
        Table::History => 7,
        Table::Request => 5,
        Table::Task => 8,
        Table::Outbox => 9,
        Table::Mark => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing any of these would make every existing store look damaged.
    #[test]
    fn checksums_are_pinned() {
        let found = [
            checksum(Table::Record, 1, 0, b""),
            checksum(Table::Payload, 7, 9, b"soloist"),
            checksum(Table::Request, i64::MAX, i64::MAX, &[0x5a; 1000]),
        ];
        assert_eq!(found, [-1_048_315_242_629_260_914, -514_111_813_466_637_871, 7_023_828_962_620_263_352]);
    }
}
