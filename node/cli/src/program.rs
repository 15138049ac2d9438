//! Finding and starting the daemon's executable.

use std::path::{Path, PathBuf};
use std::process::Command;

use croft_domain::code::Code;

use crate::failure::Failure;
use crate::paths::Paths;

/// Finds an executable of Croft: `CROFT_LIBEXEC`, else beside the running one, else `../libexec/croft`.
pub fn find(name: &str) -> Result<PathBuf, Failure> {
    let libexec = std::env::var_os("CROFT_LIBEXEC").filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = std::env::current_exe().ok();
    // A link in ~/bin stands for the executable that it names.
    let own = own.map(|path| path.canonicalize().unwrap_or(path));
    let beside = own.as_deref().and_then(Path::parent);
    let folders = match (libexec, beside) {
        (Some(libexec), _) => vec![libexec],
        (None, Some(beside)) => vec![beside.to_owned(), beside.join("../libexec/croft")],
        (None, None) => Vec::new(),
    };
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Failure::new(Code::NotFound, format!("{name} is not in {}", looked.join(" or ")))
            .hint("install Croft's node package, or set CROFT_LIBEXEC to the folder of croft-node")
    })
}

/// `croft-node` with these arguments and the folders in force.
pub fn node(paths: &Paths, arguments: &[&str]) -> Result<Command, Failure> {
    let mut command = Command::new(find("croft-node")?);
    command.args(arguments).env("CROFT_STATE", &paths.state).env("CROFT_RUN", &paths.run);
    Ok(command)
}

/// Becomes `croft-node` with these arguments; returns only if that fails.
pub fn become_node(paths: &Paths, arguments: &[String]) -> Failure {
    use std::os::unix::process::CommandExt;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match node(paths, &arguments) {
        // What it says about its use is about what was typed.
        Ok(mut command) => Failure::caused(Code::Internal, &command.arg0("croft").exec()),
        Err(failure) => failure,
    }
}
