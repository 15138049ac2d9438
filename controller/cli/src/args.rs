//! What may be typed. Parsing touches nothing: no file, no network, no environment beyond what clap reads.

mod audit;
mod bundle;
mod intake;
mod lease;
mod recall;
mod report;
mod requests;
mod trust;
mod vet;
mod waiver;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use croft_domain::id::{BaselineRef, BundleRef, GroupName, NodeId};
use croft_domain::limits::INVITE_TTL_MAX_S;

pub use audit::{Audit, Erase};
pub use bundle::{Bundle, Export, Import};
pub use intake::{Change, Intake};
pub use lease::Lease;
pub use recall::{Policy, Recall, RecallWhat, Runtime};
pub use report::{Report, ReportFormat, Review};
pub use requests::Requests;
pub use trust::{NewKey, Replaceable, Service, Trust};
pub use vet::{Confined, Vet};
pub use waiver::{Grant, Until, Waiver};

/// Runs a fleet from the admin's machine. Keys stay here; the controller gets signed documents only.
#[derive(Debug, Parser)]
#[command(name = "croftctl", version, arg_required_else_help = true)]
pub struct Args {
    /// Folder with this fleet's keys, repository and drafts [default: $XDG_CONFIG_HOME/croftctl]
    #[arg(long, env = "CROFTCTL_CONFIG", global = true, value_name = "DIR", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// File with the passphrase of encrypted keys, readable by you alone [default: CROFTCTL_PASSPHRASE, else a prompt]
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// How answers are written to stdout
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Forms of an answer. `json` and `yaml` are stable for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// One name a line
    Name,
    /// Columns for people, all of them
    Wide,
}

/// The nouns and verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a fleet's keys on this machine and take over a fresh controller
    Init(Init),
    /// Let machines in
    #[command(subcommand)]
    Invite(Invite),
    /// List what the controller knows
    #[command(subcommand)]
    Get(Get),
    /// Show one thing in full
    #[command(subcommand)]
    Describe(Describe),
    /// Change a node's standing
    #[command(subcommand)]
    Node(Node),
    /// Bring a model in: import, approve, publish
    #[command(subcommand)]
    Bundle(Bundle),
    /// From where and under which licenses models may come in
    #[command(subcommand)]
    Intake(Intake),
    /// Sign and publish what a YAML file declares
    Apply(Apply),
    /// Say what a group may have
    #[command(subcommand)]
    Assign(Assign),
    /// Recompute the past and hold it in place
    #[command(subcommand)]
    Audit(Audit),
    /// Signed exceptions from a check, which end by themselves
    #[command(subcommand)]
    Waiver(Waiver),
    /// Permission to serve for nodes that no network reaches
    #[command(subcommand)]
    Lease(Lease),
    /// Stop the use of a model or worker everywhere, at once, or take that back
    Recall(Recall),
    /// Say which worker executables may run
    #[command(subcommand)]
    Runtime(Runtime),
    /// The acceptable-use policy that baselines demand
    #[command(subcommand)]
    Policy(Policy),
    /// Look at or re-sign the fleet's metadata
    #[command(subcommand)]
    Trust(Trust),
    /// Compliance reports
    #[command(subcommand)]
    Report(Report),
    /// What people ask for with croft request
    #[command(subcommand)]
    Requests(Requests),
    /// Judge model files of any format by their content; needs no fleet
    Vet(Vet),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Judge the file on standard input, confined; for croftctl's own use
    #[command(name = "vet-confined", hide = true)]
    VetConfined(Confined),
}

/// `init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// All roles with one key each, on this machine
    #[arg(long, required_unless_present = "root_keys", conflicts_with_all = ["root_keys", "threshold"])]
    pub solo: bool,
    /// How many root keys to make, one for each holder; together they change keys, each alone does nothing
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub root_keys: u8,
    /// How many of the root keys must sign
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub threshold: u8,
    /// The bootstrap.json that `croft-controller init` wrote
    #[arg(long, value_name = "FILE")]
    pub bootstrap: PathBuf,
    /// Your name in the admin certificate
    #[arg(long, default_value = "admin", value_name = "NAME", value_parser = admin_name)]
    pub name: String,
    /// Do not encrypt the keys, even at a terminal
    #[arg(long, conflicts_with = "passphrase_file")]
    pub no_passphrase: bool,
    /// A license (SPDX identifier) under which models may come in; repeat for more
    #[arg(long = "license", value_name = "SPDX",
          default_values = ["Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0"])]
    pub licenses: Vec<String>,
    /// How the sources begin from which models may come in; repeat for more
    #[arg(long = "source", value_name = "PREFIX", default_values = ["https://huggingface.co/"])]
    pub sources: Vec<String>,
}

/// `invite`
#[derive(Debug, Subcommand)]
pub enum Invite {
    /// Print one line that enrolls a machine
    Create {
        /// Group the machine joins
        #[arg(long)]
        group: GroupName,
        /// How long the line is good for: 90s, 10m, 2h, 7d
        #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
        ttl: u64,
        /// How many machines it enrolls
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,
        /// Where the machine reaches the controller, if not where this machine does: https://HOST:PORT
        #[arg(long, value_name = "URL")]
        controller: Option<String>,
    },
}

/// `get`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Get {
    /// Enrolled machines
    #[command(visible_alias = "node")]
    Nodes,
    /// Published models
    #[command(visible_alias = "bundle")]
    Bundles,
    /// Published baselines
    #[command(visible_alias = "baseline")]
    Baselines,
    /// Orders to stop, and which of them were taken back
    #[command(visible_alias = "recall")]
    Recalls,
}

/// `describe`
#[derive(Debug, Subcommand)]
pub enum Describe {
    /// A node with its last verdict, check by check
    Node {
        /// Node id, or enough of its beginning to be the only one
        id: String,
    },
}

/// `node`
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Take a node out of the fleet; it may enroll again
    Evict(Standing),
    /// Take a node out of the fleet for good
    Ban(Standing),
    /// Let an evicted or banned node back in, or take back that it was noticed as restored or copied
    Restore(Standing),
    /// Put a node into another group, by a signed document; needs a publisher's key
    Move {
        /// Its whole id: what is signed is not left to the controller's list
        id: NodeId,
        /// The group it belongs to from now on
        #[arg(long)]
        group: GroupName,
    },
}

/// Which node, and why.
#[derive(Debug, ClapArgs)]
pub struct Standing {
    /// Node id, or enough of its beginning to be the only one
    pub id: String,
    /// Why; goes into the audit log
    #[arg(long)]
    pub reason: String,
}

/// `apply`
#[derive(Debug, ClapArgs)]
pub struct Apply {
    /// YAML file with `kind: Baseline`
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: PathBuf,
}

/// `assign`
#[derive(Debug, Subcommand)]
pub enum Assign {
    /// Let a group use a bundle, and tell its nodes
    Bundle {
        /// NAME@VERSION
        bundle: BundleRef,
        /// To which group
        #[arg(long)]
        group: GroupName,
        /// Older versions of this bundle may no longer be served
        #[arg(long)]
        retire_older: bool,
    },
    /// Hold a group to a baseline; makes the group if it is new
    Baseline {
        /// NAME@VERSION; the version is the lowest that counts
        baseline: BaselineRef,
        /// To which group
        #[arg(long)]
        group: GroupName,
        /// Tier of the group [default: the baseline's]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        tier: Option<u8>,
    },
}

// The name becomes part of the certificate's URI, so it keeps to what needs no escaping there.
fn admin_name(text: &str) -> Result<String, String> {
    match text.parse::<GroupName>() {
        Ok(name) => Ok(name.into()),
        Err(_) => Err("1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit".to_owned()),
    }
}

fn duration(text: &str) -> Result<u64, String> {
    let expected = || "a number and s, m, h or d, for example 10m".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(expected)?;
    if (1..=INVITE_TTL_MAX_S).contains(&seconds) { Ok(seconds) } else { Err("1s to 30d".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn ttl_has_a_unit_and_bounds() {
        assert_eq!(duration("90s"), Ok(90));
        assert_eq!(duration("10m"), Ok(600));
        assert_eq!(duration("30d"), Ok(INVITE_TTL_MAX_S));
        for bad in ["", "10", "m", "0s", "31d", "-1m", "1w", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
