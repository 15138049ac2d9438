//! What the daemon passes on the command line. Parsing touches nothing.

use std::os::fd::RawFd;

use clap::Parser;

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
    /// Descriptor of the verified model file, open for reading.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub model_fd: RawFd,
    /// Descriptor of the approved chat template's text.
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    pub template_fd: Option<RawFd>,
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
