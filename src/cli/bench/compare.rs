//! Two loads in turn, and the ratio of each pair of rounds: what slows the machine down slows both.

use super::{load::Load, round::Round};

/// A load beside its reference.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub reference: Load,
    pub rounds: Vec<Round>,
    pub ratios: Vec<Ratio>,
    pub median: Ratio,
}

/// The load's figures divided by those of the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub server_cpu: Option<f64>,
}

impl Comparison {
    pub fn new(reference: Load, rounds: &[Round], references: Vec<Round>) -> Comparison {
        let ratios: Vec<Ratio> = rounds.iter().zip(&references).map(|(round, by)| Ratio::of(round, by)).collect();
        Comparison { reference, rounds: references, median: Ratio::median(&ratios), ratios }
    }
}

impl Ratio {
    fn of(round: &Round, by: &Round) -> Ratio {
        let cpu = |round: &Round| round.cpu_of_each().filter(|cpu| !cpu.is_zero());
        Ratio {
            per_second: round.per_second() / by.per_second(),
            p50: round.latencies.p50.div_duration_f64(by.latencies.p50),
            p99: round.latencies.p99.div_duration_f64(by.latencies.p99),
            server_cpu: cpu(round).zip(cpu(by)).map(|(cpu, by)| cpu.div_duration_f64(by)),
        }
    }

    /// Each figure's own median.
    fn median(ratios: &[Ratio]) -> Ratio {
        let of = |figure: fn(&Ratio) -> f64| median(ratios.iter().map(figure).collect());
        let server_cpu: Option<Vec<f64>> = ratios.iter().map(|ratio| ratio.server_cpu).collect();
        Ratio {
            per_second: of(|ratio| ratio.per_second),
            p50: of(|ratio| ratio.p50),
            p99: of(|ratio| ratio.p99),
            server_cpu: server_cpu.map(median),
        }
    }
}

/// The one in the middle; of an even number, the mean of the two there.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len().is_multiple_of(2)) {
        (Some(upper), true) => (values[middle - 1] + upper) / 2.0,
        (Some(value), false) => *value,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in [(vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 100.0], 3.0)] {
            assert_eq!(median(values), expected);
        }
        assert!(median(Vec::new()).is_nan());
    }
}
