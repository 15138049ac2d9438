//! What may be typed. Parsing touches nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::output::Format;

/// A fast local language model on your own machine, inside a fence that your organization can see standing.
#[derive(Debug, Parser)]
#[command(name = "croft", version, propagate_version = true)]
pub struct Arguments {
    #[command(flatten)]
    pub paths: PathArguments,
    #[command(subcommand)]
    pub command: Command,
}

/// Which daemon is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct PathArguments {
    /// State folder of the daemon.
    #[arg(long, env = "CROFT_STATE", value_name = "DIR", global = true, hide_env_values = true)]
    pub state: Option<PathBuf>,
    /// Run folder of the daemon, which holds its socket.
    #[arg(long, env = "CROFT_RUN", value_name = "DIR", global = true, hide_env_values = true)]
    pub run: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Joins a fleet; shows what is collected first, and asks.
    Enroll(EnrollArguments),
    /// Starts and stops the daemon of this user.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Says whether this machine serves, and until when.
    Status(StatusArguments),
    /// Says check by check why it serves or does not, and what to do.
    Why(OutputArguments),
    /// Prints the commands that mend a check, with effort, risk and how to go back; runs none of them.
    Fix(FixArguments),
    /// Shows byte for byte what was sent to the organization.
    Privacy(OutputArguments),
    /// Shows what the organization's baseline asks for besides the minimum, and takes your answer.
    Consent(ConsentArguments),
    /// What this machine claims, as a file, where no network leads to the controller.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Shows the acceptable-use policy that your organization demands, and takes your yes.
    AcceptPolicy(YesArguments),
    /// Lists the approved models on this machine, in which variant, and why in that one.
    Models(ModelsArguments),
    /// Takes in models and news that came across an air gap, from a file that croftctl bundle export wrote.
    Import(ImportArguments),
    /// Takes approved models over from the stores of other tools on this machine.
    Adopt(AdoptArguments),
    /// Prints the API key for clients that need one.
    Key(KeyArguments),
    /// Talks with a model here in the terminal; nothing is written to disk.
    Chat(ChatArguments),
    /// Looks at this machine as the daemon would, without telling anybody.
    Posture(PassedArguments),
    /// Lists the local AI tools on this machine as the daemon would see them.
    Census(PassedArguments),
    /// Asks the admin for another model.
    Request(RequestArguments),
    /// Stops serving until resume.
    Pause,
    /// Serves again.
    Resume,
    /// Leaves the fleet: erases keys, trust and models; works without the controller.
    Leave(YesArguments),
    /// Leaves, and removes everything that Croft wrote.
    Uninstall(YesArguments),
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub struct EnrollArguments {
    /// The line that begins with `croft1.`; - reads it from stdin.
    pub invite: Option<String>,
    /// Shows what would be sent and collected, and sends nothing.
    #[arg(long)]
    pub preview: bool,
    /// Agrees without being asked.
    #[arg(long, short, conflicts_with = "preview")]
    pub yes: bool,
    /// Whose machine it is. Less is collected from a personal one.
    #[arg(long, value_enum, default_value_t = Ownership::Personal)]
    pub ownership: Ownership,
}

#[derive(Debug, Args)]
pub struct ModelsArguments {
    #[command(flatten)]
    pub output: OutputArguments,
    /// Forgets how fast this model's variants were here; they are measured again when no model is used.
    #[arg(long, value_name = "NAME")]
    pub measure: Option<String>,
}

/// Whose machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ownership {
    /// The developer's own.
    Personal,
    /// Bought from a development budget.
    DevBudget,
}

impl Ownership {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::DevBudget => "dev-budget",
        }
    }
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ServiceCommand {
    /// Starts the daemon and waits until it answers.
    Start,
    /// Stops it and waits until it is gone.
    Stop,
    /// Says whether it runs.
    Status,
}

#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct FixArguments {
    /// A check, one of its subjects, or both as check:subject; without it, whatever does not pass now.
    pub name: Option<String>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct AdoptArguments {
    /// Shows what could be taken over, and takes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Agrees without being asked.
    #[arg(long, short, conflicts_with = "dry_run")]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Prints where everything is kept instead.
    #[arg(long)]
    pub paths: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file; - reads it from stdin.
    pub file: PathBuf,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct KeyArguments {
    /// Makes a new key; the old one stops working at once.
    #[arg(long)]
    pub rotate: bool,
}

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// One question. Without it, a conversation, or all of stdin as one question if that is not a terminal.
    pub prompt: Option<String>,
    /// Which model.
    #[arg(long, short, default_value = "chat")]
    pub model: String,
}

#[derive(Debug, Args)]
pub struct RequestArguments {
    /// Where the model is: https://… (what follows ? or # is not sent).
    #[arg(required_unless_present = "list")]
    pub url: Option<String>,
    /// What it is for, in a sentence that your admin reads.
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub why: Option<String>,
    /// Shows what became of what was asked for from this machine.
    #[arg(long, conflicts_with_all = ["url", "why"])]
    pub list: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct PassedArguments {
    /// Handed to croft-node as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Writes signed evidence, for `croftctl lease issue`.
    Export {
        /// Where it goes; nothing is overwritten.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct ConsentArguments {
    /// Agrees to what waits without being asked.
    #[arg(long, short, conflicts_with = "revoke")]
    pub yes: bool,
    /// Takes back everything that was agreed to since enrollment.
    #[arg(long)]
    pub revoke: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct YesArguments {
    /// Agrees without being asked.
    #[arg(long, short)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn enroll_takes_an_invite_or_stdin() {
        let parsed = parse("croft enroll croft1.abc --ownership dev-budget --state /s").expect("parses");
        assert_eq!(parsed.paths.state, Some("/s".into()));
        let Command::Enroll(enroll) = parsed.command else { panic!("not enroll") };
        assert_eq!((enroll.invite.as_deref(), enroll.ownership), (Some("croft1.abc"), Ownership::DevBudget));
        assert!(parse("croft enroll -").is_ok() && parse("croft enroll").is_ok());
        assert!(parse("croft enroll x --preview --yes").is_err());
        assert!(parse("croft enroll x --ownership mine").is_err());
    }

    #[test]
    fn posture_passes_everything_on() {
        let parsed = parse("croft --run /r posture --root tests/tree -o json --help").expect("parses");
        let Command::Posture(passed) = parsed.command else { panic!("not posture") };
        assert_eq!(passed.arguments, ["--root", "tests/tree", "-o", "json", "--help"]);
    }

    #[test]
    fn forms_of_output() {
        assert!(parse("croft why -o json").is_ok() && parse("croft models --output text").is_ok());
        assert!(parse("croft privacy -o yaml").is_err());
        assert!(parse("croft service restart").is_err());
    }
}
