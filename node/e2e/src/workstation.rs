//! A workstation: a node daemon with its own state, and the `croft` command as its user types it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{self, Daemon, Output};
use crate::{E2eError, binaries, wait};

/// A workstation; its daemon may run or not.
#[derive(Debug)]
pub struct Workstation {
    /// State, run folder, home and log lie below it.
    pub folder: PathBuf,
    daemon: Option<Daemon>,
    port: u16,
    log: String,
    variables: Vec<(String, String)>,
}

impl Workstation {
    /// A new workstation below `folder`, with a free port for its gateway. Nothing runs yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: &Path) -> Result<Self, E2eError> {
        let made = Self {
            folder: folder.to_owned(),
            daemon: None,
            port: free_port()?,
            log: "info".to_owned(),
            variables: Vec::new(),
        };
        for part in ["state", "run", "home", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).map_err(E2eError::io(format!("make {part}")))?;
        }
        made.configure("")?;
        Ok(made)
    }

    /// How much programs that are started from now on log.
    pub fn set_log(&mut self, level: &str) {
        level.clone_into(&mut self.log);
    }

    /// Gives programs that are started from now on a variable of their environment.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes `node.toml`: the gateway's port, and `more` tables.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, more: &str) -> Result<(), E2eError> {
        let text = format!("[gateway]\nlisten = \"127.0.0.1:{}\"\n{more}", self.port);
        std::fs::write(self.state().join("node.toml"), text).map_err(E2eError::io("write node.toml"))
    }

    /// Starts the daemon and waits until its socket answers.
    ///
    /// # Errors
    /// If it ends or does not answer within 30 s.
    pub fn start(&mut self) -> Result<(), E2eError> {
        let mut daemon = self.spawn()?;
        let answered = wait::until("the daemon answers", 30, || {
            if !daemon.is_running() {
                return Err(format!("it ended: {}", daemon.log()));
            }
            self.status().map_err(|e| e.to_string())
        });
        self.daemon = Some(daemon);
        answered.map(drop)
    }

    /// Starts the daemon without waiting for anything.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self) -> Result<Daemon, E2eError> {
        let mut command = self.command("croft-node")?;
        command.arg("run");
        Daemon::start("croft-node", &mut command, &self.folder.join("node.log"))
    }

    /// Enrolls with an invite and consents.
    ///
    /// # Errors
    /// What `croft` said.
    pub fn enroll(&self, invite: &str) -> Result<Output, E2eError> {
        self.croft(&["enroll", invite, "--yes", "--ownership", "dev-budget"])
    }

    /// Waits until the gateway serves.
    ///
    /// # Errors
    /// [`E2eError::Late`] with the last status.
    pub fn wait_until_serving(&self, seconds: u64) -> Result<Value, E2eError> {
        wait::until("the node serves with a loaded model", seconds, || {
            let status = self.status().map_err(|e| e.to_string())?;
            let models = self.models().map_err(|e| e.to_string())?;
            let is_loaded = models.to_string().contains("\"loaded\"");
            if status["serving"] == "serving" && is_loaded {
                Ok(status)
            } else {
                Err(format!("{status} {models}"))
            }
        })
    }

    /// Waits until the gateway refuses, with this code.
    ///
    /// # Errors
    /// [`E2eError::Late`] with the last status.
    pub fn wait_until_refusing(&self, code: &str, seconds: u64) -> Result<Value, E2eError> {
        wait::until(&format!("the node refuses with {code}"), seconds, || {
            let status = self.status().map_err(|e| e.to_string())?;
            if status["serving_code"] == code { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// `croft status -o json`.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn status(&self) -> Result<Value, E2eError> {
        self.croft_json(&["status"])
    }

    /// `croft models -o json`.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn models(&self) -> Result<Value, E2eError> {
        self.croft_json(&["models"])
    }

    /// The API key, as `croft key` prints it.
    ///
    /// # Errors
    /// If the daemon does not answer.
    pub fn api_key(&self) -> Result<String, E2eError> {
        Ok(self.croft(&["key"])?.stdout.trim().to_owned())
    }

    /// Base URL of the gateway.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Port of the gateway.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The node's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What the daemon logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("node.log")).unwrap_or_default()
    }

    /// Pid of the daemon, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// Pid of a process by its role, as `croft status` tells it.
    ///
    /// # Errors
    /// If there is none.
    pub fn pid_of(&self, role: &str) -> Result<u32, E2eError> {
        let status = self.status()?;
        let found = status["processes"].as_array().into_iter().flatten().find_map(|process| {
            let is_role = process["role"].as_str().is_some_and(|r| r.starts_with(role));
            is_role.then(|| process["pid"].as_u64()).flatten()
        });
        found.and_then(|pid| u32::try_from(pid).ok()).ok_or_else(|| E2eError::unexpected(role, &status))
    }

    /// Runs `croft`, which must succeed.
    ///
    /// # Errors
    /// What it said if it does not.
    pub fn croft(&self, args: &[&str]) -> Result<Output, E2eError> {
        process::must(self.command("croft")?.args(args))
    }

    /// Runs `croft`, whatever its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_croft(&self, args: &[&str]) -> Result<Output, E2eError> {
        process::run(self.command("croft")?.args(args))
    }

    /// Runs `croft … -o json`.
    ///
    /// # Errors
    /// If it fails or prints no JSON.
    pub fn croft_json(&self, args: &[&str]) -> Result<Value, E2eError> {
        let output = self.croft(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&output.stdout).map_err(|_| E2eError::unexpected("JSON", &output.stdout))
    }

    /// A command with this workstation's folders in its environment.
    ///
    /// # Errors
    /// If it is not built.
    pub fn command(&self, program: &str) -> Result<Command, E2eError> {
        let mut command = Command::new(binaries::path(program)?);
        command
            .env("CROFT_STATE", self.state())
            .env("CROFT_RUN", self.folder.join("run"))
            .env("HOME", self.folder.join("home"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("CROFT_LOG", &self.log)
            .envs(self.variables.iter().cloned())
            .env_remove("XDG_RUNTIME_DIR");
        Ok(command)
    }

    /// Stops the daemon gracefully.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn stop(&mut self) -> Result<(), E2eError> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.stop().map(drop))
    }

    /// Kills the daemon, as a power cut does. Its children must end with it.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Leaves the daemon running when this value is gone.
    pub fn keep(mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.keep();
        }
    }
}

// Between asking and using somebody else could take it; the daemon then says E-PORT-TAKEN and the test fails loudly.
fn free_port() -> Result<u16, E2eError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(E2eError::io("find a free port"))?;
    listener.local_addr().map(|a| a.port()).map_err(E2eError::io("find a free port"))
}
