//! Compiles the C face of llama.cpp's chat code against the very sources that llama-cpp-sys-2 built.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=shim/chat.cpp");
    println!("cargo::rerun-if-env-changed=DEP_LLAMA_GGML_CMAKE_DIR");
    let source = vendored_source()?;
    let mut shim = cc::Build::new();
    shim.cpp(true).std("c++17").file("shim/chat.cpp").opt_level(2).warnings(false);
    for folder in ["common", "include", "ggml/include", "vendor", "."] {
        shim.include(source.join(folder));
    }
    shim.try_compile("croft_chat")?;
    Ok(())
}

/// CMake notes where the sources were that it built.
fn vendored_source() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let cmake = PathBuf::from(std::env::var("DEP_LLAMA_GGML_CMAKE_DIR")?);
    // …/out/lib/cmake
    let out = cmake.ancestors().nth(2).ok_or("llama.cpp was built somewhere else")?;
    let cache = [out.join("build/CMakeCache.txt"), out.join("CMakeCache.txt")];
    let cache = cache.iter().find(|path| path.is_file()).ok_or("llama.cpp left no CMakeCache.txt")?;
    let text = std::fs::read_to_string(cache)?;
    let line = text.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    Ok(Path::new(line.ok_or("CMakeCache.txt names no source")?).to_path_buf())
}
