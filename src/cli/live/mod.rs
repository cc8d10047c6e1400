//! Many instances as a table on the terminal that is drawn anew as they change.

mod board;
mod draw;
mod screen;

use std::time::Duration;

use tokio::time::{self, MissedTickBehavior};

use self::{
    board::Board,
    draw::{Size, draw},
    screen::Screen,
};
use super::{Error, Output, output, signals::Signals};
use crate::client::InstancesWatch;

/// The time between two drawings: as often as an eye can follow, however much happens.
const FRAME: Duration = Duration::from_millis(100);

/// Shows a watch until a signal ends it; what was shown last stays there.
pub async fn show(watch: InstancesWatch, output: &Output) -> Result<(), Error> {
    let mut board = Board::default();
    let screen = Screen::enter()?;
    let shown = follow(watch, &mut board, &screen, output).await;
    drop(screen);
    if board.rows().len() > 0 {
        output::write(&draw(&board, Size::of_terminal(), output.paint()))?;
    }
    shown
}

async fn follow(mut watch: InstancesWatch, board: &mut Board, screen: &Screen, output: &Output) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut frames = time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn = None;
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            event = watch.next_event() => match event.transpose()? {
                Some(event) => board.apply(event),
                None => return Ok(()),
            },
            _ = frames.tick() => {
                let size = Size::of_terminal();
                if drawn != Some((board.version(), size)) {
                    screen.show(&draw(board, size, output.paint()))?;
                    drawn = Some((board.version(), size));
                }
            }
        }
    }
}
