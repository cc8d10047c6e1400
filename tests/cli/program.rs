//! The program as a process: run to its end, or running beside the test.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Nothing in these stories takes as long.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A process that runs beside the test. Killed when it is dropped.
pub struct Running {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

/// What a process says, line by line.
pub struct Lines(Receiver<String>);

/// A server, and commands for it.
pub struct Server {
    pub process: Running,
    /// `127.0.0.1` and a port.
    pub address: String,
}

// === impl Done ===

impl Done {
    /// Panics with all that was said unless the command ended with this code.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Done {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// What stdout says in JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The value of a row of stdout's table.
    #[track_caller]
    pub fn row(&self, name: &str) -> &str {
        let rows = self.stdout.lines().filter_map(|line| line.split_once("  "));
        let mut found = rows.filter(|(key, _)| *key == name).map(|(_, value)| value.trim());
        found.next().unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }
}

// === impl Running ===

impl Running {
    pub fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Lines::of(child.stdout.take().expect("its stdout"));
        let stderr = Lines::of(child.stderr.take().expect("its stderr"));
        Running { child, stdout, stderr }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success(), "kill -{name}");
    }

    /// Waits for its end, which its closed outputs announce: how, and what was left to read.
    pub fn end(mut self) -> Done {
        let [stdout, stderr] = [self.stdout.rest(), self.stderr.rest()];
        let status = self.child.wait().expect("it ended");
        Done { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Lines ===

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(heard)
    }

    /// The next line.
    #[track_caller]
    pub fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// The next line that contains the text; those before it are passed over.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(text) {
                return line;
            }
        }
    }

    #[track_caller]
    fn rest(&self) -> String {
        let mut rest = String::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => rest = rest + &line + "\n",
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it has not ended; it said: {rest}"),
            }
        }
    }
}

// === impl Server ===

impl Server {
    /// `soloist serve` on a free port.
    pub fn serve(folder: &Path) -> Server {
        Server::start("serve", folder, "127.0.0.1:0")
    }

    /// `soloist dev` on a free port.
    pub fn dev(folder: &Path) -> Server {
        Server::start("dev", folder, "127.0.0.1:0")
    }

    /// Starts it and waits until it is ready.
    pub fn start(command: &str, folder: &Path, listen: &str) -> Server {
        let mut line = soloist(&[command, "--listen", listen, "--log-format", "json"]);
        let process = Running::start(line.arg("--data-dir").arg(folder));
        let ready = process.stderr.until("\"ready\"");
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("the log is JSON");
        let address = ready["address"].as_str().expect("an address").to_owned();
        Server { process, address }
    }

    /// Runs a client command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        self.beside(args).end()
    }

    /// Starts a client command.
    pub fn beside(&self, args: &[&str]) -> Running {
        Running::start(soloist(args).env("SOLOIST_SERVER", &self.address))
    }
}

/// The program, without what the environment sets.
pub fn soloist(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soloist"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SOLOIST_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Done {
    Running::start(&mut soloist(args)).end()
}
