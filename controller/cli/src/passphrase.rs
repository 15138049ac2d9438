//! Passphrases of the admin's keys: from a file, from the environment, or from a person at a terminal.
//!
//! One that has opened a key is offered first for the next, so that a ceremony with five keys asks once. It stays in
//! memory until this process ends and goes nowhere else.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use croft_trust::keys::{Passphrases, read_private};
use croft_trust::limits::PASSPHRASE_LEN_MAX;
use croft_trust::sign::KeyError;
use zeroize::Zeroizing;

use crate::limits::PASSPHRASE_PROMPTS_MAX;
use crate::output::say;

/// The environment variable that may hold the passphrase.
pub const ENVIRONMENT: &str = "CROFTCTL_PASSPHRASE";

/// Where passphrases come from in this run.
#[derive(Clone, Default)]
pub struct Source {
    file: Option<PathBuf>,
    known: Arc<Mutex<Option<Zeroizing<String>>>>,
}

impl std::fmt::Debug for Source {
    // A passphrase must not reach a log by way of `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source {
    /// Takes passphrases from `file` if it is named.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, known: Arc::default() }
    }

    /// The passphrase that was given without a terminal: the file's, else the environment's.
    ///
    /// # Errors
    /// The file may be read by others, or what was given is not a passphrase.
    pub fn given(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        if let Some(path) = &self.file {
            let bytes = read_private(path).map_err(|error| of_passphrase_file(error, path))?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| KeyError::Passphrase(format!("{} is not UTF-8", path.display())))?;
            return checked(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())).map(Some);
        }
        match std::env::var(ENVIRONMENT) {
            Ok(text) => checked(Zeroizing::new(text)).map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(KeyError::Passphrase(format!("{ENVIRONMENT} is not UTF-8")))
            }
        }
    }

    /// The passphrase for new keys: as given, else asked for twice at a terminal; none if there is neither.
    ///
    /// # Errors
    /// As [`Self::given`], or the two differ.
    pub fn for_new_keys(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        if let Some(given) = self.given()? {
            return Ok(Some(given));
        }
        if !is_at_terminal() {
            return Ok(None);
        }
        say(
            "the keys are encrypted with a passphrase; without it they cannot be used, and nobody can recover it",
        );
        let passphrase = checked(ask("passphrase for the new keys: ")?)?;
        if *passphrase != *ask("once more: ")? {
            return Err(KeyError::Passphrase("the two differ".to_owned()));
        }
        self.opened(&passphrase);
        Ok(Some(passphrase))
    }

    /// A new passphrase for a key that has one, asked for twice at a terminal.
    ///
    /// # Errors
    /// There is no terminal, or the two differ.
    pub fn ask_for_new(key: &str) -> Result<Zeroizing<String>, KeyError> {
        if !is_at_terminal() {
            let text = "there is no terminal to ask at: give --new-passphrase-file FILE or --no-passphrase";
            return Err(KeyError::Passphrase(text.to_owned()));
        }
        let passphrase = checked(ask(&format!("new passphrase for {key}: "))?)?;
        if *passphrase == *ask("once more: ")? {
            Ok(passphrase)
        } else {
            Err(KeyError::Passphrase("the two differ".to_owned()))
        }
    }

    fn known(&self) -> Option<Zeroizing<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Passphrases for Source {
    fn next(&self, path: &Path, attempt: u32) -> Result<Option<Zeroizing<String>>, KeyError> {
        let first: Vec<_> = self.known().into_iter().chain(self.given()?).collect();
        if let Some(passphrase) = first.get(attempt as usize) {
            return Ok(Some(passphrase.clone()));
        }
        // What a program gives does not become right by asking a person who may not be there.
        let asked = attempt - u32::try_from(first.len()).unwrap_or(attempt);
        if self.given()?.is_some() || !is_at_terminal() || asked >= PASSPHRASE_PROMPTS_MAX {
            return Ok(None);
        }
        if asked > 0 {
            say("that does not open it");
        }
        ask(&format!("passphrase for {}: ", path.display())).map(Some)
    }

    fn opened(&self, passphrase: &Zeroizing<String>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(passphrase.clone());
    }
}

/// What is wrong with a file that is no key file, in words for a passphrase file.
fn of_passphrase_file(error: KeyError, path: &Path) -> KeyError {
    match error {
        KeyError::Exposed { path, mode } => KeyError::PassphraseExposed { path, mode },
        KeyError::MalformedFile { path } => {
            KeyError::Passphrase(format!("{} is longer than a passphrase can be", path.display()))
        }
        KeyError::Read { source, .. } => {
            KeyError::Passphrase(format!("cannot read {}: {source}", path.display()))
        }
        other => other,
    }
}

fn is_at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, KeyError> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| KeyError::Passphrase(format!("cannot be asked for: {error}")))
}

fn checked(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, KeyError> {
    let is_one = (1..=PASSPHRASE_LEN_MAX).contains(&passphrase.len()) && !passphrase.contains(['\n', '\r']);
    if is_one {
        Ok(passphrase)
    } else {
        Err(KeyError::Passphrase("expected one line of 1 to 1024 bytes".to_owned()))
    }
}
