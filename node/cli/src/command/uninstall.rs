//! `croft uninstall`: lists every path, leaves, then removes them. Programs are their package manager's to remove.

use std::path::{Path, PathBuf};

use croft_domain::code::Code;

use crate::args::YesArguments;
use crate::command::{leave, service, status};
use crate::confirm::{self, Consent};
use crate::failure::Failure;
use crate::output;
use crate::paths::{Installation, Paths};

pub async fn run(paths: &Paths, arguments: &YesArguments) -> Result<(), Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let listed = status::list_paths(paths)?;
    let plan = plan(paths, &listed, home.as_deref())?;
    output::say("This leaves the fleet and removes:");
    for path in &plan {
        output::say(&format!("  {}", output::one_line(&path.display().to_string())));
    }
    confirm::require(Consent::of_flag(arguments.yes), "Remove all of it?")?;
    let receipt = leave::perform(paths).await;
    match &receipt {
        Ok(receipt) => output::print(receipt)?,
        // A machine that never enrolled has nothing to leave.
        Err(failure) if failure.code() == Code::NotEnrolled => {}
        Err(failure) => {
            output::say(failure.lines().trim_end());
            output::say("Going on: nothing of it stays on this machine.");
        }
    }
    service::stop_if_running(paths).await?;
    if paths.installation == Installation::System {
        output::say(
            "The system starts the daemon again unless you run sudo systemctl disable --now croft-node.",
        );
    }
    for path in &plan {
        remove(path)?;
        output::print(&format!("removed {}\n", output::one_line(&path.display().to_string())))?;
    }
    output::say("Programs and shell completions stay; your package manager removes them.");
    Ok(())
}

/// What exists and is to be removed: the folders, and what the daemon keeps outside of them.
fn plan(paths: &Paths, listed: &[(String, String)], home: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let mut plan: Vec<PathBuf> = Vec::new();
    let named = listed.iter().map(|(_, path)| PathBuf::from(path));
    for path in [paths.state.clone(), paths.run.clone()].into_iter().chain(named) {
        let is_covered = plan.iter().any(|known| path.starts_with(known));
        if is_covered || std::fs::symlink_metadata(&path).is_err() {
            continue;
        }
        check_is_ours(&path, home)?;
        plan.push(path);
    }
    Ok(plan)
}

/// A wrong `--state` must not cost anybody their home: a folder goes only if it is not above anything of the user's
/// and looks like one that the daemon made.
fn check_is_ours(path: &Path, home: Option<&Path>) -> Result<(), Failure> {
    let refuse = |why: &str| {
        Err(Failure::new(Code::Input, format!("{} is not removed: {why}", path.display()))
            .hint("name the daemon's own folders with --state and --run"))
    };
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !path.is_absolute() || resolved.components().count() < 3 {
        return refuse("it is not a folder below the top ones");
    }
    let home = home.map(|home| home.canonicalize().unwrap_or_else(|_| home.to_owned()));
    if home.is_some_and(|home| home.starts_with(&resolved)) {
        return refuse("it holds the home folder");
    }
    if resolved.is_dir() && !looks_ours(&resolved) {
        return refuse("it holds nothing that the daemon writes");
    }
    Ok(())
}

/// Files and folders that only the daemon or `service start` makes, and at least one of which it always has.
const MARKS: &[&str] = &[
    "identity",
    "trust",
    "floors",
    "sent",
    "counter",
    "api-key",
    "node.toml",
    "croft.sock",
    "croft-node.pid",
    "croft-node.log",
];

fn looks_ours(folder: &Path) -> bool {
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    is_empty || MARKS.iter().any(|mark| std::fs::symlink_metadata(folder.join(mark)).is_ok())
}

fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        // Leaving has removed it already.
        Err(_) => Ok(()),
    };
    removed.map_err(|error| Failure::new(Code::StateUnwritable, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_once_and_files_outside_are_too() {
        let root = tempfile::tempdir().expect("a folder");
        let state = root.path().join("croft");
        let config = root.path().join("elsewhere.toml");
        std::fs::create_dir_all(state.join("run")).expect("a folder");
        std::fs::write(state.join("api-key"), "k").expect("a file");
        std::fs::write(&config, "").expect("a file");
        let paths = Paths { installation: Installation::User, run: state.join("run"), state: state.clone() };
        let row = |path: &Path| ("x".to_owned(), path.display().to_string());
        let listed =
            [row(&state), row(&config), row(&state.join("store")), row(&root.path().join("missing"))];
        let plan = plan(&paths, &listed, None).expect("a plan");
        assert_eq!(plan, [state.clone(), config]);
        remove(&state).expect("removed");
        assert!(!state.exists());
    }

    #[test]
    fn p10_a_wrong_folder_costs_nobody_their_home() {
        let root = tempfile::tempdir().expect("a folder");
        let home = root.path().join("home/u");
        std::fs::create_dir_all(home.join("documents")).expect("a folder");
        std::fs::write(home.join("documents/thesis"), "").expect("a file");
        for folder in
            [Path::new("/"), Path::new("/usr"), Path::new("relative/x"), &home, &home.join("documents")]
        {
            assert!(check_is_ours(folder, Some(&home)).is_err(), "{}", folder.display());
        }
        assert!(check_is_ours(&root.path().join("home"), Some(&home)).is_err());
    }
}
