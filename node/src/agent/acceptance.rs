//! The acceptable-use policy: which one the baseline in force demands, its signed text, and whether it was accepted.

use croft_domain::acceptance::Acceptance;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::fact::{Confidence, Fact, Observation};
use croft_domain::id::PolicyRef;
use croft_trust::digest::sha256;

use super::memory::{Memory, Shared};
use crate::clock;
use crate::failure::Failure;
use crate::state::acceptance;

/// What the baseline in force demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demanded {
    /// Which policy.
    pub policy: PolicyRef,
    /// Its text with the text's SHA-256; none if no signed target holds it.
    pub text: Option<(String, Sha256Digest)>,
    /// The acceptance of that very text, if there is one.
    pub accepted: Option<Acceptance>,
}

/// What is demanded here, if anything is.
#[must_use]
pub fn demanded(memory: &Memory) -> Option<Demanded> {
    let policy = memory.baseline()?.policy.clone()?;
    let text = memory.trust.as_ref().and_then(|trust| trust.policies.get(&policy));
    let text = text.map(|text| (text.clone(), sha256(text.as_bytes())));
    let accepted = memory.accepted.clone().zip(text.as_ref());
    let accepted = accepted.filter(|(accepted, (_, sha256))| accepted.covers(&policy, sha256));
    Some(Demanded { policy, accepted: accepted.map(|(accepted, _)| accepted), text })
}

/// Why nothing is served before somebody accepts, if so.
#[must_use]
pub fn refusal(memory: &Memory) -> Option<Failure> {
    let Demanded { policy, text, accepted } = demanded(memory)?;
    let reason = match (accepted, text) {
        (Some(_), _) => return None,
        (None, Some(_)) => format!("nobody here accepted the policy {policy} yet; run `croft accept-policy`"),
        (None, None) => format!("the baseline demands the policy {policy}, which no signed document holds"),
    };
    Some(Failure::new(Code::PolicyNotAccepted, reason))
}

/// The fact for the check `policy-acceptance`.
#[must_use]
pub fn fact(memory: &Memory) -> Option<Fact> {
    let Demanded { policy, accepted, .. } = demanded(memory)?;
    Some(Fact {
        check: "policy-acceptance".parse().expect("a constant name"),
        subject: policy.to_string(),
        observation: Observation::Flag { value: accepted.is_some() },
        method: "signed-on-the-node".to_owned(),
        confidence: Confidence::Table,
        trace: Vec::new(),
    })
}

/// Takes somebody's yes to the text with that digest: signed by the node's key, kept, and told with the next evidence.
///
/// # Errors
/// `E-NOT-ENROLLED`, `E-CONFLICT` if another text is demanded by now, or if it cannot be kept.
pub fn accept(shared: &Shared, shown: &Sha256Digest, uid: u32) -> Result<(), Failure> {
    let (identity, demanded) = {
        let memory = shared.memory();
        let not_enrolled = || Failure::new(Code::NotEnrolled, "this machine is not enrolled");
        (memory.identity.clone().ok_or_else(not_enrolled)?, demanded(&memory))
    };
    let current = demanded.and_then(|demanded| Some((demanded.policy, demanded.text?.1)));
    let Some((policy, sha256)) = current.filter(|(_, sha256)| sha256 == shown) else {
        return Err(Failure::new(Code::Conflict, "another text is demanded by now; read that one first"));
    };
    let accepted = Acceptance { node: identity.enrollment.node, policy, sha256, uid, at: clock::now() };
    acceptance::save(&shared.paths, &identity.key, &accepted).map_err(|e| Failure::caused(e.code(), &e))?;
    tracing::info!(policy = %accepted.policy, uid, "policy accepted");
    shared.memory().accepted = Some(accepted);
    shared.changed();
    shared.attest.notify_one();
    Ok(())
}
