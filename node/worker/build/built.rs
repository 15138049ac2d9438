//! Where llama-cpp-sys-2 left what it built.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The build of llama.cpp that this package links.
pub struct Built {
    /// CMake's own folder.
    folder: PathBuf,
}

/// One compilation, as CMake notes it (JSON Compilation Database of Clang).
#[derive(Deserialize)]
pub struct Compilation {
    /// Where it ran.
    pub directory: PathBuf,
    /// What is compiled.
    pub file: PathBuf,
    /// The command line.
    pub command: String,
}

impl Compilation {
    /// Compiles this file instead, which finds what it includes where the first one did.
    pub fn replace_source(&mut self, copy: &Path) {
        let (old, new) = (self.file.display().to_string(), copy.display().to_string());
        self.command = self.command.replace(&old, &new);
        if let Some(folder) = self.file.parent() {
            self.command.push_str(&format!(" -iquote {}", folder.display()));
        }
    }
}

impl Built {
    /// Finds it by what llama-cpp-sys-2 tells packages that depend on it.
    pub fn find() -> Result<Self, Box<dyn std::error::Error>> {
        let cmake = PathBuf::from(std::env::var("DEP_LLAMA_GGML_CMAKE_DIR")?);
        // …/out/lib/cmake
        let out = cmake.ancestors().nth(2).ok_or("llama.cpp was built somewhere else")?;
        let folders = [out.join("build"), out.to_path_buf()];
        let folder = folders.into_iter().find(|folder| folder.join("CMakeCache.txt").is_file());
        Ok(Self { folder: folder.ok_or("llama.cpp left no CMakeCache.txt")? })
    }

    /// The sources.
    pub fn source(&self) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(self.folder.join("CMakeCache.txt"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
        Ok(Path::new(line.ok_or("CMakeCache.txt names no source")?).to_path_buf())
    }

    /// How each object of `target` was compiled.
    pub fn compilations(&self, target: &str) -> Result<Vec<Compilation>, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(self.folder.join("compile_commands.json"))?;
        let all: Vec<Compilation> = serde_json::from_str(&text)?;
        let object = format!("CMakeFiles/{target}.dir/");
        let found: Vec<_> = all.into_iter().filter(|one| one.command.contains(&object)).collect();
        if found.is_empty() { Err(format!("llama.cpp has no {target}").into()) } else { Ok(found) }
    }
}
