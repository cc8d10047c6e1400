//! The server under load: one that is started for it, or one that is there.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use tokio::net::lookup_host;

use super::{
    Server,
    folder::Folder,
    folder_of,
    load::Load,
    plan::{Args, Plan},
    process::Process,
};
use crate::{
    cli::Error,
    client::{self, Client},
    proto::bench::{EchoRequest, echo_service_client::EchoServiceClient},
};

/// How long a server may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a server may take to end.
const END_MAX: Duration = Duration::from_secs(5);
/// Lines of the server's log that are shown where it does not come up.
const LOG_LINES: usize = 20;

/// Where the load goes.
pub struct Target {
    server: Option<Server>,
    // Dropped in this order: the folder is the server's.
    _started: Option<Started>,
    folder: Option<Folder>,
}

/// A server that ends when this is dropped.
struct Started {
    child: Child,
}

// === impl Target ===

impl Target {
    pub async fn of(args: &Args, plan: &Plan) -> Result<Target, Error> {
        if let Some(address) = args.against() {
            let folder = if plan.loads().any(|load| load == Load::Disk) { Some(folder(args)?) } else { None };
            let server = Some(Server { process: here(address).await, ..reached(address, plan).await? });
            return Ok(Target { server, _started: None, folder });
        }
        let folder = folder(args)?;
        if !plan.needs_server() {
            return Ok(Target { server: None, _started: None, folder: Some(folder) });
        }
        let (started, address) = Started::start(&folder.path().join("data"))?;
        let process = Some(Process::of(started.child.id()));
        let server = Some(Server { address: format!("http://{address}"), started: true, process });
        Ok(Target { server, _started: Some(started), folder: Some(folder) })
    }

    /// What a report says of the server; nothing where there is none.
    pub fn description(&self) -> Option<Server> {
        self.server.clone()
    }

    /// `http://` and where the server listens; empty where no server is asked.
    pub fn address(&self) -> &str {
        self.server.as_ref().map_or("", |server| &server.address)
    }

    pub fn process(&self) -> Option<Process> {
        self.server.as_ref().and_then(|server| server.process)
    }

    /// Where the load `disk` writes: beside the data of a server that was started.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("."), Folder::path)
    }
}

fn folder(args: &Args) -> Result<Folder, Error> {
    Folder::make_in(&folder_of(args)?)
}

/// The server at the address, if it answers, and answers what will be asked.
async fn reached(address: &str, plan: &Plan) -> Result<Server, Error> {
    let client = Client::builder(address).hub(&plan.hub).timeout(plan.patience).connect().await?;
    if plan.loads().any(|load| load == Load::Echo) {
        let asked = EchoServiceClient::new(client.channel()).echo(EchoRequest::default()).await;
        match asked {
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                let why = "this server does not serve the echo: start it with `soloist serve --bench-echo`";
                return Err(Error::Usage(why.into()));
            }
            asked => drop(asked.map_err(client::Error::from)?),
        }
    }
    let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Ok(Server { address, started: false, process: None })
}

/// The process behind the address, if it is one of this machine and this user.
async fn here(address: &str) -> Option<Process> {
    let authority = address.trim_start_matches("http://").trim_end_matches('/');
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let addresses: Vec<SocketAddr> = lookup_host(authority).await.ok()?.collect();
    addresses.into_iter().find_map(Process::listening_on)
}

// === impl Started ===

impl Started {
    fn start(data_dir: &Path) -> Result<(Started, SocketAddr), Error> {
        let program = env::current_exe().context("this program can't be found")?;
        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOLOIST_")) {
            command.env_remove(name);
        }
        command.args(["bench-server", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--payload-bytes-max", "3MiB", "--watchers-max", "1000000", "--data-dir"]).arg(data_dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("the server can't be started")?;
        let stderr = child.stderr.take().context("the server has no stderr")?;
        let started = Started { child };
        let address = ready(BufReader::new(stderr).lines())?;
        Ok((started, address))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until the log says where the server listens; reads on, so that the server is never held up by its log.
fn ready(lines: Lines<BufReader<ChildStderr>>) -> Result<SocketAddr, Error> {
    let (say, said) = mpsc::channel();
    let read = move || {
        let mut last = VecDeque::new();
        for line in lines.map_while(Result::ok) {
            if let Some(address) = address_in(&line) {
                // Nobody waits for it a second time.
                let _ = say.send(Ok(address));
            }
            last.truncate(LOG_LINES - 1);
            last.push_front(line);
        }
        let _ = say.send(Err(last.into_iter().rev().collect::<Vec<_>>().join("\n")));
    };
    thread::Builder::new().name("server-log".into()).spawn(read).context("the server's log can't be read")?;
    match said.recv_timeout(READY_MAX) {
        Ok(Ok(address)) => Ok(address),
        Ok(Err(log)) => Err(Error::Other(anyhow!("the server did not start; it said:\n{log}"))),
        Err(_) => Err(Error::Other(anyhow!("the server was not ready within {READY_MAX:?}"))),
    }
}

/// The address in the line of a log that says `ready`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    if fields.get("message")? != "ready" {
        return None;
    }
    fields.get("address")?.as_str()?.parse().ok()
}
