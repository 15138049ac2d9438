//! `croft service`: the daemon of this user, started in the background. A system's daemon is systemd's to start.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use croft_domain::code::Code;
use rustix::process::{Pid, Signal, kill_process};

use crate::args::ServiceCommand;
use crate::command::status;
use crate::failure::Failure;
use crate::limits::{LOG_LEN_MAX, LOG_TAIL_LEN, LOOK_INTERVAL, START_TIMEOUT, STOP_TIMEOUT};
use crate::paths::{Installation, Paths};
use crate::{daemon, output, program};

pub async fn run(paths: &Paths, command: ServiceCommand) -> Result<(), Failure> {
    match (command, paths.installation) {
        (ServiceCommand::Status, _) => report(paths).await,
        (ServiceCommand::Start, Installation::User) => start(paths).await,
        (ServiceCommand::Stop, Installation::User) => stop(paths).await,
        (ServiceCommand::Start, Installation::System) => Err(of_the_system("start")),
        (ServiceCommand::Stop, Installation::System) => Err(of_the_system("stop")),
    }
}

fn of_the_system(verb: &str) -> Failure {
    Failure::new(Code::Denied, "the daemon on this machine belongs to the system")
        .hint(format!("run sudo systemctl {verb} croft-node"))
}

async fn report(paths: &Paths) -> Result<(), Failure> {
    let view = status::fetch(&mut daemon::connect(paths).await?).await?;
    let daemon = view.processes.iter().find(|process| process.role == "daemon");
    let pid = daemon.map_or_else(String::new, |process| format!(", process {}", process.pid));
    output::print(&format!("running{pid}, version {}\n", output::one_line(&view.version)))
}

async fn start(paths: &Paths) -> Result<(), Failure> {
    if daemon::connect(paths).await.is_ok() {
        output::say("The daemon runs already.");
        return Ok(());
    }
    let unwritable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::new(Code::StateUnwritable, format!("{path}: {error}"))
    };
    for folder in [&paths.state, &paths.run] {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable(folder))?;
    }
    let log = open_log(&paths.log()).map_err(unwritable(&paths.log()))?;
    let start = log.metadata().map_or(0, |meta| meta.len());
    let errors = log.try_clone().map_err(unwritable(&paths.log()))?;
    let mut child = program::node(paths, &["run"])?
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // A group of its own: Ctrl-C in this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::caused(Code::Internal, &error))?;
    std::fs::write(paths.pid_file(), format!("{}\n", child.id())).map_err(unwritable(&paths.pid_file()))?;
    wait_until_up(paths, &mut child, start).await?;
    output::say(&format!("The daemon runs as process {}; its log is {}.", child.id(), paths.log().display()));
    Ok(())
}

fn open_log(path: &Path) -> std::io::Result<File> {
    let is_long = std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_LEN_MAX);
    if is_long {
        std::fs::remove_file(path)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

async fn wait_until_up(paths: &Paths, child: &mut Child, log_start: u64) -> Result<(), Failure> {
    let looks = START_TIMEOUT.as_millis() / LOOK_INTERVAL.as_millis();
    for _ in 0..looks {
        if paths.socket().exists() && daemon::connect(paths).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let _ = std::fs::remove_file(paths.pid_file());
            let said = tail(&paths.log(), log_start);
            return Err(Failure::new(Code::DaemonDown, format!("the daemon ended ({status}):\n{said}"))
                .hint(format!("mend what it says; its log is {}", paths.log().display())));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let message =
        format!("the daemon started, but does not answer within {} seconds", START_TIMEOUT.as_secs());
    Err(Failure::new(Code::DaemonDown, message).hint(format!("look at its log, {}", paths.log().display())))
}

/// The end of what the daemon wrote since `start`.
fn tail(path: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(len.saturating_sub(LOG_TAIL_LEN as u64))))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_LEN as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(
        |error| format!("(its log cannot be read: {error})"),
        |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
    )
}

async fn stop(paths: &Paths) -> Result<(), Failure> {
    let Some(pid) = running(paths) else {
        if daemon::connect(paths).await.is_ok() {
            return Err(Failure::new(
                Code::Denied,
                "a daemon answers, but croft service start did not start it",
            )
            .hint("stop it where it was started"));
        }
        let _ = std::fs::remove_file(paths.pid_file());
        output::say("The daemon does not run.");
        return Ok(());
    };
    end(pid, STOP_TIMEOUT).await?;
    let _ = std::fs::remove_file(paths.pid_file());
    output::say("The daemon is stopped.");
    Ok(())
}

/// Stops the daemon that `service start` started, if it runs.
pub async fn stop_if_running(paths: &Paths) -> Result<(), Failure> {
    if paths.installation == Installation::User && running(paths).is_some() {
        stop(paths).await
    } else {
        Ok(())
    }
}

/// The process in the pid file, if that number still is a croft-node: numbers are reused.
fn running(paths: &Paths) -> Option<Pid> {
    let text = std::fs::read_to_string(paths.pid_file()).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    is_node(pid).then_some(pid)
}

fn is_node(pid: Pid) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    // A process that has ended and whose parent has not looked yet still has a name.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let is_over = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    name.is_ok_and(|name| name.trim_end() == "croft-node") && !is_over
}

async fn end(pid: Pid, patience: Duration) -> Result<(), Failure> {
    kill_process(pid, Signal::TERM).map_err(|error| Failure::caused(Code::Internal, &error))?;
    for _ in 0..patience.as_millis() / LOOK_INTERVAL.as_millis() {
        if !is_node(pid) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let number = pid.as_raw_nonzero();
    Err(Failure::new(
        Code::Internal,
        format!("process {number} does not end within {} s", patience.as_secs()),
    )
    .hint(format!("look at its log; kill -9 {number} ends it without draining")))
}
