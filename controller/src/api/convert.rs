//! Wire values into the domain's, or a refusal that names the field.

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::signed::Envelope;
use croft_proto::grpc::{ChainEntry, ChainLink, MeasuredEvent, PcrValue, Quote, SignedDocument, TrustFile};
use croft_tpm::client::Signed;
use croft_tpm::event_log::Event;
use croft_tpm::quote::Quote as KeptQuote;
use croft_trust::chain::Link;

use crate::app::{AppError, ChainRow, QuoteProof};

pub(super) fn parsed<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, AppError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| AppError::Input(format!("{field}: {error}")))
}

pub(super) fn id<T>(field: &'static str, bytes: &[u8]) -> Result<T, AppError>
where
    T: for<'a> TryFrom<&'a [u8], Error = croft_domain::id::IdError>,
{
    T::try_from(bytes).map_err(|error| AppError::Input(format!("{field}: {error}")))
}

/// As [`id`]; no bytes are none.
pub(super) fn optional_id<T>(field: &'static str, bytes: &[u8]) -> Result<Option<T>, AppError>
where
    T: for<'a> TryFrom<&'a [u8], Error = croft_domain::id::IdError>,
{
    if bytes.is_empty() { Ok(None) } else { id(field, bytes).map(Some) }
}

pub(super) fn digest(field: &'static str, bytes: &[u8]) -> Result<Sha256Digest, AppError> {
    array(field, bytes).map(Sha256Digest)
}

pub(super) fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], AppError> {
    bytes.try_into().map_err(|_| AppError::Input(format!("{field}: expected {N} bytes")))
}

pub(super) fn envelope(field: &'static str, wire: Option<SignedDocument>) -> Result<Envelope, AppError> {
    let wire = wire.ok_or_else(|| AppError::Input(format!("{field}: it is missing")))?;
    Envelope::try_from(wire).map_err(|error| AppError::Input(format!("{field}: {error}")))
}

pub(super) fn ownership(text: &str) -> Result<Ownership, AppError> {
    match text {
        "personal" => Ok(Ownership::Personal),
        "dev-budget" => Ok(Ownership::DevBudget),
        _ => Err(AppError::Input("ownership: expected personal or dev-budget".to_owned())),
    }
}

pub(super) fn mode(text: &str) -> Result<Mode, AppError> {
    match text {
        "system" => Ok(Mode::System),
        "user" => Ok(Mode::User),
        _ => Err(AppError::Input("mode: expected system or user".to_owned())),
    }
}

pub(super) const fn ownership_word(ownership: Ownership) -> &'static str {
    match ownership {
        Ownership::Personal => "personal",
        Ownership::DevBudget => "dev-budget",
    }
}

pub(super) const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::System => "system",
        Mode::User => "user",
    }
}

pub(super) fn trust_files(files: Vec<(String, Vec<u8>)>) -> Vec<TrustFile> {
    files.into_iter().map(|(name, content)| TrustFile { name, content }).collect()
}

pub(super) fn link(link: &Link) -> ChainLink {
    let Link { commitment, verdict, rules, at } = link;
    ChainLink {
        evidence_commitment: commitment.0.to_vec(),
        verdict_commitment: verdict.0.to_vec(),
        rules: rules.0.to_vec(),
        at: at.0,
    }
}

pub(super) fn quote(wire: Quote) -> Result<QuoteProof, AppError> {
    let Quote { statement, signature, pcrs, events } = wire;
    let pcr = |number: u32| {
        u8::try_from(number).map_err(|_| AppError::Input("quote.pcr: expected 0 to 23".to_owned()))
    };
    let value = |PcrValue { pcr: number, sha256 }| Ok((pcr(number)?, array("quote.pcrs.sha256", &sha256)?));
    let event = |MeasuredEvent { pcr: number, kind, sha256 }| {
        Ok(Event { pcr: pcr(number)?, kind, sha256: array("quote.events.sha256", &sha256)? })
    };
    let values = pcrs.into_iter().map(value).collect::<Result<_, AppError>>()?;
    Ok(QuoteProof {
        quote: KeptQuote { signed: Signed { statement, signature }, values },
        events: events.into_iter().map(event).collect::<Result<_, AppError>>()?,
    })
}

pub(super) fn chain_entry(row: ChainRow) -> ChainEntry {
    ChainEntry {
        position: row.position,
        at: row.at.0,
        head: row.head,
        salt: row.salt,
        evidence_commitment: row.evidence_commitment,
        evidence: row.evidence,
        evidence_signature: row.evidence_signature,
        verdict: row.verdict,
        verdict_salt: row.verdict_salt,
        verdict_commitment: row.verdict_commitment,
        rules: row.rules,
        quote: row.quote,
    }
}
