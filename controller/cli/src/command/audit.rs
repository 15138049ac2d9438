//! `audit`: the past, recomputed from what the controller exports, and checkpoints that hold it in place.

use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_domain::signed::{Domain, Envelope};
use croft_proto::grpc::{
    AdminAction, ChainEntry, EraseBodiesRequest, ExportChainRequest, ListActionsRequest,
};
use croft_trust::carried::Carried;
use croft_trust::digest::sha256;
use croft_trust::sign::sign_envelope;
use serde::Serialize;

use crate::args::{Audit, Erase, Format};
use crate::audit::{Chain, Checkpoint, Entry, Head, signed_by, verify};
use crate::client::{Admin, connect, nodes, refused, resolve_node, signer, unusable};
use crate::clock::{now, written};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, read_text, write};
use crate::limits::{CHAIN_LENGTH_MAX, CHECKPOINT_LEN_MAX};
use crate::output::{Column, Resource, column, print_data, print_list, say};
use crate::review::Audited;
use crate::workbench::Workbench;

/// Runs `audit`.
///
/// # Errors
/// A chain or a checkpoint does not hold, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &Audit, format: Format) -> Result<(), CtlError> {
    match verb {
        Audit::Verify { node, checkpoints } => audit(dir, node.as_deref(), checkpoints, format).await,
        Audit::Checkpoint { out } => checkpoint(dir, out.as_deref(), format).await,
        Audit::Erase(which) => erase(dir, which).await,
        Audit::Log { limit } => log(dir, *limit, format).await,
    }
}

async fn audit(
    dir: &FleetDir,
    node: Option<&str>,
    named: &[PathBuf],
    format: Format,
) -> Result<(), CtlError> {
    let root = Workbench::open(dir)?.root_bytes().to_vec();
    let mut checkpoints = kept(dir, &root)?;
    for file in named {
        checkpoints.push(read(file, &root)?);
    }
    let mut admin = connect(dir).await?;
    let only = match node {
        Some(text) => Some(resolve_node(&mut admin, text).await?),
        None => None,
    };
    let (chains, kept_for) = export_all(&mut admin, only).await?;
    judge(&chains, &checkpoints, only.is_none(), format)?;
    if let Some((evidence_s, verdicts_s)) = kept_for {
        say(&format!(
            "the controller keeps evidence for {}, verdicts for {}, and the chains for ever",
            span(evidence_s),
            span(verdicts_s)
        ));
    }
    Ok(())
}

/// Recomputes all chains against the checkpoints here; for whoever is about to sign something that rests on them.
///
/// # Errors
/// A chain or a checkpoint does not hold, or the controller refuses.
pub async fn audited(dir: &FleetDir) -> Result<Audited, CtlError> {
    let root = Workbench::open(dir)?.root_bytes().to_vec();
    let checkpoints = kept(dir, &root)?;
    let mut admin = connect(dir).await?;
    let (chains, _) = export_all(&mut admin, None).await?;
    let broken = findings(&chains, &checkpoints).iter().filter(|line| !line.findings.is_empty()).count();
    if broken > 0 {
        return Err(CtlError::Chain { broken, chains: chains.len() });
    }
    Ok(Audited {
        chains: chains.len() as u64,
        links: chains.iter().map(|chain| chain.entries.len() as u64).sum(),
        erased: chains.iter().map(Chain::erased).sum(),
        checkpoints: checkpoints.len() as u64,
    })
}

/// Verifies and prints; a node that a checkpoint names and the controller does not is a finding like any other.
fn judge(
    chains: &[Chain],
    checkpoints: &[Checkpoint],
    is_whole: bool,
    format: Format,
) -> Result<(), CtlError> {
    let lines = if is_whole {
        findings(chains, checkpoints)
    } else {
        chains.iter().map(|chain| Line::of(chain, checkpoints)).collect()
    };
    print_list(&lines, format)?;
    let broken = lines.iter().filter(|line| !line.findings.is_empty()).count();
    if broken > 0 {
        return Err(CtlError::Chain { broken, chains: lines.len() });
    }
    let links: u64 = lines.iter().map(|line| line.links).sum();
    let erased: u64 = lines.iter().map(|line| line.erased).sum();
    say(&format!(
        "{} chains with {links} links hold, against {} checkpoints; {erased} bodies erased, chain intact",
        lines.len(),
        checkpoints.len()
    ));
    Ok(())
}

/// A line for each chain, and one for each that a checkpoint names and the controller does not.
fn findings(chains: &[Chain], checkpoints: &[Checkpoint]) -> Vec<Line> {
    let mut lines: Vec<Line> = chains.iter().map(|chain| Line::of(chain, checkpoints)).collect();
    let known = |node: &NodeId| chains.iter().any(|chain| chain.node == *node);
    let mut gone: Vec<NodeId> = checkpoints.iter().flat_map(|c| &c.heads).map(|head| head.node).collect();
    gone.sort_unstable();
    gone.dedup();
    lines.extend(gone.into_iter().filter(|node| !known(node)).map(Line::gone));
    lines
}

async fn checkpoint(dir: &FleetDir, out: Option<&Path>, format: Format) -> Result<(), CtlError> {
    let workbench = Workbench::open(dir)?;
    let root = workbench.root_bytes().to_vec();
    let before = kept(dir, &root)?;
    let mut admin = connect(dir).await?;
    let (chains, _) = export_all(&mut admin, None).await?;
    // What does not hold is not signed: a checkpoint must not make an edited history look old.
    judge(&chains, &before, true, format)?;
    let heads = chains
        .iter()
        .filter_map(|chain| Some(Head { node: chain.node, length: chain.length, head: chain.head? }));
    let at = now();
    let previous = files(dir)?.last().map(std::fs::read).transpose();
    let previous = previous.map_err(|source| CtlError::FileRead { path: dir.checkpoints(), source })?;
    let document = Checkpoint {
        fleet: dir.settings()?.fleet,
        at,
        previous: previous.map(|bytes| sha256(&bytes)),
        heads: heads.collect(),
    };
    let unwritable = |e: serde_json::Error| CtlError::AnswerWrite { source: Box::new(e) };
    let payload = serde_json::to_vec(&document).map_err(unwritable)?;
    let envelope = sign_envelope(&*signer(dir, KeyName::Freshness)?, Domain::Checkpoint, payload)
        .map_err(unusable("use", dir, KeyName::Freshness))?;
    let text = serde_json::to_vec_pretty(&Carried::from(envelope)).map_err(unwritable)?;
    let file = dir.checkpoints().join(format!("{:012}.json", at.0));
    croft_trust::disk::create_private_dir(&dir.checkpoints())
        .map_err(|e| CtlError::FileWrite { path: dir.checkpoints(), source: std::io::Error::other(e) })?;
    write(&file, &text, 0o600)?;
    if let Some(out) = out {
        write(out, &text, 0o600)?;
    }
    say(&format!("signed the heads of {} chains at {}", document.heads.len(), written(at)));
    print_data(&format!("{}\n", file.display()))
}

async fn erase(dir: &FleetDir, which: &Erase) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    let node_id = match &which.node {
        Some(text) => resolve_node(&mut admin, text).await?.0.to_vec(),
        None => Vec::new(),
    };
    let before = which.before.map_or(0, |before| before.before(now()).0);
    let request = EraseBodiesRequest {
        node_id,
        before,
        verdict_id: which.verdict.map_or_else(Vec::new, |verdict| verdict.0.to_vec()),
        reason: which.reason.clone(),
    };
    let erased = admin.erase_bodies(request).await.map_err(refused("erase bodies"))?.into_inner().erased;
    say(&format!(
        "erased the bodies of {erased} verdicts; their salted hashes stay, and croftctl audit verify still holds"
    ));
    if erased == 0 {
        say("an active node's last verdict stays until the next one: its grace runs from it");
    }
    Ok(())
}

async fn log(dir: &FleetDir, limit: u32, format: Format) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    let answer =
        admin.list_actions(ListActionsRequest { limit }).await.map_err(refused("read the audit log"))?;
    let lines: Vec<Action> = answer.into_inner().actions.into_iter().map(Action::from).collect();
    print_list(&lines, format)
}

/// One action of an admin, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Action {
    at: u64,
    actor: String,
    action: String,
    object: String,
    detail: String,
}

impl From<AdminAction> for Action {
    fn from(wire: AdminAction) -> Self {
        let AdminAction { at, actor, action, object, detail } = wire;
        Self { at, actor, action, object, detail }
    }
}

impl Resource for Action {
    const COLUMNS: &'static [Column] =
        &[column("AT"), column("WHO"), column("WHAT"), column("ON"), column("WHY")];

    fn cells(&self) -> Vec<String> {
        let Self { at, actor, action, object, detail } = self;
        vec![
            written(croft_domain::time::Timestamp(*at)),
            actor.clone(),
            action.clone(),
            object.clone(),
            detail.clone(),
        ]
    }

    fn name(&self) -> String {
        self.action.clone()
    }
}

/// Days, or years where they are whole.
fn span(seconds: u64) -> String {
    const YEAR_S: u64 = 31_557_600;
    match (seconds / YEAR_S, seconds % YEAR_S) {
        (years, 0) if years > 0 => format!("{years} years"),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn read(file: &Path, root: &[u8]) -> Result<Checkpoint, CtlError> {
    let damaged = |source: crate::error::Cause| CtlError::FileParse { path: file.to_owned(), source };
    let signed: Carried =
        serde_json::from_str(&read_text(file, CHECKPOINT_LEN_MAX)?).map_err(|e| damaged(Box::new(e)))?;
    let envelope = Envelope::try_from(signed).map_err(|e| damaged(Box::new(e)))?;
    if !signed_by(root, &envelope) {
        return Err(damaged("no freshness key of this fleet signed it".into()));
    }
    serde_json::from_slice(&envelope.payload).map_err(|e| damaged(Box::new(e)))
}

// By name, which is by time.
fn files(dir: &FleetDir) -> Result<Vec<PathBuf>, CtlError> {
    let folder = dir.checkpoints();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CtlError::FileRead { path: folder, source }),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// The checkpoints in the config folder; each must be signed, and name the one before.
fn kept(dir: &FleetDir, root: &[u8]) -> Result<Vec<Checkpoint>, CtlError> {
    let mut checkpoints = Vec::new();
    let mut previous = None;
    for file in files(dir)? {
        let checkpoint = read(&file, root)?;
        if checkpoint.previous != previous {
            let source = "it does not continue the checkpoint before it".into();
            return Err(CtlError::FileParse { path: file, source });
        }
        let bytes = std::fs::read(&file).map_err(|source| CtlError::FileRead { path: file, source })?;
        previous = Some(sha256(&bytes));
        checkpoints.push(checkpoint);
    }
    Ok(checkpoints)
}

/// Chains, and for how long the controller keeps evidence and verdicts, in seconds.
type Exported = (Vec<Chain>, Option<(u64, u64)>);

async fn export_all(admin: &mut Admin, only: Option<NodeId>) -> Result<Exported, CtlError> {
    let ids = match only {
        Some(id) => vec![id],
        None => {
            let known = nodes(admin).await?;
            known.iter().filter_map(|node| NodeId::try_from(node.node_id.as_slice()).ok()).collect()
        }
    };
    let (mut chains, mut kept_for) = (Vec::new(), None);
    for id in ids {
        let (chain, kept) = export(admin, id).await?;
        chains.push(chain);
        kept_for = Some(kept);
    }
    Ok((chains, kept_for))
}

async fn export(admin: &mut Admin, node: NodeId) -> Result<(Chain, (u64, u64)), CtlError> {
    let mut chain = Chain {
        node,
        key_point: Vec::new(),
        attestation_point: Vec::new(),
        head: None,
        length: 0,
        entries: Vec::new(),
    };
    loop {
        let after_position = chain.entries.last().map_or(0, |entry| entry.position);
        let request = ExportChainRequest { node_id: node.0.to_vec(), after_position };
        let page = admin.export_chain(request).await.map_err(refused("export a chain"))?.into_inner();
        chain.key_point = page.key_point;
        chain.attestation_point = page.attestation_point;
        chain.head = page.chain_head.try_into().ok().map(Sha256Digest);
        chain.length = page.chain_length;
        if page.entries.is_empty() {
            return Ok((chain, (page.evidence_kept_s, page.verdicts_kept_s)));
        }
        chain.entries.extend(page.entries.into_iter().map(entry));
        let moved = chain.entries.last().is_some_and(|last| last.position > after_position);
        if !moved || chain.entries.len() > CHAIN_LENGTH_MAX {
            let message = "its pages do not end".to_owned();
            return Err(CtlError::Answer { operation: "export a chain", message });
        }
    }
}

fn entry(wire: ChainEntry) -> Entry {
    Entry {
        position: wire.position,
        at: croft_domain::time::Timestamp(wire.at),
        head: wire.head,
        salt: wire.salt,
        commitment: wire.evidence_commitment,
        evidence: wire.evidence,
        signature: wire.evidence_signature,
        verdict: wire.verdict,
        verdict_salt: wire.verdict_salt,
        verdict_commitment: wire.verdict_commitment,
        rules: wire.rules,
        quote: wire.quote,
    }
}

/// One chain, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Line {
    node: String,
    links: u64,
    erased: u64,
    head: String,
    findings: Vec<String>,
}

impl Line {
    fn of(chain: &Chain, checkpoints: &[Checkpoint]) -> Self {
        let findings = verify(chain, checkpoints);
        let text = |finding: crate::audit::Finding| match finding.position {
            0 => finding.what,
            position => format!("link {position}: {}", finding.what),
        };
        Self {
            node: chain.node.to_string(),
            links: chain.entries.len() as u64,
            erased: chain.erased(),
            head: chain.head.map(|head| head.to_string()).unwrap_or_default(),
            findings: findings.into_iter().map(text).collect(),
        }
    }

    fn gone(node: NodeId) -> Self {
        let finding = "a checkpoint has its history, the controller does not know it any more".to_owned();
        Self { node: node.to_string(), links: 0, erased: 0, head: String::new(), findings: vec![finding] }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] = &[column("NODE"), column("LINKS"), column("ERASED"), column("RESULT")];

    fn cells(&self) -> Vec<String> {
        let result = if self.findings.is_empty() {
            "holds".to_owned()
        } else {
            format!("BROKEN: {}", self.findings.join("; "))
        };
        vec![self.node.clone(), self.links.to_string(), self.erased.to_string(), result]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}
