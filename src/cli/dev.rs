//! `soloist dev`: the server with sample functions, to try things out.

use std::future;

use super::{error::Error, exit::Exit, output, serve};

pub async fn run(args: serve::Args) -> Result<Exit, Error> {
    let config = serve::configure(&args)?;
    if args.print_config {
        output::write(&config.to_toml())?;
        return Ok(Exit::Done);
    }
    serve::until_stopped(config, |_address| future::pending()).await
}
