//! `soloist dev`: the server with sample functions, to try things out.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::Context;

use super::{Error, Exit, output, samples, serve};
use crate::config::DEFAULT_PORT;

pub async fn run(args: serve::Args) -> Result<Exit, Error> {
    let config = serve::configure(&args)?;
    if args.print_config {
        output::write(&config.to_toml())?;
        return Ok(Exit::Done);
    }
    serve::until_stopped(config, serve_samples).await
}

async fn serve_samples(listening: SocketAddr, stop: serve::Stop) -> Result<(), Error> {
    let address = reachable(listening);
    output::notice(&invitation(&program(), address));
    let worker = samples::worker(format!("http://{address}")).context("the sample functions can't be served")?;
    worker.run(serve::stopped(stop)).await.context("the sample functions have ended")?;
    Ok(())
}

/// Where a server that listens everywhere is found on its own machine.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// The program as it was typed, so that what is shown works as typed too.
fn program() -> String {
    env::args().next().filter(|program| !program.contains(char::is_whitespace)).unwrap_or_else(|| "soloist".into())
}

fn invitation(program: &str, address: SocketAddr) -> String {
    // Clients find the default by themselves.
    let is_default = address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && address.port() == DEFAULT_PORT;
    let server = if is_default { String::new() } else { format!(" --server http://{address}") };
    format!(
        "\
Soloist serves http://{address}, with the sample functions hello, sleep and counter.
Try this in another terminal:

  {program}{server} start hello hello-1 --input '\"Ada\"' --wait
  {program}{server} start sleep nightly --input 60
  {program}{server} start sleep nightly --input 60      # the second one is told that it runs already
  {program}{server} watch nightly                       # and here it is live
  {program}{server} terminate nightly --reason 'not tonight'
  {program}{server} start counter votes
  {program}{server} raise votes add --input 42
  {program}{server} raise votes stop
  {program}{server} status votes --payloads

Ctrl-C ends it. What is recorded stays in the data folder.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_works_as_typed() {
        let here = invitation("target/release/soloist", reachable("0.0.0.0:4001".parse().unwrap()));
        assert!(here.contains("  target/release/soloist start hello hello-1 --input '\"Ada\"' --wait\n"), "{here}");
        let elsewhere = invitation("soloist", reachable("[::]:5000".parse().unwrap()));
        assert!(elsewhere.contains("  soloist --server http://[::1]:5000 start counter votes\n"), "{elsewhere}");
    }
}
