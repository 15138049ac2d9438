//! What a person reads when something does not work: a stable code, what happened, what to do next.

use croft_domain::code::Code;

/// The command failed.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// With the chain of causes behind the message.
    pub fn caused(code: Code, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many libraries print their source themselves.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            next = cause.source();
        }
        Self::new(code, message)
    }

    /// A better next step than the code's own, where the situation is known.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub const fn code(&self) -> Code {
        self.code
    }

    /// For stderr.
    pub fn lines(&self) -> String {
        let message = crate::output::printable(&self.message);
        format!(
            "error[{}]: {message}\nhint: {}\n",
            self.code,
            self.hint.as_deref().unwrap_or(self.code.hint())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("cannot reach the socket")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::caused(Code::DaemonDown, &Outer(std::io::Error::other("no such file")));
        assert_eq!(
            failure.lines(),
            "error[E-DAEMON-DOWN]: cannot reach the socket: no such file\nhint: start it with croft service start\n"
        );
    }
}
