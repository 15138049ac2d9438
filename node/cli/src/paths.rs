//! Where the daemon's socket is, and which folders a daemon started here would use. The full table is the daemon's own
//! (`croft-node paths`); this is only what is needed to find it.

use std::path::{Path, PathBuf};

use crate::args::PathArguments;

const SYSTEM_RUN: &str = "/run/croft";

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub is_root: bool,
    pub home: Option<PathBuf>,
    pub xdg_state: Option<PathBuf>,
    pub xdg_runtime: Option<PathBuf>,
}

impl Surroundings {
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            is_root: rustix::process::getuid().is_root(),
            home: path("HOME"),
            xdg_state: path("XDG_STATE_HOME"),
            xdg_runtime: path("XDG_RUNTIME_DIR"),
        }
    }
}

/// Who runs the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installation {
    /// This user.
    User,
    /// The system's service manager.
    System,
}

/// The folders in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub installation: Installation,
    pub state: PathBuf,
    pub run: PathBuf,
}

impl Paths {
    /// `exists` says whether a socket is there: a system daemon serves a user who runs none.
    pub fn resolve(asked: &PathArguments, around: &Surroundings, exists: impl Fn(&Path) -> bool) -> Self {
        let system = Self {
            installation: Installation::System,
            state: PathBuf::from("/var/lib/croft"),
            run: PathBuf::from(SYSTEM_RUN),
        };
        let is_asked = asked.state.is_some() || asked.run.is_some();
        if around.is_root && !is_asked {
            return system;
        }
        let state = asked.state.clone().unwrap_or_else(|| {
            let home = || around.home.clone().unwrap_or_default().join(".local/state");
            around.xdg_state.clone().unwrap_or_else(home).join("croft")
        });
        let beside = || state.join("run");
        let run = match (&asked.run, &asked.state, &around.xdg_runtime) {
            (Some(run), _, _) => run.clone(),
            // Two daemons with states of their own must not meet on one socket.
            (None, None, Some(xdg)) => xdg.join("croft"),
            (None, Some(_), _) | (None, None, None) => beside(),
        };
        let user = Self { installation: Installation::User, state, run };
        if !is_asked && !exists(&user.socket()) && exists(&system.socket()) { system } else { user }
    }

    pub fn socket(&self) -> PathBuf {
        self.run.join("croft.sock")
    }

    /// Number of the process that `service start` started.
    pub fn pid_file(&self) -> PathBuf {
        self.run.join("croft-node.pid")
    }

    /// What that process wrote.
    pub fn log(&self) -> PathBuf {
        self.state.join("croft-node.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings { home: Some("/home/u".into()), ..Surroundings::default() }
    }

    #[test]
    fn a_user_without_a_daemon_finds_the_systems() {
        let asked = PathArguments::default();
        let found = Paths::resolve(&asked, &around(), |path| path == Path::new("/run/croft/croft.sock"));
        assert_eq!((found.installation, found.run), (Installation::System, "/run/croft".into()));
        let found = Paths::resolve(&asked, &around(), |_| true);
        assert_eq!(
            (found.installation, found.run),
            (Installation::User, "/home/u/.local/state/croft/run".into())
        );
        let found = Paths::resolve(&asked, &around(), |_| false);
        assert_eq!(found.installation, Installation::User);
    }

    #[test]
    fn what_is_asked_wins() {
        let around = Surroundings { is_root: true, xdg_runtime: Some("/run/user/0".into()), ..around() };
        let asked = PathArguments { state: Some("/s".into()), run: None };
        let found = Paths::resolve(&asked, &around, |_| true);
        assert_eq!((found.installation, found.socket()), (Installation::User, "/s/run/croft.sock".into()));
        let found = Paths::resolve(&PathArguments::default(), &around, |_| false);
        assert_eq!(found.state, Path::new("/var/lib/croft"));
    }

    #[test]
    fn the_runtime_folder_is_used_where_there_is_one() {
        let around = Surroundings { xdg_runtime: Some("/run/user/7".into()), ..around() };
        let found = Paths::resolve(&PathArguments::default(), &around, |_| false);
        assert_eq!(found.socket(), Path::new("/run/user/7/croft/croft.sock"));
        assert_eq!(found.state, Path::new("/home/u/.local/state/croft"));
    }
}
