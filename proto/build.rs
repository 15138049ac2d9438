//! Compiles the `.proto` files without protoc: protox parses them, tonic and prost generate.

use std::path::Path;

const FRAMES: &[&str] = &["croft/v1/worker.proto"];
const SERVICES: &[&str] =
    &["croft/v1/enrollment.proto", "croft/v1/node.proto", "croft/v1/admin.proto", "croft/v1/local.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=croft/v1");
    let out = std::env::var("OUT_DIR")?;
    let frames = Path::new(&out).join("frames");
    let services = Path::new(&out).join("services");
    std::fs::create_dir_all(&frames)?;
    std::fs::create_dir_all(&services)?;
    prost_build::Config::new().out_dir(frames).compile_fds(protox::compile(FRAMES, ["."])?)?;
    if std::env::var_os("CARGO_FEATURE_GRPC").is_some() {
        tonic_prost_build::configure().out_dir(services).compile_fds(protox::compile(SERVICES, ["."])?)?;
    }
    Ok(())
}
