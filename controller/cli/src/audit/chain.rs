//! One node's chain, recomputed.

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::id::NodeId;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Assurance, Verdict};
use croft_tpm::quote::Quote;
use croft_trust::chain::{Link, commitment, next_head};
use croft_trust::digest::sha256;

use super::checkpoint::Checkpoint;

/// One link as the controller exports it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counted from 1.
    pub position: u64,
    /// When, in the head.
    pub at: Timestamp,
    /// The head after it, as claimed.
    pub head: Vec<u8>,
    /// Salt; empty when erased.
    pub salt: Vec<u8>,
    /// The commitment, as claimed.
    pub commitment: Vec<u8>,
    /// The evidence; empty when erased.
    pub evidence: Vec<u8>,
    /// The node's signature over it; empty when erased.
    pub signature: Vec<u8>,
    /// The verdict; empty when erased.
    pub verdict: Vec<u8>,
    /// The salt of its commitment; empty when erased.
    pub verdict_salt: Vec<u8>,
    /// Its commitment, as claimed.
    pub verdict_commitment: Vec<u8>,
    /// Which signed baseline and waivers it rests on, as claimed.
    pub rules: Vec<u8>,
    /// What the node's TPM said with the evidence; empty if nothing, or when erased.
    pub quote: Vec<u8>,
}

/// A whole chain as the controller exports it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Whose.
    pub node: NodeId,
    /// The node's public point.
    pub key_point: Vec<u8>,
    /// The point of the key that quotes for it, by the books; empty if its own key is in no TPM.
    pub attestation_point: Vec<u8>,
    /// Its head, by the books; none before the first verdict.
    pub head: Option<Sha256Digest>,
    /// Its length, by the books.
    pub length: u64,
    /// Its links, in the order they came.
    pub entries: Vec<Entry>,
}

impl Chain {
    /// How many verdicts have lost their evidence, their text, or both.
    pub fn erased(&self) -> u64 {
        let is_erased = |entry: &&Entry| entry.evidence.is_empty() || entry.verdict.is_empty();
        self.entries.iter().filter(is_erased).count() as u64
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which link; 0 for the chain as a whole.
    pub position: u64,
    /// What, for a person.
    pub what: String,
}

/// What is wrong with a chain, in order; nothing if it holds.
pub fn verify(chain: &Chain, checkpoints: &[Checkpoint]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut heads: Vec<Sha256Digest> = Vec::new();
    let (mut counter, mut time) = (0, Timestamp(0));
    for (index, entry) in chain.entries.iter().enumerate() {
        let mut found = |what: &str| {
            findings.push(Finding { position: entry.position, what: what.to_owned() });
        };
        if entry.position != index as u64 + 1 {
            found("a link before it is missing, or links changed places");
        }
        if entry.at < time {
            found("it is older than the link before it");
        }
        time = time.max(entry.at);
        let before = heads.last().copied();
        let head = check_hashes(entry, before, &mut found);
        if !entry.evidence.is_empty() {
            counter = check_evidence(chain, entry, before, counter, &mut found);
        }
        heads.push(head);
    }
    let mut whole = |what: String| findings.push(Finding { position: 0, what });
    if chain.length != heads.len() as u64 || chain.head != heads.last().copied() {
        whole(format!(
            "the books claim {} links and another head than the {} links lead to",
            chain.length,
            heads.len()
        ));
    }
    for checkpoint in checkpoints {
        check_checkpoint(chain.node, &heads, checkpoint, &mut whole);
    }
    findings
}

// Goes on from the recomputed head and not from the claimed one: after one edit every later link is shown as broken too,
// unless somebody recomputed them, which the countersignatures show.
fn check_hashes(entry: &Entry, before: Option<Sha256Digest>, found: &mut impl FnMut(&str)) -> Sha256Digest {
    let digest = |bytes: &[u8]| bytes.try_into().ok().map(Sha256Digest);
    let claimed = (digest(&entry.commitment), digest(&entry.verdict_commitment), digest(&entry.rules));
    let (Some(evidence), Some(verdict), Some(rules)) = claimed else {
        found("its commitments are damaged");
        return Sha256Digest([0; 32]);
    };
    let link = Link { commitment: evidence, verdict, rules, at: entry.at };
    let head = next_head(before, &link);
    if entry.head != head.0 {
        found("its head does not follow from the link before, its evidence, its verdict and its time");
    }
    if !entry.evidence.is_empty() && commitment(&entry.salt, &entry.evidence) != link.commitment {
        found("its evidence is not the one that was judged");
    }
    if entry.verdict.is_empty() {
        return head;
    }
    if commitment(&entry.verdict_salt, &entry.verdict) != link.verdict {
        found("its verdict is not the one that was given");
    }
    match serde_json::from_slice::<Verdict>(&entry.verdict) {
        Ok(verdict) if verdict.at == entry.at => {}
        Ok(_) => found("its verdict is of another time"),
        Err(_) => found("its verdict is none"),
    }
    head
}

fn check_evidence(
    chain: &Chain,
    entry: &Entry,
    before: Option<Sha256Digest>,
    counter: u64,
    found: &mut impl FnMut(&str),
) -> u64 {
    let Ok(evidence) = serde_json::from_slice::<Evidence>(&entry.evidence) else {
        found("its evidence is none");
        return counter;
    };
    if evidence.node != chain.node {
        found("its evidence is another node's");
    }
    if evidence.counter <= counter {
        found("its evidence's counter does not rise");
    }
    let envelope = Envelope {
        payload: entry.evidence.clone(),
        signature: entry.signature.clone(),
        key_id: sha256(&chain.key_point),
    };
    if croft_trust::sign::verify(&envelope, Domain::Evidence, &chain.key_point).is_err() {
        found("its evidence is not signed by the node");
    }
    check_hardware(chain, entry, &evidence, found);
    if evidence.chain_head != before {
        found("the node countersigned another history: it was edited, forked, or the node restored");
    }
    evidence.counter.max(counter)
}

/// What the verdict claims of a TPM, against what that TPM said and what the node signed.
fn check_hardware(chain: &Chain, entry: &Entry, evidence: &Evidence, found: &mut impl FnMut(&str)) {
    // The node names the key that quotes for it: whoever puts another one into the books contradicts that signature.
    let booked = (!chain.attestation_point.is_empty()).then(|| sha256(&chain.attestation_point));
    if evidence.attestation_key != booked {
        found("the node names another attestation key than the books");
    }
    let tier = serde_json::from_slice::<Verdict>(&entry.verdict).ok().map(|verdict| verdict.assurance);
    let claims = |tier: Option<Assurance>, least| tier.is_some_and(|tier| tier >= least);
    if claims(tier, Assurance::UnknownTpm) && booked.is_none() {
        found("its verdict counts a TPM, and the books have none for this node");
    }
    if entry.quote.is_empty() {
        if claims(tier, Assurance::Measured) {
            found("its verdict counts a measured boot, and no quote was kept");
        }
        return;
    }
    let holds = || {
        let point = chain.attestation_point.as_slice().try_into().ok()?;
        let nonce = hex::decode(&evidence.nonce).ok()?;
        let quote = Quote::from_bytes(&entry.quote).ok()?;
        quote.verify(point, &nonce, &entry.evidence).ok()
    };
    if holds().is_none() {
        found("its quote is not what the node's TPM said with this evidence");
    }
}

fn check_checkpoint(
    node: NodeId,
    heads: &[Sha256Digest],
    checkpoint: &Checkpoint,
    whole: &mut impl FnMut(String),
) {
    let Some(then) = checkpoint.heads.iter().find(|head| head.node == node) else { return };
    let now = usize::try_from(then.length).ok().and_then(|length| heads.get(length.checked_sub(1)?));
    if now != Some(&then.head) {
        let at = crate::clock::written(checkpoint.at);
        whole(format!("its history is not the one of the checkpoint of {at}: it was rewritten or cut"));
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
