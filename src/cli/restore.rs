//! `soloist restore`: a data folder made from a backup, for a server to serve.

use std::path::PathBuf;

use anyhow::Context;

use super::{Error, Exit, Output};
use crate::{
    clock::{Clock, SystemClock},
    store::embedded,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// File that `soloist backup` has made
    file: PathBuf,
    /// Data folder to make; it must be empty or not there
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
}

pub fn run(args: Args, output: &Output) -> Result<Exit, Error> {
    let now = SystemClock::new().now().wall;
    let restored = embedded::restore(&args.file, &args.data_dir, now).context("nothing was restored")?;
    output.restored(&args.data_dir, &restored)?;
    Ok(Exit::Done)
}
