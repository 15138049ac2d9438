//! `croft evidence export`: what this machine claims, as a file that a person carries.

use std::io::Write;

use croft_domain::code::Code;
use croft_proto::grpc::ExportEvidenceRequest;

use crate::args::EvidenceCommand;
use crate::failure::Failure;
use crate::paths::Paths;
use crate::{daemon, output};

pub async fn run(paths: &Paths, command: &EvidenceCommand) -> Result<(), Failure> {
    let EvidenceCommand::Export { file } = command;
    let unwritable =
        |e: std::io::Error| Failure::new(Code::Input, format!("cannot write {}: {e}", file.display()));
    let mut daemon = daemon::connect(paths).await?;
    // Before the daemon is asked: each export takes the place of the one before, also of one that is under way.
    let mut made = std::fs::File::create_new(file).map_err(unwritable)?;
    let answer = daemon.export_evidence(daemon::ask(ExportEvidenceRequest {})).await;
    let written = match answer {
        Ok(answer) => made.write_all(&answer.into_inner().content).map_err(unwritable),
        Err(status) => Err(daemon::refused(&status)),
    };
    if written.is_err() {
        // It was made here and holds nothing that anybody could use.
        let _ = std::fs::remove_file(file);
    }
    written?;
    output::say(&format!("Evidence is in {}; croft privacy shows what is in it.", file.display()));
    output::say("Carry it to croftctl lease issue; only the answer to this last export is taken here.");
    Ok(())
}
