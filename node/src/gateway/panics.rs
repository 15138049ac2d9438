//! What a panic of this process says: where it was, and nothing else. The words of a panic can quote what was being handled:
//! a text that is cut in the middle of a character is shown whole.

use croft_domain::code::Code;

/// From here on, in every thread.
pub fn keep_quiet() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        eprintln!("error[{}]: the gateway failed at {place}", Code::Internal);
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const PROMPT: &str = "CROFT_TEST_PANIC_PROMPT";

    /// Does nothing unless it is started by the test below.
    #[test]
    fn a_process_that_panics() {
        let Ok(prompt) = std::env::var(PROMPT) else { return };
        keep_quiet();
        // As a mistake of ours would be: this index is within a character.
        println!("{}", &prompt[..1]);
    }

    #[test]
    fn p6_a_panic_says_where_and_never_what() {
        let name = "gateway::panics::tests::a_process_that_panics";
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture", "--test-threads", "1"])
            .env(PROMPT, "\u{e9} zanzibarquux")
            .output()
            .expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            !output.status.success() && said.contains("the gateway failed at node/src/gateway/panics.rs:"),
            "{said}"
        );
        assert!(!said.contains("zanzibarquux"), "{said}");
    }
}
