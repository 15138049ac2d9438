//! What llama.cpp makes of a bundle's template: asked of the worker that nodes run, confined as it is there.
//!
//! croftctl links no llama.cpp. It hands the worker the open model and the template, reads one line of JSON, distrusts
//! it, has it held against what the review saw, and gives the digest that the approval signs.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use croft_domain::bundle::{Rendered, Template};
use croft_domain::probe::{PROBE_SET, transcript};
use croft_trust::digest::sha256;
use croft_vetting::template::Renderings;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::io::AsyncReadExt;

use crate::draft::Draft;
use crate::error::CtlError;
use crate::limits::{RENDERING_TIMEOUT_S, RENDERINGS_LEN_MAX};
use crate::output::clean;
use crate::{progress, vet};

const WORKER: &str = "croft-worker";

/// Renders the draft's template with the probe set under each variant's vocabulary, and has the result reviewed. None for
/// a bundle without a template.
///
/// # Errors
/// The worker is not installed or cannot read model or template, what it renders is not what the review saw, or variants
/// render differently.
pub async fn rendered(draft: &Draft) -> Result<Option<Rendered>, CtlError> {
    let template = &draft.manifest.template;
    if template.source.is_empty() {
        return Ok(None);
    }
    let worker = find()?;
    let (mut first, mut at) = (None, 0);
    for variant in draft.manifest.every_variant() {
        let Some(weights) = draft.sources.get(at) else { break };
        at += variant.files.len();
        let rendered = render(&worker, weights, template).await?;
        if *first.get_or_insert(rendered) != rendered {
            let reason = "it renders otherwise than the first variant".to_owned();
            return Err(CtlError::Renderer { path: weights.clone(), reason });
        }
    }
    Ok(first.flatten())
}

async fn render(worker: &Path, weights: &Path, template: &Template) -> Result<Option<Rendered>, CtlError> {
    let spinner = progress::spinner("rendering the template as nodes will");
    let shown = ask(worker, weights, &template.source).await;
    spinner.finish_and_clear();
    let shown = shown.map_err(|reason| CtlError::Renderer { path: weights.to_owned(), reason })?;
    let sha256 = transcript(&shown.renderings).map(|bytes| sha256(&bytes));
    let report = vet::compare_renderings(weights, &template.source, shown).await?;
    for finding in &report.findings {
        crate::output::say(&format!("note:{}", vet::finding_text(finding)));
    }
    Ok(sha256.map(|sha256| Rendered { probe_set: PROBE_SET, sha256 }))
}

/// As executables find each other: `CROFT_LIBEXEC`, else beside this one, else `../libexec/croft`.
fn find() -> Result<PathBuf, CtlError> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let folders = match (std::env::var_os("CROFT_LIBEXEC").filter(|set| !set.is_empty()), beside) {
        (Some(libexec), _) => vec![PathBuf::from(libexec)],
        (None, Some(beside)) => vec![beside.to_owned(), beside.join("../libexec/croft")],
        (None, None) => Vec::new(),
    };
    let found = folders.iter().map(|folder| folder.join(WORKER)).find(|path| path.is_file());
    found.ok_or_else(|| CtlError::NotFound {
        what: format!("{WORKER}, which renders the template as nodes will"),
        hint: "install it beside croftctl or in ../libexec/croft, or name its folder in CROFT_LIBEXEC, then repeat"
            .to_owned(),
    })
}

/// One look at one template.
async fn ask(worker: &Path, weights: &Path, template: &str) -> Result<Renderings, String> {
    let text = |e: &dyn std::error::Error| e.to_string();
    let weights = File::open(weights).map_err(|e| text(&e))?;
    // A copy that children get; whoever else is started meanwhile is this program itself, which closes what it was not
    // given.
    let model = rustix::io::dup(&weights).map_err(|e| text(&e))?;
    let mut source = File::from(memfd_create("template", MemfdFlags::empty()).map_err(|e| text(&e))?);
    source.write_all(template.as_bytes()).and_then(|()| source.rewind()).map_err(|e| text(&e))?;
    let mut child = tokio::process::Command::new(worker)
        .arg("--render-probes")
        .args(["--model-fd", &model.as_raw_fd().to_string()])
        .args(["--template-fd", &source.as_raw_fd().to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{} could not be started: {e}", worker.display()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let (mut line, mut talk) = (Vec::new(), Vec::new());
    let work = async {
        let mut stdout = stdout.take(RENDERINGS_LEN_MAX + 1);
        let mut stderr = stderr.take(4096);
        tokio::try_join!(stdout.read_to_end(&mut line), stderr.read_to_end(&mut talk))?;
        child.wait().await
    };
    let status = tokio::time::timeout(Duration::from_secs(RENDERING_TIMEOUT_S), work)
        .await
        .map_err(|_| format!("it took longer than {RENDERING_TIMEOUT_S} s"))?
        .map_err(|e| text(&e))?;
    if !status.success() {
        return Err(format!("{status}; {}", clean(String::from_utf8_lossy(&talk).trim())));
    }
    if line.len() as u64 > RENDERINGS_LEN_MAX {
        return Err("its answer is too long".to_owned());
    }
    serde_json::from_slice(&line).map_err(|e| format!("its answer is not one: {e}"))
}
