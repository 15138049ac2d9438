//! Croft beside another server of the same GGUF file on this machine, in one run: interleaved pairs, each figure as the
//! ratio of speeds with a 95 % confidence interval, as `docs/BENCHMARKS.md` shows them. Prints a table; asserts nothing.
//!
//! ```sh
//! CROFT_BENCH_MODEL=model.gguf \
//! CROFT_BENCH_PEER='llama-server -m {model} --host 127.0.0.1 --port {port} -np {slots} -c {context_all} -t {threads} --no-webui' \
//! cargo bench -p croft-e2e --bench peer
//! ```
//! A server that already runs is given by its base URL instead (`CROFT_BENCH_PEER=http://127.0.0.1:8080`); its start and
//! its memory are then not compared. `CROFT_BENCH_PAIRS` (10), `CROFT_BENCH_SLOTS` (8), `CROFT_BENCH_CONTEXT` (tokens a
//! slot, 4608) and `CROFT_BENCH_THREADS` (all cores) are the same for both sides. Any server will do that speaks
//! `POST /v1/completions` with server-sent events.
//!
//! `CROFT_BENCH_VARIANTS=q4_k_m.gguf,q4_0.gguf` compares something else: the variant that the node chooses of these files by
//! its own measurement, with the first of them. It needs no peer.
//!
//! Prompts are random words of three letters: one token each in a vocabulary made for measuring, and without a shared
//! prefix in any.

mod measure;
mod ratio;
mod sides;
mod stream;
mod variants;

use croft_e2e::E2eError;

use measure::Bench;
use sides::Settings;

fn main() -> Result<(), E2eError> {
    if let Some((files, pairs, threads)) = Settings::variants()? {
        return variants::run(&files, pairs, threads);
    }
    let Some(settings) = Settings::from_environment()? else {
        println!(
            "peer: set CROFT_BENCH_MODEL and CROFT_BENCH_PEER to compare with another server; see the head of this file"
        );
        return Ok(());
    };
    Bench::start(settings)?.run()
}
