//! Telling the owner by the program that the owner chose: `notify-send`, or a script. It is started by the daemon, never from
//! the gateway or a worker, whose sandbox could not; it gets a title and one sentence as its last arguments, no standard
//! input, and of the environment only what finds the desktop.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::limits::NOTIFY_TIMEOUT;

/// What leads a program to its owner's desktop.
const ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Runs `program` with `arguments`, a title and `text`, and waits until it ends. One that does not end is ended.
pub async fn tell(program: &Path, arguments: &[String], text: &str) {
    let mut command = Command::new(program);
    command.args(arguments).arg("Croft").arg(text).env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = match command.spawn() {
        Ok(mut child) => tokio::time::timeout(NOTIFY_TIMEOUT, child.wait()).await,
        Err(e) => {
            return tracing::warn!(program = %program.display(), error = %e, "notify.program cannot be run");
        }
    };
    match ended {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!(program = %program.display(), %status, "notify.program failed"),
        Ok(Err(e)) => tracing::warn!(program = %program.display(), error = %e, "notify.program was lost"),
        Err(_) => tracing::warn!(program = %program.display(), "notify.program does not end, and was ended"),
    }
}
