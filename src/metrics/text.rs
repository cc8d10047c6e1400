//! The text format 0.0.4 of Prometheus.

use std::fmt::{Display, Write};

use super::Histogram;

#[derive(Default)]
pub struct Text(String);

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Text {
    /// What the samples that follow are.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A family of one sample.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A sample with a label, whose value needs no escapes.
    pub fn labelled(&mut self, name: &str, label: &str, of: impl Display, value: impl Display) {
        self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
    }

    /// A family that is a histogram; its values are divided by `unit`.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, unit: f64) {
        self.family(name, Kind::Histogram, help);
        // Before the buckets: what is observed meanwhile must not be in the sum alone.
        let sum = histogram.sum() as f64 / unit;
        let (bucket, mut count) = (format!("{name}_bucket"), 0);
        for (bound, upto) in histogram.cumulated() {
            match bound {
                Some(bound) => self.labelled(&bucket, "le", bound as f64 / unit, upto),
                None => self.labelled(&bucket, "le", "+Inf", upto),
            }
            count = upto;
        }
        self.line(format_args!("{name}_sum {sum}"));
        self.line(format_args!("{name}_count {count}"));
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}
