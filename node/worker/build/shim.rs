//! The C face of llama.cpp's chat code.

use super::built::Built;

/// Compiles and links it.
pub fn compile(llama: &Built) -> Result<(), Box<dyn std::error::Error>> {
    let source = llama.source()?;
    let mut shim = cc::Build::new();
    shim.cpp(true).std("c++17").file("shim/chat.cpp").opt_level(2).warnings(false);
    for folder in ["common", "include", "ggml/include", "vendor", "."] {
        shim.include(source.join(folder));
    }
    shim.try_compile("croft_chat")?;
    Ok(())
}
