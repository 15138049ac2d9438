//! What the daemon passes on the command line. Parsing touches nothing.

use std::os::fd::RawFd;

use clap::Parser;
use croft_domain::memory::KvType;

use crate::limits::{CONTEXT_TOKENS_MAX, CONTEXT_TOKENS_MIN, SLOTS_MAX, THREADS_MAX};

/// One model, served over an inherited socket. Started by croft-node, not by people.
#[derive(Clone, Debug, Parser)]
#[command(name = "croft-worker", version)]
pub struct Args {
    /// Descriptor of this worker's end of its slot (SOCK_SEQPACKET).
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub slot_fd: RawFd,
    /// Descriptor on which the daemon hears how the start goes (SOCK_SEQPACKET).
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub report_fd: RawFd,
    /// Descriptor of the verified model file, open for reading; one for each shard, in their order.
    #[arg(long = "model-fd", required = true, value_parser = clap::value_parser!(i32).range(3..))]
    pub model_fds: Vec<RawFd>,
    /// Descriptor of the approved chat template's text.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub template_fd: Option<RawFd>,
    /// Descriptor of what the model must show before it serves (an encoded `Trial`).
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub trial_fd: Option<RawFd>,
    /// Which of the slot's workers this is; frames for another are dropped.
    #[arg(long)]
    pub generation: u32,
    /// Tokens that one request may fill, prompt and answer together.
    #[arg(long, value_parser = clap::value_parser!(u32).range(i64::from(CONTEXT_TOKENS_MIN)..=i64::from(CONTEXT_TOKENS_MAX)))]
    pub context: u32,
    /// Requests that are answered at the same time.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOTS_MAX)))]
    pub slots: u32,
    /// Threads that compute.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(THREADS_MAX)))]
    pub threads: u32,
    /// Level of the processor back end, see `--self-test`; without it, the fastest that this processor can run.
    #[arg(long)]
    pub cpu: Option<String>,
    /// How keys and values are stored: f16 or q8_0.
    #[arg(long, default_value = "f16", value_parser = kv_type)]
    pub kv_type: KvType,
    /// Most memory of its own, in bytes, besides the mapped model; the kernel refuses more. Without it, a guess.
    #[arg(long)]
    pub memory_bytes: Option<u64>,
}

fn kv_type(text: &str) -> Result<KvType, &'static str> {
    let known = [KvType::F16, KvType::Q8].into_iter().find(|kind| kind.as_str() == text);
    known.ok_or("expected f16 or q8_0")
}

/// Confines itself, tries to break out, says what came of it, and ends: what a node can prove without a model.
#[derive(Clone, Debug, Parser)]
#[command(name = "croft-worker", version)]
pub struct SelfTestArgs {
    /// No model is loaded and nothing is served.
    #[arg(long, required = true)]
    pub self_test: bool,
    /// Descriptor on which the daemon hears the result (SOCK_SEQPACKET); without it, it is printed.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub report_fd: Option<RawFd>,
}

/// Confines itself, renders the probe set with a template under a model's vocabulary, prints what came of it as JSON, and
/// ends: what an admin approves.
#[derive(Clone, Debug, Parser)]
#[command(name = "croft-worker", version)]
pub struct ProbeArgs {
    /// No weights are read and nothing is served.
    #[arg(long, required = true)]
    pub render_probes: bool,
    /// Descriptor of the model file, open for reading.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub model_fd: RawFd,
    /// Descriptor of the chat template's text.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub template_fd: RawFd,
}

/// What the process is started for.
#[derive(Clone, Debug)]
pub enum Task {
    /// One model, until its slot closes.
    Serve(Args),
    /// A proof.
    SelfTest(SelfTestArgs),
    /// A look at a template.
    Probe(ProbeArgs),
}

impl Task {
    /// Reads this process's arguments; ends it if they are wrong.
    #[must_use]
    pub fn of_this_process() -> Self {
        let asks = |flag: &str| std::env::args_os().any(|argument| argument == flag);
        if asks("--self-test") {
            Self::SelfTest(SelfTestArgs::parse())
        } else if asks("--render-probes") {
            Self::Probe(ProbeArgs::parse())
        } else {
            Self::Serve(Args::parse())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_test_takes_nothing_else() {
        let parse = |args: &[&str]| SelfTestArgs::try_parse_from(args.iter().copied()).is_ok();
        assert!(parse(&["croft-worker", "--self-test"]));
        assert!(parse(&["croft-worker", "--self-test", "--report-fd", "4"]));
        assert!(!parse(&["croft-worker", "--self-test", "--model-fd", "5"]));
        assert!(!parse(&["croft-worker"]));
    }

    #[test]
    fn bounds_are_part_of_the_parsing() {
        let parse = |slots: &str, slot_fd: &str| {
            Args::try_parse_from([
                "croft-worker",
                "--slot-fd",
                slot_fd,
                "--report-fd",
                "4",
                "--model-fd",
                "5",
                "--generation",
                "1",
                "--context",
                "1024",
                "--slots",
                slots,
                "--threads",
                "2",
            ])
        };
        assert!(parse("4", "3").is_ok());
        assert!(parse("0", "3").is_err());
        assert!(parse("65", "3").is_err());
        assert!(parse("4", "1").is_err(), "standard streams are no channel");
    }
}
