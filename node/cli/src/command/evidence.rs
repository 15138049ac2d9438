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
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.export_evidence(daemon::ask(ExportEvidenceRequest {})).await;
    let content = answer.map_err(|status| daemon::refused(&status))?.into_inner().content;
    let written = std::fs::File::create_new(file).and_then(|mut made| made.write_all(&content));
    written.map_err(|e| Failure::new(Code::Input, format!("cannot write {}: {e}", file.display())))?;
    output::say(&format!("Evidence is in {}; croft privacy shows what is in it.", file.display()));
    output::say("Carry it to croftctl lease issue; only the answer to this last export is taken here.");
    Ok(())
}
