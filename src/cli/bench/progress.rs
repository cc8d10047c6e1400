//! How far the bench is: one line on a terminal, written over and over; nothing where there is none.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use super::{load::Load, plan::Plan};

/// Places of the bar.
const BAR: usize = 24;

pub struct Progress {
    shown: bool,
    rounds: u32,
    duration: Duration,
    title: String,
}

impl Progress {
    pub fn new(plan: &Plan) -> Progress {
        let shown = io::stderr().is_terminal();
        Progress { shown, rounds: plan.rounds, duration: plan.duration, title: String::new() }
    }

    pub fn begin(&mut self, load: Load, round: u32) {
        self.title = format!("{} {round}/{}", load.name(), self.rounds);
        self.say(&format!("{:<14} warming up", self.title));
    }

    pub fn at(&self, elapsed: Duration, done: u64) {
        let part = elapsed.div_duration_f64(self.duration).min(1.0);
        let per_second = done as f64 / elapsed.as_secs_f64();
        self.say(&format!("{:<14} {} {per_second:.0}/s", self.title, bar(part)));
    }

    fn say(&self, text: &str) {
        if self.shown {
            // Back to the start of the line, and clear the rest of it.
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r{text}\u{1b}[K").and_then(|()| stderr.flush());
        }
    }
}

/// Whatever is said next begins a line of its own.
impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}

fn bar(part: f64) -> String {
    let full = (part * BAR as f64).round() as usize;
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0.0), "[------------------------]");
        assert_eq!(bar(0.5), "[############------------]");
        assert_eq!(bar(1.0), "[########################]");
    }
}
