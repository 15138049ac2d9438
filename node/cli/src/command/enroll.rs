//! `croft enroll`: shows first, asks, then joins.

use std::io::{IsTerminal, Read};

use croft_domain::code::Code;
use croft_domain::limits::INVITE_LEN_MAX;
use croft_proto::grpc::{EnrollNodeRequest, PreviewEnrollmentRequest};

use crate::args::EnrollArguments;
use crate::confirm::{self, Consent};
use crate::failure::Failure;
use crate::limits::CONTROLLER_TIMEOUT;
use crate::paths::Paths;
use crate::view::preview::PreviewView;
use crate::{clock, daemon, output};

pub async fn run(paths: &Paths, arguments: &EnrollArguments) -> Result<(), Failure> {
    let invite = read_invite(arguments.invite.as_deref())?;
    let ownership = arguments.ownership.as_str().to_owned();
    let mut daemon = daemon::connect(paths).await?;
    let request = PreviewEnrollmentRequest { invite: invite.clone(), ownership: ownership.clone() };
    let preview = daemon
        .preview_enrollment(daemon::within(CONTROLLER_TIMEOUT, request))
        .await
        .map_err(|status| daemon::refused(&status))?;
    let shown = PreviewView::new(preview.into_inner(), &ownership).render(clock::now());
    if arguments.preview {
        return output::print(&shown);
    }
    output::say(&shown);
    confirm::require(Consent::of_flag(arguments.yes), "Join, and send this?")?;
    let request = EnrollNodeRequest { invite, ownership, consent: true };
    let answer = daemon
        .enroll_node(daemon::within(CONTROLLER_TIMEOUT, request))
        .await
        .map_err(|status| daemon::refused(&status))?
        .into_inner();
    output::print(&format!(
        "Enrolled as node {} in group {}.\n",
        output::one_line(&answer.node_id),
        output::one_line(&answer.group)
    ))?;
    output::say("croft status says when it serves; croft privacy shows what is sent.");
    Ok(())
}

fn read_invite(given: Option<&str>) -> Result<String, Failure> {
    match given {
        Some(line) if line != "-" => extract(line),
        given => {
            let mut stdin = std::io::stdin().lock();
            if given.is_none() && stdin.is_terminal() {
                output::say("Paste the line that your admin gave you, then press Enter and Ctrl-D:");
            }
            let mut text = String::new();
            // Room for a line break and for `croft enroll` before the invite.
            let room = INVITE_LEN_MAX as u64 + 256;
            stdin.by_ref().take(room).read_to_string(&mut text).map_err(|error| {
                Failure::new(Code::InviteMalformed, format!("cannot read the invite from stdin: {error}"))
            })?;
            extract(&text)
        }
    }
}

/// The invite within what was pasted, which may be the whole command that the admin was shown.
fn extract(text: &str) -> Result<String, Failure> {
    let word = text.split_whitespace().find(|word| word.starts_with("croft1."));
    let word = word.filter(|word| word.len() <= INVITE_LEN_MAX);
    word.map(str::to_owned)
        .ok_or_else(|| Failure::new(Code::InviteMalformed, "there is no invite in this text (croft1.…)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_found_in_a_pasted_command() {
        for text in
            ["croft1.abc", " croft1.abc\n", "croft enroll croft1.abc", "$ croft enroll croft1.abc --yes"]
        {
            assert_eq!(extract(text).expect("found"), "croft1.abc");
        }
        let long = format!("croft1.{}", "x".repeat(INVITE_LEN_MAX));
        for text in ["", "croft2.abc", "xcroft1.abc", &long] {
            assert_eq!(extract(text).expect_err("refused").code(), Code::InviteMalformed);
        }
    }
}
