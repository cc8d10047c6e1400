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
use super::{
    Error, Output, output,
    signals::{Asked, TerminalSignals, stop},
};
use crate::{
    client::{Client, InstancesWatch},
    proto::v1::{WatchInstancesRequest, watch_instances_request::Selector},
};

/// The time between two drawings: as often as an eye can follow, however much happens.
const FRAME: Duration = Duration::from_millis(100);

/// Shows a watch until a signal ends it; what was shown last stays there.
pub async fn show(client: &Client, request: WatchInstancesRequest, output: &Output) -> Result<(), Error> {
    let mut board = Board::of(match &request.selector {
        Some(Selector::FunctionName(function)) => Some(function.clone()),
        Some(Selector::InstanceIds(_) | Selector::InstanceIdPrefix(_)) | None => None,
    });
    let shown = follow(client.watch_instances(request), &mut board, output).await;
    if board.rows().len() > 0 {
        output::write(&draw(&board, Size::of_terminal(), output.paint()))?;
    }
    shown
}

async fn follow(mut watch: InstancesWatch, board: &mut Board, output: &Output) -> Result<(), Error> {
    let mut signals = TerminalSignals::listen()?;
    let mut screen = Screen::enter()?;
    let mut frames = time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn = None;
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::ToEnd => return Ok(()),
                Asked::ToPause => {
                    drop(screen);
                    stop()?;
                    screen = Screen::enter()?;
                    drawn = None;
                }
            },
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
