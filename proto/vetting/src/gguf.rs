//! GGUF: the container rules (G), what its values must mean together (S), and shards (P).
//!
//! The lint is stricter than llama.cpp's own reader on purpose: whatever one of the two would read differently is
//! refused. Weights are not interpreted here, beyond being finite; whether they are the approved ones is the digest's
//! work.

mod architecture;
mod container;
mod cursor;
mod element;
mod family;
mod hyperparameters;
mod measure;
mod metadata;
mod projector;
mod quantization;
mod scales;
mod schema;
mod shape;
mod shard;
mod tensor;
mod text;
mod tokenizer;
mod value;
mod vocabulary;

use std::io::Read;

use crate::policy::Policy;
use crate::report::{Findings, Format, Report, Rule, Verdict, excerpt};
use cursor::{Cursor, Stop};
pub use measure::measure;
use metadata::Metadata;
pub use shard::{Shard, lint_part, lint_shards};
use tensor::Tensor;
pub(crate) use text::first_forbidden;
use value::Value;

/// How much of the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Header, metadata and the gap before the weights.
    Header,
    /// All of it, so that the padding between the weights is checked as well.
    Padding,
    /// All of it, and that weights and scales are finite.
    Full,
}

/// Whether models of that architecture make embeddings and no text, so that they need no chat template.
#[must_use]
pub fn embeds(architecture: Option<&str>) -> bool {
    architecture.is_some_and(|name| matches!(name, "bert" | "nomic-bert" | "gemma-embedding"))
}

/// Lints the header of a GGUF file of `len_bytes` bytes. No tensor data is needed.
pub fn lint_gguf<R: Read>(reader: R, len_bytes: u64) -> Report {
    lint(reader, len_bytes, Depth::Header)
}

/// Lints a GGUF file of `len_bytes` bytes as deep as asked.
pub fn lint<R: Read>(reader: R, len_bytes: u64, depth: Depth) -> Report {
    lint_under(reader, len_bytes, depth, &Policy::default())
}

/// Lints a GGUF file of `len_bytes` bytes as deep as asked, with what a signed policy allows.
pub fn lint_under<R: Read>(reader: R, len_bytes: u64, depth: Depth, policy: &Policy) -> Report {
    let mut report = Report::new(Format::Gguf, len_bytes);
    let mut findings = Findings::default();
    let mut cursor = Cursor::new(reader, len_bytes);
    match container::read(&mut cursor, depth, &mut report) {
        Ok((metadata, tensors)) => {
            shard::judge_alone(&metadata, tensors.len(), &mut findings);
            judge(&metadata, &tensors, policy, &mut report, &mut findings);
        }
        Err(stop) => return stopped(stop, report, findings),
    }
    finish(report, findings)
}

fn finish(mut report: Report, findings: Findings) -> Report {
    report.verdict = if findings.refused() { Verdict::Refuse } else { Verdict::Pass };
    report.findings = findings.into_vec();
    report
}

fn stopped(stop: Stop, mut report: Report, mut findings: Findings) -> Report {
    match stop {
        Stop::Refused(finding) => {
            findings.add(finding);
            finish(report, findings)
        }
        Stop::Unreadable { offset, source } => {
            findings.warn(Rule::F02, format!("reading failed at byte {offset}: {source}"));
            report.findings = findings.into_vec();
            report
        }
    }
}

/// What the values mean together. Unlike the container's rules these do not stop at the first that is broken.
fn judge(
    metadata: &Metadata,
    tensors: &[Tensor],
    policy: &Policy,
    report: &mut Report,
    findings: &mut Findings,
) {
    report.parameter_count = tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.elements));
    report.quantization = metadata.u32("general.file_type", findings).map(quantization::name);
    let architecture = report.architecture.as_deref().unwrap_or_default();
    report.shape = Some(measure::shape(architecture, metadata, tensors));
    report.chat_template = metadata.text("tokenizer.chat_template", findings).map(str::to_owned);
    judge_templates(metadata, findings);
    report.tokens = tokenizer::judge(metadata, findings);
    report.context_length = architecture::judge(metadata, tensors, report.tokens, policy, findings);
}

/// Templates inside the file are never rendered by Croft. One that attacks its renderer is refused all the same: the
/// file is an attack on whatever else loads it.
fn judge_templates(metadata: &Metadata, findings: &mut Findings) {
    for key in metadata.keys().filter(|key| key.starts_with("tokenizer.chat_template")) {
        let Some(Value::Text(template)) = metadata.value(key) else { continue };
        if let Some((at, how)) = crate::template::escape(template) {
            let message = format!("{key} reaches for Python at byte {at} of it: {how}");
            findings.refuse_at(Rule::T01, metadata.at(key), message);
        }
        if let Some(name) = key.strip_prefix("tokenizer.chat_template.") {
            let message = format!(
                "a further template, {}, of {} bytes; Croft serves only the one that the manifest binds, and this one is \
                 bound as a part of the file",
                excerpt(name.as_bytes()),
                template.len()
            );
            findings.note_at(Rule::T04, metadata.at(key), message);
        }
    }
}
