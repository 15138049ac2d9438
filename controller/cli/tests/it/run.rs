//! Runs croftctl in a folder of its own, with nothing of the surrounding environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A place for one test.
pub struct Place {
    temp: tempfile::TempDir,
}

impl Place {
    /// A new, empty place.
    pub fn new() -> Self {
        Self { temp: tempfile::tempdir().expect("a folder") }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// The fleet folder that runs here use.
    pub fn fleet(&self) -> PathBuf {
        self.path("fleet")
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs croftctl to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(assert_cmd::cargo::cargo_bin!("croftctl"))
            .args(arguments)
            .current_dir(self.temp.path())
            .env_clear()
            .env("HOME", self.temp.path())
            .env("CROFTCTL_CONFIG", self.fleet())
            .output()
            .expect("croftctl runs")
    }

    /// Runs croftctl and writes exit status, stdout and stderr as one text, with this place's path taken out.
    pub fn shown(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = format!(
            "exit: {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let real = std::fs::canonicalize(self.temp.path()).expect("a real path");
        text.replace(&display(&real), "[PLACE]").replace(&display(self.temp.path()), "[PLACE]")
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
