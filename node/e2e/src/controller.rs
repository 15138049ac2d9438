//! A fleet: a controller, its admin's machine, and what the admin has published.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{self, Daemon, Output};
use crate::{E2eError, binaries, wait};

/// A running controller with an initialized trust root.
#[derive(Debug)]
pub struct Fleet {
    /// Everything lies below it.
    pub folder: PathBuf,
    controller: Option<Daemon>,
    listen: String,
    metrics: String,
    /// Arguments that `croft-controller run` gets besides.
    pub run_arguments: Vec<String>,
}

/// A baseline that asks for what every Linux with seccomp can give, and reports what a plain virtual machine lacks.
pub const REPORTING_BASELINE: &str = "\
kind: Baseline
name: starter
version: 1
tier: 1
lease_ttl_s: 86400
checks:
  disk-encryption:
    # This machine may have no encrypted disk: report, so that the demo works, and the report says so.
    mode: report
    paths: [\"/\", home, store, swap]
  self-test:
    mode: block
  api-binding:
    mode: block
  production-credentials:
    mode: report
";

impl Fleet {
    /// Starts a controller below `folder` and initializes solo trust.
    ///
    /// # Errors
    /// Whatever step fails, with what its command said.
    pub fn start(folder: &Path) -> Result<Self, E2eError> {
        Self::start_with(folder, &["--solo"])
    }

    /// Starts a controller below `folder` and initializes trust with these arguments.
    ///
    /// # Errors
    /// Whatever step fails, with what its command said.
    pub fn start_with(folder: &Path, init: &[&str]) -> Result<Self, E2eError> {
        std::fs::create_dir_all(folder).map_err(E2eError::io("make the fleet's folder"))?;
        let mut fleet = Self {
            folder: folder.to_owned(),
            controller: None,
            listen: "127.0.0.1:0".to_owned(),
            metrics: "127.0.0.1:0".to_owned(),
            run_arguments: Vec::new(),
        };
        let state = fleet.controller_state();
        process::must(
            Command::new(binaries::path("croft-controller")?)
                // The second is this machine too, and no loopback address: that way leads through a proxy.
                .args(["init", "--name", "Acme", "--host", "127.0.0.1", "--host", "0.0.0.0"])
                .arg("--state")
                .arg(&state),
        )?;
        fleet.start_controller()?;
        let bootstrap = state.join("bootstrap.json");
        fleet.redirect_bootstrap(&bootstrap)?;
        fleet.ctl(&[&["init", "--bootstrap", &bootstrap.display().to_string()], init].concat())?;
        Ok(fleet)
    }

    // `init` cannot know which port `--listen 127.0.0.1:0` will be given.
    fn redirect_bootstrap(&self, path: &Path) -> Result<(), E2eError> {
        let text = std::fs::read_to_string(path).map_err(E2eError::io("read bootstrap.json"))?;
        let mut bootstrap: Value =
            serde_json::from_str(&text).map_err(|e| E2eError::unexpected("JSON", e))?;
        bootstrap["controller"] = Value::String(self.url());
        std::fs::write(path, bootstrap.to_string()).map_err(E2eError::io("write bootstrap.json"))
    }

    /// Starts the controller, again on the port it had before.
    ///
    /// # Errors
    /// If it does not answer within 30 s.
    pub fn start_controller(&mut self) -> Result<(), E2eError> {
        let state = self.controller_state();
        let endpoint = state.join("endpoint.json");
        let _ = std::fs::remove_file(&endpoint);
        let mut command = Command::new(binaries::path("croft-controller")?);
        command.arg("run").arg("--state").arg(&state);
        command.args(["--listen", &self.listen, "--metrics", &self.metrics]).args(&self.run_arguments);
        let mut daemon =
            Daemon::start("croft-controller", &mut command, &self.folder.join("controller.log"))?;
        let bound = wait::until("the controller listens", 30, || {
            if !daemon.is_running() {
                return Err(format!("it ended: {}", daemon.log()));
            }
            let text = std::fs::read_to_string(&endpoint).map_err(|e| e.to_string())?;
            serde_json::from_str::<Value>(&text).map_err(|e| e.to_string())
        })?;
        let field = |name: &str| bound[name].as_str().unwrap_or_default().to_owned();
        (self.listen, self.metrics) = (field("listen"), field("metrics"));
        self.controller = Some(daemon);
        Ok(())
    }

    /// Stops the controller gracefully.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn stop_controller(&mut self) -> Result<(), E2eError> {
        self.controller.take().map_or(Ok(()), |mut daemon| daemon.stop().map(drop))
    }

    /// Kills the controller.
    pub fn kill_controller(&mut self) {
        if let Some(mut daemon) = self.controller.take() {
            daemon.kill();
        }
    }

    /// The controller's state folder.
    #[must_use]
    pub fn controller_state(&self) -> PathBuf {
        self.folder.join("controller")
    }

    /// The admin's configuration folder.
    #[must_use]
    pub fn ctl_config(&self) -> PathBuf {
        self.folder.join("croftctl")
    }

    /// Where the controller answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        format!("http://{}", self.metrics)
    }

    /// Its pid, if it runs.
    #[must_use]
    pub fn controller_pid(&self) -> Option<u32> {
        self.controller.as_ref().map(Daemon::pid)
    }

    /// Runs `croftctl`, which must succeed.
    ///
    /// # Errors
    /// What it said if it does not.
    pub fn ctl(&self, args: &[&str]) -> Result<Output, E2eError> {
        process::must(&mut self.ctl_command(args)?)
    }

    /// Runs `croftctl`, whatever its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_ctl(&self, args: &[&str]) -> Result<Output, E2eError> {
        process::run(&mut self.ctl_command(args)?)
    }

    /// Runs `croftctl … -o json`.
    ///
    /// # Errors
    /// If it fails or prints no JSON.
    pub fn ctl_json(&self, args: &[&str]) -> Result<Value, E2eError> {
        let output = self.ctl(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&output.stdout).map_err(|_| E2eError::unexpected("JSON", &output.stdout))
    }

    fn ctl_command(&self, args: &[&str]) -> Result<Command, E2eError> {
        ctl_command_at(&self.ctl_config(), args)
    }

    /// Publishes the starter bundle and a baseline, and assigns both to group `dev`.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn publish_starter(&self, baseline: &str) -> Result<(), E2eError> {
        self.apply(baseline)?;
        let name = baseline_name(baseline);
        self.ctl(&["assign", "baseline", &name, "--group", "dev", "--tier", "1"])?;
        self.publish_bundle("starter", 1, &starter_model())?;
        self.ctl(&["assign", "bundle", "starter@1", "--group", "dev"])?;
        Ok(())
    }

    /// Imports, approves and publishes a GGUF file.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn publish_bundle(&self, name: &str, version: u32, gguf: &Path) -> Result<(), E2eError> {
        self.publish_variants(name, version, &[gguf.to_owned()])
    }

    /// Imports, approves and publishes GGUF files of one model as variants of one bundle, the first one first.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn publish_variants(&self, name: &str, version: u32, ggufs: &[PathBuf]) -> Result<(), E2eError> {
        let files: Vec<String> = ggufs.iter().map(|gguf| gguf.display().to_string()).collect();
        let gguf = files.first().cloned().unwrap_or_default();
        let others = files.iter().skip(1).flat_map(|file| ["--variant", file]);
        let (version, others) = (version.to_string(), others.collect::<Vec<&str>>());
        let source = "croft starter model, trained from its recipe";
        let check = "test that add(2, 3) is 5=>assert_eq!(add(2, 3), 5);";
        let import = [
            "bundle",
            "import",
            name,
            &gguf,
            "--version",
            &version,
            "--license",
            "Apache-2.0",
            "--source",
            source,
            "--unlisted",
            "--alias",
            "chat",
            "--alias",
            "complete",
            "--alias",
            "embed",
            "--check",
            check,
        ];
        self.ctl(&[&import[..], &others].concat())?;
        let reference = format!("{name}@{version}");
        self.ctl(&["bundle", "approve", &reference, "--allow-source"])?;
        self.ctl(&["bundle", "publish", &reference])?;
        Ok(())
    }

    /// Applies a YAML document.
    ///
    /// # Errors
    /// What `croftctl` said.
    pub fn apply(&self, yaml: &str) -> Result<Output, E2eError> {
        let file = self.folder.join("apply.yaml");
        std::fs::write(&file, yaml).map_err(E2eError::io("write apply.yaml"))?;
        self.ctl(&["apply", "-f", &file.display().to_string()])
    }

    /// Makes an invite and gives its line, from `croft1.` on.
    ///
    /// # Errors
    /// If no line comes.
    pub fn invite(&self, args: &[&str]) -> Result<String, E2eError> {
        let output = self.ctl(&[&["invite", "create", "--group", "dev"], args].concat())?;
        let line = output.stdout.split_whitespace().find(|word| word.starts_with("croft1."));
        line.map(str::to_owned).ok_or_else(|| E2eError::unexpected("an invite", &output.stdout))
    }

    /// Leaves the controller running when this value is gone.
    pub fn keep(mut self) {
        if let Some(daemon) = self.controller.take() {
            daemon.keep();
        }
    }
}

/// Runs `croftctl` on another key holder's machine, which is a folder; whatever its end.
///
/// # Errors
/// If it cannot be started.
pub fn try_ctl_at(config: &Path, args: &[&str]) -> Result<Output, E2eError> {
    process::run(&mut ctl_command_at(config, args)?)
}

/// As [`try_ctl_at`]; it must succeed.
///
/// # Errors
/// What it said if it does not.
pub fn ctl_at(config: &Path, args: &[&str]) -> Result<Output, E2eError> {
    process::must(&mut ctl_command_at(config, args)?)
}

fn ctl_command_at(config: &Path, args: &[&str]) -> Result<Command, E2eError> {
    let mut command = Command::new(binaries::path("croftctl")?);
    command.arg("--config").arg(config).args(args);
    Ok(command)
}

/// The starter model of the playbooks.
#[must_use]
pub fn starter_model() -> PathBuf {
    binaries::repository().join("playbooks/starter-model/croft-starter-q8_0.gguf")
}

fn baseline_name(yaml: &str) -> String {
    let field = |key: &str| {
        let line = yaml.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim().to_owned()
    };
    format!("{}@{}", field("name:"), field("version:"))
}
