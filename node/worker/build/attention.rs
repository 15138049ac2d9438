//! One change to llama.cpp's attention (docs/decisions/0017-short-prompts-in-tiles.md): prompts of sixteen tokens and more
//! are read tile by tile, where upstream does so from sixty-four tokens on and takes each shorter one row by row.
//!
//! The change is made to a copy, at build time, of exactly the lines named here; another version of the source ends the build.

use std::path::{Path, PathBuf};

/// The file that is changed.
const SOURCE: &str = "ggml-cpu/ops.cpp";

/// Text of the source, what stands there instead, and how often.
const CHANGES: [(&str, &str, usize); 5] = [
    ("neq1 >= Q_TILE_SZ);", "neq1 >= 16);", 1),
    // Rows that a tile does not have cost nothing.
    (
        "simd_gemm(KQ, (const float *)Q_q, K_f32, Q_TILE_SZ, DK, KV_TILE_SZ);",
        "simd_gemm(KQ, (const float *)Q_q, K_f32, tile_rows, DK, KV_TILE_SZ);",
        1,
    ),
    (
        "simd_gemm(VKQ32, KQ, V32, Q_TILE_SZ, KV_TILE_SZ, DV);",
        "simd_gemm(VKQ32, KQ, V32, tile_rows, KV_TILE_SZ, DV);",
        1,
    ),
    (
        "ggml_vec_scale_f32(Q_TILE_SZ * KV_TILE_SZ, KQ, scale);",
        "ggml_vec_scale_f32(tile_rows * KV_TILE_SZ, KQ, scale);",
        1,
    ),
    ("for (int tq = 0; tq < Q_TILE_SZ; tq++) {", "for (int tq = 0; tq < tile_rows; tq++) {", 3),
];

/// Where the changed copy of `source` lies, below `folder`; none if that is not the file.
pub fn changed(source: &Path, folder: &Path) -> Result<Option<PathBuf>, Box<dyn std::error::Error>> {
    if !source.ends_with(SOURCE) {
        return Ok(None);
    }
    let mut text = std::fs::read_to_string(source)?;
    for (old, new, count) in CHANGES {
        if text.matches(old).count() != count {
            return Err(format!("{SOURCE} is not the version that this change was made for: {old}").into());
        }
        text = text.replace(old, new);
    }
    let copy = folder.join("ops.cpp");
    std::fs::write(&copy, text)?;
    Ok(Some(copy))
}
