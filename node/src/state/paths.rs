//! Where everything is kept: one table by mode and operating system, printed by `croft-node paths`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Mode;
use croft_domain::id::RecallId;

/// One row of the table: the defaults for a mode on an operating system.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How Croft is installed.
    pub mode: Mode,
    /// `linux`, `macos` or `windows`.
    pub os: &'static str,
    /// State folder. `~` is the user's home; a `$NAME` that is unset is left out with the rest of its alternative.
    pub state: &'static str,
    /// Run folder: the socket.
    pub run: &'static str,
}

/// The table.
pub const TABLE: &[Row] = &[
    Row { mode: Mode::System, os: "linux", state: "/var/lib/croft", run: "/run/croft" },
    Row {
        mode: Mode::User,
        os: "linux",
        state: "$XDG_STATE_HOME/croft or ~/.local/state/croft",
        run: "$XDG_RUNTIME_DIR/croft or STATE/run",
    },
    Row {
        mode: Mode::System,
        os: "macos",
        state: "/Library/Application Support/Croft",
        run: "/var/run/croft",
    },
    Row { mode: Mode::User, os: "macos", state: "~/Library/Application Support/Croft", run: "STATE/run" },
    Row { mode: Mode::System, os: "windows", state: "%ProgramData%\\Croft", run: "STATE\\run" },
    Row { mode: Mode::User, os: "windows", state: "%LocalAppData%\\Croft", run: "STATE\\run" },
];

/// What the environment says, read once in `main`.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Home folder.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime: Option<PathBuf>,
    /// `CROFT_LIBEXEC`.
    pub libexec: Option<PathBuf>,
    /// The running executable.
    pub executable: Option<PathBuf>,
}

impl Surroundings {
    /// Reads the process's environment.
    #[must_use]
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            home: path("HOME"),
            xdg_state: path("XDG_STATE_HOME"),
            xdg_runtime: path("XDG_RUNTIME_DIR"),
            libexec: path("CROFT_LIBEXEC"),
            executable: std::env::current_exe().ok(),
        }
    }
}

/// Every path the node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// How Croft is installed.
    pub mode: Mode,
    /// State folder.
    pub state: PathBuf,
    /// Run folder.
    pub run: PathBuf,
    /// `node.toml`.
    pub config: PathBuf,
}

/// No home folder, and nothing else was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no state folder is known: HOME is not set, and --state was not given")]
pub struct PathsError;

impl Paths {
    /// The paths, from what was asked for and what the environment says.
    ///
    /// # Errors
    /// [`PathsError`] if neither says enough.
    pub fn resolve(
        mode: Mode,
        state: Option<PathBuf>,
        run: Option<PathBuf>,
        config: Option<PathBuf>,
        around: &Surroundings,
    ) -> Result<Self, PathsError> {
        let is_state_given = state.is_some();
        let state = match (state, mode) {
            (Some(state), _) => state,
            (None, Mode::System) => PathBuf::from("/var/lib/croft"),
            (None, Mode::User) => match (&around.xdg_state, &around.home) {
                (Some(xdg), _) => xdg.join("croft"),
                (None, Some(home)) => home.join(".local/state/croft"),
                (None, None) => return Err(PathsError),
            },
        };
        let run = match (run, mode) {
            (Some(run), _) => run,
            // Two daemons with states of their own must not meet on one socket.
            (None, _) if is_state_given => state.join("run"),
            (None, Mode::System) => PathBuf::from("/run/croft"),
            (None, Mode::User) => {
                around.xdg_runtime.as_ref().map_or_else(|| state.join("run"), |xdg| xdg.join("croft"))
            }
        };
        let config = config.unwrap_or_else(|| state.join("node.toml"));
        Ok(Self { mode, state, run, config })
    }

    /// A file or folder right below the state folder.
    #[must_use]
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The node's keys and certificate.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.state.join("identity")
    }

    /// Trust metadata.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.state.join("trust")
    }

    /// The floors of the trust metadata: apart from it, so that restoring the one does not restore the other.
    #[must_use]
    pub fn floors(&self) -> PathBuf {
        self.state.join("floors").join("trust.json")
    }

    /// Verified blobs.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.state.join("store")
    }

    /// A verified blob. Built from a digest and nothing else.
    #[must_use]
    pub fn blob(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("store").join("sha256").join(digest.hex())
    }

    /// A blob that is being fetched.
    #[must_use]
    pub fn part(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("store").join("quarantine").join(format!("{}.part", digest.hex()))
    }

    /// A blob that comes out of an archive.
    #[must_use]
    pub fn incoming(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("store").join("quarantine").join(format!("{}.incoming", digest.hex()))
    }

    /// What the kernel measured of a sealed blob. Apart from the store, so that replacing the one does not replace the
    /// other.
    #[must_use]
    pub fn verity(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("verity").join(format!("{}.json", digest.hex()))
    }

    /// Which of its chunks have landed.
    #[must_use]
    pub fn have(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("store").join("quarantine").join(format!("{}.have", digest.hex()))
    }

    /// A recall that was taken in.
    #[must_use]
    pub fn recall(&self, id: RecallId) -> PathBuf {
        self.state.join("recalls").join(format!("{id}.json"))
    }

    /// What was sent to the controller.
    #[must_use]
    pub fn sent(&self) -> PathBuf {
        self.state.join("sent")
    }

    /// What each account has used today.
    #[must_use]
    pub fn spent(&self) -> PathBuf {
        self.state.join("spent.json")
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("croft.sock")
    }

    /// The local API's socket.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("api.sock")
    }

    /// Lines for a person.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let row = |name: &str, path: &Path| format!("{name:<10} {}", path.display());
        vec![
            row("state", &self.state),
            row("config", &self.config),
            row("identity", &self.identity()),
            row("trust", &self.trust()),
            row("floors", &self.floors()),
            row("store", &self.store()),
            row("sent", &self.sent()),
            row("socket", &self.socket()),
            row("API", &self.api_socket()),
        ]
    }
}

/// How Croft is installed: *system* for root and for the account named `croft`, which no person logs in with.
#[must_use]
pub fn mode_of_process() -> Mode {
    let uid = rustix::process::getuid();
    if uid.is_root() || account_name(uid.as_raw()).as_deref() == Some("croft") {
        Mode::System
    } else {
        Mode::User
    }
}

fn account_name(uid: u32) -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// Finds a sibling executable: `CROFT_LIBEXEC`, else beside the running one, else `../libexec/croft`.
#[must_use]
pub fn find_executable(name: &str, around: &Surroundings) -> Option<PathBuf> {
    let beside = around.executable.as_deref().and_then(Path::parent);
    let folders = match (&around.libexec, beside) {
        (Some(libexec), _) => vec![libexec.clone()],
        (None, Some(beside)) => vec![beside.to_owned(), beside.join("../libexec/croft")],
        (None, None) => Vec::new(),
    };
    folders.into_iter().map(|folder| folder.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_state_folder_brings_its_own_socket() {
        let around = Surroundings { xdg_runtime: Some("/run/user/7".into()), ..Surroundings::default() };
        let paths = Paths::resolve(Mode::User, Some("/s".into()), None, None, &around).expect("paths");
        assert_eq!(paths.socket(), Path::new("/s/run/croft.sock"));
        assert_eq!(paths.config, Path::new("/s/node.toml"));
    }

    #[test]
    fn defaults_follow_the_mode() {
        let around = Surroundings { home: Some("/home/u".into()), ..Surroundings::default() };
        let user = Paths::resolve(Mode::User, None, None, None, &around).expect("paths");
        assert_eq!(user.state, Path::new("/home/u/.local/state/croft"));
        assert_eq!(user.run, Path::new("/home/u/.local/state/croft/run"));
        let system = Paths::resolve(Mode::System, None, None, None, &around).expect("paths");
        assert_eq!(system.socket(), Path::new("/run/croft/croft.sock"));
        assert_eq!(Paths::resolve(Mode::User, None, None, None, &Surroundings::default()), Err(PathsError));
    }

    #[test]
    fn the_table_names_each_mode_on_each_system_once() {
        let mut seen = std::collections::BTreeSet::new();
        for row in TABLE {
            assert!(seen.insert((row.os, row.mode == Mode::System)), "{row:?}");
        }
        assert_eq!(seen.len(), 6);
    }
}
