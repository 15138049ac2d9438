//! Running a tool of the system for what no file tells: by full path, without this process's environment, with a deadline
//! and a bound on what is read.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Until a tool must have answered. Windows' own shell takes seconds to start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest output that is kept, in bytes.
const OUTPUT_LEN_MAX: u64 = 256 * 1024;

/// What `program` prints. None if it is not there, fails, or does not end in time.
pub(crate) fn ask(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // Ends with the tool, whose end closes the pipe.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(OUTPUT_LEN_MAX).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let heard = receiver.recv_timeout(ANSWER_TIMEOUT);
    if heard.is_err() {
        let _ = child.kill();
    }
    let has_succeeded = child.wait().is_ok_and(|status| status.success());
    let bytes = heard.ok()?.ok().filter(|_| has_succeeded)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_heard_and_one_that_fails_or_is_missing_is_not() {
        assert_eq!(ask("/bin/echo", &["a", "b"], &[]).as_deref(), Some("a b\n"));
        assert_eq!(ask("/bin/sh", &["-c", "echo half; exit 3"], &[]), None);
        assert_eq!(ask("/croft-no-such-tool", &[], &[]), None);
    }

    #[test]
    fn p10_a_tool_sees_nothing_of_our_environment() {
        let seen = ask("/usr/bin/env", &[], &[("HOME", "/h")]);
        assert_eq!(seen.as_deref(), Some("HOME=/h\n"));
    }
}
