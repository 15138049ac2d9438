//! `croft-node posture`: what the node would find about disks, defenses and names of credentials, for a person or a
//! captured tree. Nothing of it leaves by this.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use croft_domain::code::Code;
use croft_domain::fact::{Confidence, DiskState};

use super::capture::{self, Names};
use super::credentials::Survey;
use super::disk::DiskFinding;
use super::platform;
use super::view::Seen;
use crate::failure::Failure;
use crate::output::OutputForm;

/// What is asked about. Without a path and without `--swap`: disks of `/`, home and swap, defenses, and credentials by
/// name.
#[derive(Clone, Debug, Args)]
pub struct PostureArguments {
    /// A captured tree with `proc` and `sys`, in place of this machine.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// A path whose disks are examined; can be given more than once.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// The swap areas as well.
    #[arg(long)]
    pub swap: bool,
    /// Writes what the verdicts rest on into a new tar, which replays with --root after unpacking.
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    pub capture: Option<PathBuf>,
    /// In the capture, replaces every name that people or installers gave.
    #[arg(long, requires = "capture")]
    pub redact: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Examines what is asked about, of this machine or a captured one, and prints what was found.
///
/// # Errors
/// `E-INPUT` if the tree is none.
pub fn command(arguments: &PostureArguments) -> Result<ExitCode, Failure> {
    let seen = match &arguments.capture {
        Some(file) => Seen { disks: capture(arguments, file)?, ..Seen::default() },
        None => examine(arguments)?,
    };
    match arguments.output {
        OutputForm::Table => print!("{}", seen.render()),
        OutputForm::Json => {
            let json =
                serde_json::to_string_pretty(&seen).map_err(|e| Failure::caused(Code::Internal, &e))?;
            println!("{json}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Examines what is asked about and writes it down.
fn capture(arguments: &PostureArguments, file: &Path) -> Result<Vec<DiskFinding>, Failure> {
    let unwritable = |e: std::io::Error| Failure::new(Code::Input, format!("{}: {e}", file.display()));
    let created =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(unwritable)?;
    let mut names = if arguments.redact { Names::replaced() } else { Names::kept() };
    let findings = capture::write(created, &paths(arguments, true), &mut names).map_err(unwritable)?;
    if arguments.redact {
        eprintln!(
            "{}: names are replaced; look into it before you give it away (tar tf, tar xf)",
            file.display()
        );
    } else {
        eprintln!("{}: holds names of mounts, volumes and folders; --redact replaces them", file.display());
    }
    Ok(findings)
}

/// What is asked about.
fn paths(arguments: &PostureArguments, live: bool) -> Vec<String> {
    let mut paths = arguments.paths.clone();
    if paths.is_empty() && (!arguments.swap || arguments.capture.is_some()) {
        paths.push("/".to_owned());
        if live {
            paths.extend(std::env::var("HOME").ok().filter(|home| home != "/"));
        }
    }
    paths
}

fn examine(arguments: &PostureArguments) -> Result<Seen, Failure> {
    let live = arguments.root.is_none();
    let root = arguments.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    if !root.join("proc").is_dir() && !root.join("croft").is_dir() {
        let message =
            format!("{} has neither a folder proc nor one croft: not the root of a machine", root.display());
        return Err(Failure::new(Code::Input, message));
    }
    let platform = platform::of(&root);
    let everything = arguments.paths.is_empty() && !arguments.swap;
    let mut disks: Vec<DiskFinding> = paths(arguments, live).iter().map(|path| platform.disk(path)).collect();
    if arguments.swap || everything {
        disks.extend(platform.swaps().unwrap_or_else(|| {
            vec![DiskFinding {
                path: "swap".to_owned(),
                state: DiskState::Unknown,
                confidence: Confidence::None,
                trace: vec!["the list of swap areas cannot be read".to_owned()],
            }]
        }));
    }
    if !everything {
        return Ok(Seen { disks, ..Seen::default() });
    }
    let home = std::env::var_os("HOME").filter(|_| live).map(PathBuf::from);
    let credentials = home.as_deref().map(|home| Survey::of(home).map(|survey| survey.rules));
    Ok(Seen {
        disks,
        defenses: platform.defenses(home.as_deref().unwrap_or(Path::new("/nonexistent"))),
        release: platform.release(),
        // A home that cannot be read has an answer too, and that is not "none".
        credentials: credentials.map(Result::ok),
    })
}
