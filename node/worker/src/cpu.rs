//! Which of the back ends compiled into this executable computes: the fastest that this processor can run. A prompt takes
//! half the time with AVX-512 (docs/BENCHMARKS.md), and nothing is loaded from a file for it.
#![allow(unsafe_code)] // llama.cpp's registry of back ends is C.

/// The levels beyond the portable one.
pub mod levels;

use levels::LEVELS;
#[cfg(cpu_levels)]
use llama_cpp_sys_2 as sys;

/// What every level needs; on other architectures the compiler's own floor is enough.
#[cfg(target_arch = "x86_64")]
const FLOOR: [&str; 5] = ["sse4.2", "avx2", "fma", "f16c", "bmi2"];
#[cfg(not(target_arch = "x86_64"))]
const FLOOR: [&str; 0] = [];

/// The back end that every supported processor can run.
pub const PORTABLE: &str = "portable";

/// An instruction set without which nothing here can compute, if the processor lacks one.
#[must_use]
pub fn lacks() -> Option<&'static str> {
    FLOOR.into_iter().find(|feature| !has(feature))
}

/// Names of the levels that this processor can run, the fastest first. The last is [`PORTABLE`].
pub fn runnable() -> impl Iterator<Item = &'static str> {
    let compiled = cfg!(cpu_levels);
    let levels =
        LEVELS.iter().rev().filter(move |level| compiled && level.features.iter().all(|name| has(name)));
    levels.map(|level| level.name).chain([PORTABLE])
}

/// Has llama.cpp compute with `wanted`, or with the fastest. Called once, before llama.cpp is initialized; answers the
/// level's name, or [`None`] if this processor cannot run what is wanted.
pub fn choose(wanted: Option<&str>) -> Option<&'static str> {
    let chosen = runnable().find(|name| wanted.is_none_or(|wanted| wanted == *name))?;
    install(chosen);
    Some(chosen)
}

#[cfg(cpu_levels)]
fn install(level: &str) {
    unsafe extern "C" {
        fn croft_alderlake_reg() -> sys::ggml_backend_reg_t;
        fn croft_skylakex_reg() -> sys::ggml_backend_reg_t;
        fn croft_icelake_reg() -> sys::ggml_backend_reg_t;
        fn croft_zen4_reg() -> sys::ggml_backend_reg_t;
    }
    let entry = match level {
        "alderlake" => croft_alderlake_reg,
        "skylakex" => croft_skylakex_reg,
        "icelake" => croft_icelake_reg,
        "zen4" => croft_zen4_reg,
        _ => return,
    };
    // SAFETY: all of them are `ggml_backend_cpu_reg`, compiled for instructions that `runnable` found; it takes nothing and
    // returns a static. The registry is used by this one thread: nothing has been initialized yet.
    unsafe {
        sys::ggml_backend_unload(sys::ggml_backend_cpu_reg());
        sys::ggml_backend_register(entry());
    }
}

#[cfg(not(cpu_levels))]
fn install(_level: &str) {}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    macro_rules! detected {
        ($($name:tt)*) => {
            match feature {
                $($name => std::arch::is_x86_feature_detected!($name),)*
                _ => false,
            }
        };
    }
    detected!("sse4.2" "avx2" "fma" "f16c" "bmi2" "avxvnni" "avx512f" "avx512cd" "avx512vl" "avx512dq" "avx512bw"
        "avx512vbmi" "avx512vnni" "avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has(_feature: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_resort_is_what_every_machine_can_run() {
        assert_eq!(lacks(), None, "or the tests of this package could not run here");
        assert_eq!(runnable().last(), Some(PORTABLE));
    }

    #[cfg(cpu_levels)]
    #[test]
    fn no_level_is_chosen_whose_instructions_are_missing() {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").expect("Linux tells");
        let flags: Vec<_> =
            cpu.lines().find(|line| line.starts_with("flags")).expect("flags").split(' ').collect();
        for level in runnable().filter(|name| *name != PORTABLE) {
            let level = LEVELS.iter().find(|known| known.name == level).expect("of the table");
            for feature in level.features {
                // The kernel writes an underscore before an extension's name.
                let spelt = feature.replace("avx512", "avx512_").replace("avxvnni", "avx_vnni");
                assert!(flags.contains(feature) || flags.contains(&spelt.as_str()), "{feature}");
            }
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_not_chosen() {
        assert_eq!(choose(Some("z80")), None);
    }
}
