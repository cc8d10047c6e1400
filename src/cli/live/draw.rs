//! A board as text that fits a terminal.

use terminal_size::{Height, Width};

use super::board::{Board, Row};
use crate::{
    cli::output::{Paint, Table, status_name},
    proto::v1::RuntimeStatus,
};

const HEADS: [&str; 6] = ["INSTANCE", "FUNCTION", "STATUS", "ATTEMPT", "UPDATED", "WORKER"];
const STATUS_COLUMN: usize = 2;
/// The statuses in the order in which they are counted.
const STATUSES: [RuntimeStatus; 7] = [
    RuntimeStatus::Pending,
    RuntimeStatus::Running,
    RuntimeStatus::Suspended,
    RuntimeStatus::Completed,
    RuntimeStatus::Failed,
    RuntimeStatus::Terminated,
    RuntimeStatus::Unspecified,
];

/// How many characters a terminal has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub lines: usize,
}

impl Size {
    /// The size now; that of the oldest terminals if there is none.
    pub fn of_terminal() -> Size {
        match terminal_size::terminal_size() {
            Some((Width(columns), Height(lines))) => Size { columns: columns.into(), lines: lines.into() },
            None => Size { columns: 80, lines: 24 },
        }
    }
}

/// A summary, a head, a line for each instance as far as there is room, and what is wrong with the connection.
pub fn draw(board: &Board, size: Size, paint: Paint) -> String {
    let around = 2 + usize::from(board.interrupted().is_some());
    let room = size.lines.saturating_sub(around);
    let count = board.rows().len();
    let shown = if count > room { room.saturating_sub(1) } else { count };

    let rows: Vec<(&Row, [String; HEADS.len()])> =
        board.rows().take(shown).map(|(id, row)| (row, cells(id, row))).collect();
    let mut table = Table::new(HEADS);
    rows.iter().for_each(|(_, cells)| table.fit(cells));
    table.narrow(size.columns);

    let mut lines = vec![cut(&summary(board), size.columns), table.head(size.columns)];
    for (row, cells) in &rows {
        lines.push(table.line(cells, size.columns, |column, cell| match column {
            STATUS_COLUMN => paint.status(row.status, &cell),
            _ => cell,
        }));
    }
    if shown < count {
        lines.push(cut(&format!("and {} more", count - shown), size.columns));
    }
    lines.extend(board.interrupted().map(|why| cut(why, size.columns)));
    lines.truncate(size.lines);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn summary(board: &Board) -> String {
    let count = board.rows().len();
    let known = match (count, board.is_synced()) {
        (_, false) => format!("{count} instances so far"),
        (1, true) => "1 instance".into(),
        (_, true) => format!("{count} instances"),
    };
    let counts: Vec<String> = STATUSES
        .iter()
        .map(|status| (status, board.rows().filter(|(_, row)| row.status == *status).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(status, count)| format!("{count} {}", status_name(*status)))
        .collect();
    if counts.is_empty() { known } else { format!("{known}: {}", counts.join(", ")) }
}

fn cells(id: &str, row: &Row) -> [String; HEADS.len()] {
    [
        id.into(),
        row.function.clone(),
        status_name(row.status).into(),
        row.attempt.to_string(),
        row.updated.clone(),
        row.worker.clone(),
    ]
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prost_types::Timestamp;

    use super::*;
    use crate::{
        client::{InstancesEvent, Interruption, WatchItem},
        proto::v1::InstanceStatus,
    };

    const ROOMY: Size = Size { columns: 80, lines: 24 };

    fn item(id: &str, status: RuntimeStatus) -> InstancesEvent {
        let status = InstanceStatus {
            instance_id: id.into(),
            function_name: "backup".into(),
            runtime_status: status.into(),
            attempt: 1,
            last_updated_at: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            worker: if status == RuntimeStatus::Running { "host-1".into() } else { String::new() },
            ..InstanceStatus::default()
        };
        InstancesEvent::Item(WatchItem { status, sequence: 1, resync: false, purged: false })
    }

    fn purged(id: &str) -> InstancesEvent {
        let InstancesEvent::Item(item) = item(id, RuntimeStatus::Completed) else { unreachable!("it is an item") };
        InstancesEvent::Item(WatchItem { purged: true, ..item })
    }

    fn board(events: impl IntoIterator<Item = InstancesEvent>) -> Board {
        let mut board = Board::default();
        events.into_iter().for_each(|event| board.apply(event));
        board
    }

    fn five() -> Vec<InstancesEvent> {
        use RuntimeStatus::{Completed, Pending, Running, Suspended};
        let statuses = [("e", Pending), ("c", Running), ("a", Completed), ("b", Suspended), ("d", Running)];
        statuses.map(|(id, status)| item(id, status)).into_iter().chain([InstancesEvent::Synced]).collect()
    }

    fn lost() -> InstancesEvent {
        InstancesEvent::Interrupted(Interruption {
            error: None,
            wait: Duration::from_millis(250),
            after_revision: None,
        })
    }

    #[test]
    fn instances_are_sorted_by_id_and_counted() {
        let expected = "\
5 instances: 1 Pending, 2 Running, 1 Suspended, 1 Completed
INSTANCE  FUNCTION  STATUS     ATTEMPT  UPDATED               WORKER
a         backup    Completed  1        2023-11-14T22:13:20Z
b         backup    Suspended  1        2023-11-14T22:13:20Z
c         backup    Running    1        2023-11-14T22:13:20Z  host-1
d         backup    Running    1        2023-11-14T22:13:20Z  host-1
e         backup    Pending    1        2023-11-14T22:13:20Z
";
        assert_eq!(draw(&board(five()), ROOMY, Paint::Plain), expected);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let board = board(five().into_iter().chain([lost()]));
        let expected = "\
5 instances: 1 Pending, 2 Running, 1 Sus
INSTANCE  FUNCTION  STATUS     ATTEMPT
a         backup    Completed  1
b         backup    Suspended  1
and 3 more
connection lost (the server ended the st
";
        let small = Size { columns: 40, lines: 6 };
        assert_eq!(draw(&board, small, Paint::Plain), expected);
        for lines in 0..10 {
            let drawn = draw(&board, Size { lines, ..small }, Paint::Plain);
            assert!(drawn.lines().count() <= lines, "{lines}: {drawn}");
        }
    }

    #[test]
    fn a_status_has_its_colour() {
        let drawn = draw(&board(five()), ROOMY, Paint::Colours);
        assert!(drawn.contains("  \u{1b}[34mSuspended\u{1b}[0m  "), "{drawn}");
    }

    #[test]
    fn an_instance_that_is_gone_is_not_shown() {
        let gone = board(five().into_iter().chain([purged("a")]));
        assert_eq!(gone.rows().map(|(id, _)| id).collect::<String>(), "bcde");

        let mut board = Board::of(Some("backup".into()));
        five().into_iter().for_each(|event| board.apply(event));
        let InstancesEvent::Item(mut item) = item("c", RuntimeStatus::Pending) else { unreachable!("it is an item") };
        item.status.function_name = "restore".into();
        board.apply(InstancesEvent::Item(item));
        assert_eq!(board.rows().map(|(id, _)| id).collect::<String>(), "abde", "it is of another function now");
    }

    #[test]
    fn after_a_gap_only_those_remain_that_are_told_again() {
        let mut board = board(five().into_iter().chain([lost(), InstancesEvent::BeginsAgain]));
        assert_eq!(board.interrupted(), None);
        board.apply(item("b", RuntimeStatus::Running));
        assert_eq!(board.rows().len(), 5, "the others may still come");
        board.apply(InstancesEvent::Synced);
        assert_eq!(board.rows().map(|(id, _)| id).collect::<String>(), "b");
    }

    #[test]
    fn before_all_are_seen_that_is_said() {
        let none: &str = "0 instances so far\nINSTANCE  FUNCTION  STATUS  ATTEMPT  UPDATED  WORKER\n";
        assert_eq!(draw(&Board::default(), ROOMY, Paint::Plain), none);
    }
}
