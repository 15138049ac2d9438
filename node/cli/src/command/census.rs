//! `croft census`: which local AI is here, as the daemon sees it, before anybody else does.

use std::io::Write;
use std::process::{ExitCode, Stdio};

use croft_domain::code::Code;
use croft_proto::grpc::CatalogRequest;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::{daemon, output, program};

pub async fn run(paths: &Paths, arguments: Vec<String>) -> Result<ExitCode, Failure> {
    let mut words = vec!["census".to_owned()];
    words.extend(arguments);
    let catalog = catalog(paths).await;
    match &catalog {
        Ok(bytes) if !bytes.is_empty() => words.push("--catalog".to_owned()),
        Ok(_) => output::say("No signed list of models is here yet: models are not compared."),
        Err(failure) => output::say(&format!("Models are not compared: {}", failure.message())),
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run_node(paths, &words, &catalog.unwrap_or_default())
}

/// The fleet's list of models, as JSON; empty if there is none yet.
pub async fn catalog(paths: &Paths) -> Result<Vec<u8>, Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.catalog(daemon::ask(CatalogRequest {})).await;
    Ok(answer.map_err(|status| daemon::refused(&status))?.into_inner().catalog_json)
}

/// The census as JSON, compared with `catalog`.
pub fn take(paths: &Paths, catalog: &[u8]) -> Result<String, Failure> {
    let internal = |e: std::io::Error| Failure::caused(Code::Internal, &e);
    let mut words = vec!["census", "-o", "json"];
    if !catalog.is_empty() {
        words.push("--catalog");
    }
    let mut command = program::node(paths, &words)?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(internal)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that did not want to read says why itself.
        let _ = stdin.write_all(catalog);
    }
    let output = child.wait_with_output().map_err(internal)?;
    if !output.status.success() {
        return Err(Failure::new(Code::Internal, "no census could be taken"));
    }
    String::from_utf8(output.stdout).map_err(|e| Failure::caused(Code::Internal, &e))
}

fn run_node(paths: &Paths, words: &[&str], input: &[u8]) -> Result<ExitCode, Failure> {
    let internal = |e: std::io::Error| Failure::caused(Code::Internal, &e);
    let mut child = program::node(paths, words)?.stdin(Stdio::piped()).spawn().map_err(internal)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that did not want to read says why itself.
        let _ = stdin.write_all(input);
    }
    let status = child.wait().map_err(internal)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
