//! The processor back end for newer processors (docs/decisions/0015-one-worker-for-all-processors.md).
//!
//! Each level is compiled by the commands that built the portable one, with more instructions allowed, and joined into one
//! object of which a single symbol can be seen. So all levels lie side by side in one executable, and no inline function
//! of one can stand in for that of another.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::attention;
use super::built::{Built, Compilation};
use super::table::{LEVELS, Level};

/// What the back end is called by, in every level.
const ENTRY: &str = "ggml_backend_cpu_reg";

/// Compiles and links every level of the table. Elsewhere than on Linux for x86-64, the portable one is all.
pub fn compile(llama: &Built) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rustc-check-cfg=cfg(cpu_levels)");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("ARCH") != "x86_64" || target("OS") != "linux" {
        return Ok(());
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compilations = llama.compilations("ggml-cpu")?;
    for compilation in &mut compilations {
        if let Some(copy) = attention::changed(&compilation.file, &out)? {
            compilation.replace_source(&copy);
        }
    }
    let mut archive = cc::Build::new();
    for level in &LEVELS {
        archive.object(compile_level(&out.join(level.name), level, &compilations)?);
    }
    archive.try_compile("croft_cpu_levels")?;
    println!("cargo::rustc-cfg=cpu_levels");
    Ok(())
}

/// One level's object.
fn compile_level(
    folder: &Path,
    level: &Level,
    compilations: &[Compilation],
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let jobs = std::env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let objects: Vec<_> = (0..compilations.len()).map(|index| folder.join(format!("{index}.o"))).collect();
    let waiting = Mutex::new(compilations.iter().zip(&objects));
    std::thread::scope(|scope| {
        let work = || -> Result<(), String> {
            loop {
                let next = waiting.lock().map_err(|e| e.to_string())?.next();
                let Some((compilation, object)) = next else { return Ok(()) };
                compile_object(compilation, level.features, object)?;
            }
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a compilation broke off")?)
    })?;
    let (joined, whole) = (folder.join("joined.o"), folder.with_extension("o"));
    // Grouped sections would be merged with those of the same name in another level, whatever their instructions.
    let join = ["-r", "--force-group-allocation", "-o"];
    succeed(Command::new("ld").args(join).arg(&joined).args(&objects))?;
    let entry = format!("croft_{}_reg", level.name);
    let rename = format!("{ENTRY}={entry}");
    succeed(Command::new("objcopy").args(["--redefine-sym", &rename]).arg(&joined))?;
    succeed(Command::new("objcopy").args(["--keep-global-symbol", &entry]).arg(&joined).arg(&whole))?;
    Ok(whole)
}

/// The command, with more instructions allowed and another place for what it makes.
fn compile_object(compilation: &Compilation, features: &[&str], object: &Path) -> Result<(), String> {
    let mut words = compilation.command.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.current_dir(&compilation.directory);
    while let Some(word) = words.next() {
        match word {
            "-o" => drop(words.next()),
            _ => drop(command.arg(word)),
        }
    }
    // A unique symbol stays visible to the whole process, whatever is said of it here.
    command
        .args(features.iter().map(|feature| format!("-m{feature}")))
        .arg("-fno-gnu-unique")
        .arg("-o")
        .arg(object);
    succeed(&mut command)
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}
