//! Compiles, against the very sources that llama-cpp-sys-2 built: the C face of llama.cpp's chat code, and its processor
//! back end once more for every newer kind of processor.

mod attention;
mod built;
mod levels;
mod shim;
#[path = "../src/cpu/levels.rs"]
mod table;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=shim/chat.cpp");
    println!("cargo::rerun-if-changed=src/cpu/levels.rs");
    println!("cargo::rerun-if-env-changed=DEP_LLAMA_GGML_CMAKE_DIR");
    let llama = built::Built::find()?;
    shim::compile(&llama)?;
    levels::compile(&llama)
}
