//! The worker's executable, judged at every start: it is opened once, measured over that descriptor, and what is executed
//! is that descriptor. Exchanging the file between the two changes nothing that runs (P2).
//!
//! Back ends are linked into the worker, so its digest covers them; the C and C++ libraries are the system's.

use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_trust::digest::sha256_reader;

use crate::failure::Failure;

/// Says whether a worker with this digest may be started now.
pub type Judge = Arc<dyn Fn(&Sha256Digest) -> Result<(), Failure> + Send + Sync>;

/// The worker's executable and who judges it.
#[derive(Clone)]
pub struct Runtime {
    /// Where it is installed.
    pub path: PathBuf,
    /// The judge.
    pub judge: Judge,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Opens and measures the executable. Blocks for as long as reading it takes.
    ///
    /// # Errors
    /// It cannot be read, or the judge's refusal.
    pub async fn open(&self) -> Result<File, Failure> {
        let runtime = self.clone();
        let opened = tokio::task::spawn_blocking(move || runtime.open_blocking()).await;
        opened.map_err(|e| Failure::caused(Code::Internal, &e))?
    }

    fn open_blocking(&self) -> Result<File, Failure> {
        let unreadable = |e: std::io::Error| Failure::caused(Code::RuntimeUnapproved, &e);
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let (digest, _) = sha256_reader(&file).map_err(unreadable)?;
        (self.judge)(&digest)?;
        file.rewind().map_err(unreadable)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::{Launch, Output, Program, launch};
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    fn runtime(path: PathBuf, allowed: Sha256Digest) -> Runtime {
        let judge = move |digest: &Sha256Digest| match *digest == allowed {
            true => Ok(()),
            false => Err(Failure::new(Code::RuntimeUnapproved, "another")),
        };
        Runtime { path, judge: Arc::new(judge) }
    }

    /// A copy of a system program, with its digest. Another process writes it: a child that another test forks meanwhile
    /// would hold it open for writing, and the kernel would not run it.
    fn copy_of(program: &str, to: &std::path::Path) -> Sha256Digest {
        let copied = std::process::Command::new("cp").arg(program).arg(to).status().expect("cp runs");
        assert!(copied.success());
        sha256_reader(File::open(to).expect("opened")).expect("measured").0
    }

    #[tokio::test]
    async fn p2_what_was_measured_is_what_runs_though_the_file_is_exchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("croft-worker"), folder.path().join("other"));
        let approved = copy_of("/bin/echo", &path);
        copy_of("/bin/false", &other);
        let opened = runtime(path.clone(), approved).open().await.expect("approved");
        // The attack: after the measuring and before the start, the name leads to another program.
        std::fs::rename(&other, &path).expect("exchanged");
        let mut process = launch(&Launch {
            program: Program::Opened { file: opened.as_fd(), name: "croft-worker" },
            arguments: vec!["measured".to_owned()],
            descriptors: Vec::new(),
            capture_output: Output::Capture,
        })
        .expect("started");
        let mut said = String::new();
        process.take_output().expect("captured").read_to_string(&mut said).expect("read");
        assert_eq!(said, "measured\n");
        assert!(process.wait().await.expect("waited").success());
        // The next start measures what is there now.
        let refused = runtime(path, approved).open().await.expect_err("exchanged");
        assert_eq!(refused.code(), Code::RuntimeUnapproved);
    }

    #[tokio::test]
    async fn p2_an_executable_that_cannot_be_measured_is_not_started() {
        let missing = runtime("/nonexistent/croft-worker".into(), Sha256Digest([0; 32]));
        assert_eq!(missing.open().await.expect_err("missing").code(), Code::RuntimeUnapproved);
    }
}
