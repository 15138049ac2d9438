//! The levels of the processor back end. The build script reads this too, and compiles one for each.

/// A kind of processor beyond the portable one (AVX2, FMA, F16C and BMI2, which every level has as well).
pub struct Level {
    /// As llama.cpp calls it.
    pub name: &'static str,
    /// Instruction sets, as Rust and compilers call them.
    pub features: &'static [&'static str],
}

/// What llama.cpp has faster routines for, the later the faster.
pub const LEVELS: [Level; 4] = [
    Level { name: "alderlake", features: &["avxvnni"] },
    Level { name: "skylakex", features: &["avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"] },
    Level {
        name: "icelake",
        features: &["avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw", "avx512vbmi", "avx512vnni"],
    },
    Level {
        name: "zen4",
        features: &[
            "avx512f",
            "avx512cd",
            "avx512vl",
            "avx512dq",
            "avx512bw",
            "avx512vbmi",
            "avx512vnni",
            "avx512bf16",
        ],
    },
];
