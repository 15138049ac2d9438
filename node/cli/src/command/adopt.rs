//! `croft adopt`: takes approved models over from the stores of other tools, so that they need not be fetched.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_proto::grpc::{AdoptRequest, ModelsRequest};
use serde::{Deserialize, Serialize};

use super::census;
use crate::args::AdoptArguments;
use crate::confirm::{self, Consent};
use crate::daemon::{self, Daemon};
use crate::failure::Failure;
use crate::limits::CONTROLLER_TIMEOUT;
use crate::output::{self, Format, one_line};
use crate::paths::Paths;

/// What is read of a census.
#[derive(Deserialize)]
struct Census {
    found: Found,
}

#[derive(Deserialize)]
struct Found {
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    title: String,
    stores: Vec<Store>,
}

#[derive(Deserialize)]
struct Store {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    path: PathBuf,
    sha256: Option<Sha256Digest>,
    len_bytes: u64,
    standing: Option<String>,
    bundle: Option<BundleName>,
}

#[derive(Deserialize)]
struct BundleName {
    name: String,
    version: u32,
}

/// One approved file in another tool's store.
#[derive(Debug, Serialize)]
struct Adoptable {
    bundle: String,
    tool: String,
    name: String,
    path: PathBuf,
    sha256: Sha256Digest,
    len_bytes: u64,
    /// `here` | `can-be-adopted` | `not-assigned`
    state: &'static str,
}

pub async fn run(paths: &Paths, arguments: &AdoptArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let catalog = census::catalog(paths).await?;
    let found = census::take(paths, &catalog)?;
    let census: Census = serde_json::from_str(&found).map_err(|e| Failure::caused(Code::Internal, &e))?;
    let adoptable = compare(census, &mut daemon).await?;
    match arguments.output.output {
        Format::Json => output::print_json(&adoptable)?,
        Format::Text => output::print(&table(&adoptable))?,
    }
    let wanted: Vec<&Adoptable> = adoptable.iter().filter(|found| found.state == "can-be-adopted").collect();
    if wanted.is_empty() || arguments.dry_run {
        return Ok(());
    }
    let question =
        format!("Take over {} file(s)? They are copied; the other tool keeps its own.", wanted.len());
    confirm::require(Consent::of_flag(arguments.yes), &question)?;
    for found in wanted {
        adopt(&mut daemon, found).await?;
        output::say(&format!("{}: taken over; it is judged and measured like any other", found.bundle));
    }
    Ok(())
}

/// Approved files, each digest once, and whether the daemon wants them.
async fn compare(census: Census, daemon: &mut Daemon) -> Result<Vec<Adoptable>, Failure> {
    let asked = daemon.models(daemon::ask(ModelsRequest { shows_terms: false })).await;
    let models = asked.map_err(|status| daemon::refused(&status))?.into_inner().models;
    let mut seen = BTreeSet::new();
    let mut adoptable = Vec::new();
    for tool in census.found.tools {
        for model in tool.stores.into_iter().flat_map(|store| store.models) {
            let (Some(sha256), Some(bundle)) = (model.sha256, model.bundle) else { continue };
            if model.standing.as_deref() != Some("approved") || !seen.insert(sha256) {
                continue;
            }
            let bundle = format!("{}@{}", bundle.name, bundle.version);
            let assigned = models.iter().find(|known| known.bundle == bundle);
            let state = match assigned.map(|known| known.state.as_str()) {
                None => "not-assigned",
                Some("installed" | "loaded") => "here",
                Some(_) => "can-be-adopted",
            };
            let Model { name, path, len_bytes, .. } = model;
            adoptable.push(Adoptable {
                bundle,
                tool: tool.title.clone(),
                name,
                path,
                sha256,
                len_bytes,
                state,
            });
        }
    }
    Ok(adoptable)
}

fn table(adoptable: &[Adoptable]) -> String {
    if adoptable.is_empty() {
        return "No approved model lies in the store of another tool here.\n".to_owned();
    }
    let rows = adoptable.iter().map(|found| {
        let state = match found.state {
            "here" => "here already",
            "not-assigned" => "approved, but not assigned to this machine: ask the admin",
            _ => "can be taken over",
        };
        let mib = found.len_bytes.div_ceil(1 << 20);
        format!("{}  {} in {}, {mib} MiB: {state}\n", found.bundle, one_line(&found.name), found.tool)
    });
    rows.collect()
}

/// Hands over what the daemon lacks, chunk by chunk. One that was interrupted goes on where it stopped.
async fn adopt(daemon: &mut Daemon, found: &Adoptable) -> Result<(), Failure> {
    let unreadable = |e: std::io::Error| {
        Failure::new(Code::Input, format!("{}: {e}", one_line(&found.path.display().to_string())))
    };
    let file = File::open(&found.path).map_err(unreadable)?;
    let sha256 = found.sha256.0.to_vec();
    let question = AdoptRequest { sha256: sha256.clone(), index: 0, content: Vec::new() };
    let asked = daemon.adopt(daemon::within(CONTROLLER_TIMEOUT, question)).await;
    let mut state = asked.map_err(|status| daemon::refused(&status))?.into_inner();
    while let Some(index) = state.next {
        let start = u64::from(index) * state.chunk_len_bytes;
        let len = found.len_bytes.saturating_sub(start).min(state.chunk_len_bytes);
        let mut content = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut content, start).map_err(unreadable)?;
        let part = AdoptRequest { sha256: sha256.clone(), index, content };
        let answer = daemon.adopt(daemon::within(CONTROLLER_TIMEOUT, part)).await;
        let next = answer.map_err(|status| daemon::refused(&status))?.into_inner();
        if next.next == Some(index) {
            return Err(Failure::new(Code::Internal, "the daemon keeps asking for the same chunk"));
        }
        state = next;
    }
    Ok(())
}
