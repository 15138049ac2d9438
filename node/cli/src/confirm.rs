//! Asking a person. Without a terminal on both ends nobody is asked, and nobody has agreed.

use std::io::{BufRead, IsTerminal, Write};

use croft_domain::code::Code;

use crate::failure::Failure;

/// Whether consent was given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Given,
    /// It must be asked for.
    Ask,
}

impl Consent {
    pub const fn of_flag(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Ask }
    }
}

/// Asks `question`. Anything but yes is a no.
///
/// # Errors
/// [`Code::ConsentRequired`] if nobody can be asked, or the answer is no.
pub fn require(consent: Consent, question: &str) -> Result<(), Failure> {
    if consent == Consent::Given {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(Code::ConsentRequired, "nobody can be asked: this is not a terminal"));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && is_yes(&answer) {
        Ok(())
    } else {
        Err(Failure::new(Code::ConsentRequired, "not agreed; nothing was changed"))
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES "));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("yep") && !is_yes("n"));
    }
}
