//! The report for people.

use std::{fmt::Write, time::Duration};

use super::Report;
use crate::cli::{
    bench::{Server, compare::Ratio, load::Load, round::Round},
    output::Table,
};

pub fn text(report: &Report) -> String {
    let Report { plan, server, rounds, comparison } = report;
    let mut text = String::new();
    for load in plan.loads() {
        let (connections, in_flight) = (plan.connections(load), plan.in_flight(load));
        let _ = write!(text, "{}: {in_flight} in flight", load.name());
        if connections > 0 {
            let _ = write!(text, ", {connections} {}", if connections == 1 { "connection" } else { "connections" });
        }
        let _ = writeln!(text, ", payload {} bytes", plan.payload_bytes);
    }
    if let Some(server) = server {
        text.push_str(&whereabouts(server));
    }
    text.push('\n');
    match comparison {
        None => text.push_str(&rounds_table(rounds.iter())),
        Some(comparison) => {
            let in_turn = rounds.iter().zip(&comparison.rounds).flat_map(|(round, by)| [round, by]);
            text.push_str(&rounds_table(in_turn));
            let _ = writeln!(text, "\n{} divided by {}:", plan.load.name(), comparison.reference.name());
            text.push_str(&ratio_table(&comparison.ratios, &comparison.median));
        }
    }
    text
}

fn whereabouts(server: &Server) -> String {
    let how = if server.started { ", started for this bench" } else { "" };
    let process = match server.process {
        Some(process) => format!(", process {}", process.id),
        None => ", whose CPU time can't be seen from here".into(),
    };
    format!("server: {}{how}{process}\n", server.address)
}

fn rounds_table<'a>(rounds: impl Iterator<Item = &'a Round>) -> String {
    let rounds: Vec<&Round> = rounds.collect();
    let has_last = rounds.iter().any(|round| round.load == Load::Watch);
    let last_head = if has_last { "LAST TOLD P50" } else { "" };
    let has_turns = rounds.iter().any(|round| round.work_items.is_some());
    let [turn_head, activity_head] = if has_turns { ["BY TURN", "BY ACTIVITY"] } else { [""; 2] };
    let heads = [
        "LOAD",
        "ROUND",
        "PER SECOND",
        "P50",
        "P99",
        "P99.9",
        "MAX",
        "SERVER CPU EACH",
        turn_head,
        activity_head,
        "MEMORY",
        last_head,
    ];
    let unless_absent = |cpu: Option<Duration>| cpu.map_or_else(if has_turns { dash } else { String::new }, time);
    let rows = rounds.iter().map(|round| {
        let latencies = &round.latencies;
        [
            round.load.name().to_owned(),
            round.number.to_string(),
            format!("{:.0}", round.per_second()),
            time(latencies.p50),
            time(latencies.p99),
            time(latencies.p999),
            time(latencies.max),
            round.cpu_of_each().map_or_else(dash, time),
            unless_absent(round.cpu_by_turn()),
            unless_absent(round.cpu_by_activity()),
            round.server_bytes.map_or_else(dash, |bytes| format!("{} MiB", bytes >> 20)),
            round.last.as_ref().map_or_else(String::new, |last| time(last.p50)),
        ]
    });
    table(heads, rows.collect())
}

fn ratio_table(ratios: &[Ratio], median: &Ratio) -> String {
    let row = |name: String, ratio: &Ratio| {
        let figures = [Some(ratio.per_second), Some(ratio.p50), Some(ratio.p99), ratio.server_cpu];
        let [per_second, p50, p99, cpu] = figures.map(|figure| figure.map_or_else(dash, |it| format!("{it:.3}")));
        [name, per_second, p50, p99, cpu]
    };
    let mut rows: Vec<_> = ratios.iter().enumerate().map(|(at, ratio)| row((at + 1).to_string(), ratio)).collect();
    rows.push(row("median".into(), median));
    table(["ROUND", "PER SECOND", "P50", "P99", "SERVER CPU EACH"], rows)
}

fn table<const N: usize>(heads: [&'static str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new(heads);
    rows.iter().for_each(|row| table.fit(row));
    let head = table.head(usize::MAX);
    let lines = rows.iter().map(|row| table.line(row, usize::MAX, |_, cell| cell));
    std::iter::once(head).chain(lines).fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn dash() -> String {
    "-".into()
}

/// Three digits that matter, with the unit that suits them.
fn time(duration: Duration) -> String {
    let micros = duration.as_nanos() as f64 / 1000.0;
    let (value, unit) = match micros {
        _ if micros < 1000.0 => (micros, "µs"),
        _ if micros < 1_000_000.0 => (micros / 1000.0, "ms"),
        _ => (micros / 1_000_000.0, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let cases = [(7_512, "7.51 µs"), (75_120, "75.1 µs"), (751_200, "751 µs"), (7_512_000, "7.51 ms")];
        for (nanos, expected) in cases {
            assert_eq!(time(Duration::from_nanos(nanos)), expected);
        }
        assert_eq!(time(Duration::from_secs(12)), "12.0 s");
    }
}
