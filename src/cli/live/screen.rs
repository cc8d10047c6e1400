//! The terminal while a live table is on it.

use crate::cli::{Error, output};

/// The second screen, which leaves what was on the first; no cursor; lines that are too long are cut, not wrapped.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// The terminal's second screen. It is left when this is dropped, whatever the reason.
pub struct Screen(());

impl Screen {
    pub fn enter() -> Result<Screen, Error> {
        let screen = Screen(());
        output::write(ENTER)?;
        Ok(screen)
    }

    /// Shows this instead of what was there, without clearing it first: that would flicker.
    pub fn show(&self, text: &str) -> Result<(), Error> {
        output::write(&frame(text))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to restore.
        let _ = output::write(LEAVE);
    }
}

/// A line feed after the last line would scroll a full screen.
fn frame(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{line}{CLEAR_LINE}")).collect();
    format!("{HOME}{}{CLEAR_BELOW}", lines.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_the_one_before() {
        assert_eq!(frame("a\nb\n"), "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\u{1b}[J");
        assert_eq!(frame(""), "\u{1b}[H\u{1b}[J");
    }
}
