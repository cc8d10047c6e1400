//! The program as a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use soloist::proto::v1::{
    orchestration_service_client::OrchestrationServiceClient, worker_service_client::WorkerServiceClient,
};
use tonic::transport::{Channel, Endpoint};

use super::Client;

/// Nothing in a test takes longer: what does is a failure, not patience.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `soloist serve`. Killed when it is dropped.
pub struct Server {
    child: Child,
    pub address: String,
    stderr: Arc<Mutex<String>>,
    /// Ends when the process has said its last word.
    reader: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts on a free port with short leases (1.5 s; workers are told 1 s) and waits until it is ready.
    pub fn start(folder: &Path) -> Server {
        Server::start_with(folder, &[], &[])
    }

    /// The same with leases that no test outlasts, however busy the machine: for stories about other things.
    pub fn with_long_leases(folder: &Path) -> Server {
        Server::start_with(folder, &["--lease", "5m"], &[])
    }

    /// The same with further flags and environment variables. Later flags win.
    pub fn start_with(folder: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Server {
        Server::try_start(folder, flags, environment).unwrap_or_else(|(_, stderr)| panic!("not ready: {stderr}"))
    }

    /// Starts where another one was, so that its clients find this one: `address` is that one's.
    pub fn start_at(address: &str, folder: &Path, environment: &[(&str, &str)]) -> Server {
        Server::start_with(folder, &["--listen", address.trim_start_matches("http://")], environment)
    }

    /// The same, or how it ended and what it said.
    pub fn try_start(
        folder: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Server, (ExitStatus, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soloist"));
        command.arg("serve").arg("--data-dir").arg(folder).args(["--log-format", "json"]);
        command.envs([("SOLOIST_LISTEN", "127.0.0.1:0"), ("SOLOIST_LEASE", "1500ms")]);
        command.args(flags).envs(environment.iter().copied());
        Server::spawn(command)
    }

    /// Starts any command that runs the program's `serve` with `--log-format json`.
    pub fn spawn(mut command: Command) -> Result<Server, (ExitStatus, String)> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = mpsc::channel();
        let said = stderr.clone();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    let _ = ready.send(address);
                }
                let mut said = said.lock().expect("nobody panics with it");
                said.push_str(&line);
                said.push('\n');
            }
        });
        match is_ready.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Server { child, address: format!("http://{address}"), stderr, reader: Some(reader) }),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("it ended");
                let said = stderr.lock().expect("nobody panics with it").clone();
                Err((status, said))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                panic!("not ready after {PATIENCE:?}: {}", stderr.lock().expect("nobody panics with it"));
            }
        }
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        let endpoint = endpoint.initial_connection_window_size(16 << 20).initial_stream_window_size(1 << 20);
        endpoint.connect().await.expect("the server takes connections")
    }

    /// A caller on a connection of its own.
    pub async fn client(&self) -> Client {
        OrchestrationServiceClient::new(self.channel().await).max_decoding_message_size(16 << 20)
    }

    /// A worker's stub on a connection of its own.
    pub async fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel().await).max_decoding_message_size(16 << 20)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that the process has, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }

    /// SIGTERM, and waits until it has ended: how, and what it said.
    pub async fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait().await
    }

    /// Waits until it ends by itself: how, and what it said.
    pub async fn wait(self) -> (ExitStatus, String) {
        // Not on the test's own thread: its connections have to take their leave.
        tokio::task::spawn_blocking(move || self.wait_for_end()).await.expect("it ended")
    }

    fn wait_for_end(mut self) -> (ExitStatus, String) {
        let (done, is_done) = mpsc::channel();
        let pid = self.pid();
        let watchdog = thread::spawn(move || {
            if is_done.recv_timeout(PATIENCE).is_err() {
                signal(pid, "KILL");
            }
        });
        let status = self.child.wait().expect("it ended");
        let _ = done.send(());
        watchdog.join().expect("the watchdog ends");
        self.reader.take().map_or(Ok(()), thread::JoinHandle::join).expect("its last word was heard");
        let said = self.stderr.lock().expect("nobody panics with it").clone();
        (status, said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that the test has started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.expect("kill is there").success(), "kill -{name} {pid}");
}

/// The address in the log's line that says `ready`.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.contains("\"ready\"").then_some(line)?.split_once("\"address\":\"")?;
    rest.split('"').next().map(Into::into)
}
