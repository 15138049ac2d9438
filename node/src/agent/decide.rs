//! Whether this node may serve now: one pure function, asked every second and at every change.

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_domain::lease::LeaseError;
use croft_domain::limits::CLOCK_SKEW_MAX_S;
use croft_domain::time::Timestamp;

use crate::failure::Failure;
use crate::state::lease::HeldLease;
use crate::supervisor::proof::Proof;

/// Everything that serving depends on.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// Who we are; none if not enrolled.
    pub node: Option<(NodeId, Sha256Digest)>,
    /// Why the fleet no longer has us, if so.
    pub revoked: Option<&'a str>,
    /// Whether the user paused.
    pub paused: bool,
    /// Damage that nothing may be built on.
    pub broken: Option<&'a Failure>,
    /// When the trust metadata expires; none before the first.
    pub metadata_expires_at: Option<Timestamp>,
    /// Whether the signed fleet document has a policy for our group.
    pub has_policy: bool,
    /// The check that blocks, in the last verdict of either side.
    pub blocked_by: Option<&'a str>,
    /// Why this machine's worker may not run, if so: recalled, in no signed runtime, or too old.
    pub runtime_refused: Option<&'a Failure>,
    /// SHA-256 of the worker executable, which the lease must name.
    pub runtime: Option<&'a Sha256Digest>,
    /// Why the policy that the baseline demands is not accepted, if so.
    pub not_accepted: Option<&'a Failure>,
    /// What the gateway proved.
    pub gateway_proof: Option<&'a Proof>,
    /// How the lease falls below the group's signed policy, if it does.
    pub below_floor: Option<&'a str>,
    /// The lease, its signature verified.
    pub lease: Option<&'a HeldLease>,
    /// Newest signed time that was ever seen.
    pub latest_seen: Timestamp,
    /// Now, by the clock that the user can set.
    pub now: Timestamp,
    /// Now, in milliseconds since boot.
    pub boottime_ms: u64,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It may serve.
    Yes {
        /// Until then at the latest, by the wall clock.
        until: Timestamp,
        /// And until then, in milliseconds since boot.
        until_boottime_ms: u64,
    },
    /// It may not, and this is what a caller is told.
    No(Failure),
}

impl Serving {
    /// The refusal, if it is one.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Failure> {
        match self {
            Self::Yes { .. } => None,
            Self::No(failure) => Some(failure),
        }
    }
}

/// Decides. What a person can mend is named before what follows from it.
#[must_use]
pub fn decide(standing: &Standing<'_>) -> Serving {
    match permit(standing) {
        Ok((until, until_boottime_ms)) => Serving::Yes { until, until_boottime_ms },
        Err(failure) => Serving::No(failure),
    }
}

fn permit(standing: &Standing<'_>) -> Result<(Timestamp, u64), Failure> {
    let Some((node, node_key)) = standing.node else {
        return Err(Failure::new(Code::NotEnrolled, "this machine is not enrolled"));
    };
    let no = |code, reason: &str| Err(Failure::new(code, reason));
    if let Some(reason) = standing.revoked {
        return no(Code::NodeRevoked, reason);
    }
    if standing.paused {
        return no(Code::Paused, "paused by its user");
    }
    if let Some(broken) = standing.broken {
        return Err(broken.clone());
    }
    if is_clock_behind(standing.now, standing.latest_seen) {
        return no(Code::ClockBehind, "this machine's clock is behind a time that was already signed");
    }
    if let Some(refused) = standing.runtime_refused {
        return Err(refused.clone());
    }
    match standing.gateway_proof {
        None => return no(Code::SandboxUnproven, "the gateway has not proven its sandbox yet"),
        Some(proof) if !proof.holds() => {
            let open = format!("the kernel did not refuse the gateway: {}", proof.open());
            return no(Code::SandboxUnproven, &open);
        }
        Some(_) => {}
    }
    let Some(metadata_expires_at) = standing.metadata_expires_at else {
        return no(Code::TrustExpired, "no signed metadata has been received yet");
    };
    if standing.now.max(standing.latest_seen) >= metadata_expires_at {
        return no(Code::TrustExpired, "the signed metadata has expired");
    }
    if !standing.has_policy {
        return no(Code::Unapproved, "the signed fleet document knows no group of this name");
    }
    if let Some(not_accepted) = standing.not_accepted {
        return Err(not_accepted.clone());
    }
    if let Some(check) = standing.blocked_by {
        return no(Code::NotCompliant, check);
    }
    if let Some(reason) = standing.below_floor {
        return no(Code::PolicyFloor, reason);
    }
    let Some(held) = standing.lease else {
        return no(Code::LeaseNone, "no lease yet: the controller has not seen this machine pass its checks");
    };
    held.lease
        .check(node, &node_key, standing.now, standing.latest_seen)
        .and_then(|()| held.lease.check_runtime(standing.runtime))
        .map_err(|e| Failure::new(code_of(&e), e.to_string()))?;
    if standing.boottime_ms >= held.boottime_deadline_ms {
        return no(Code::LeaseExpired, "the lease ended, by the time since boot");
    }
    let until = held.lease.expires_at.min(metadata_expires_at);
    let left_ms = until.since(standing.now).saturating_mul(1000);
    let until_boottime_ms = held.boottime_deadline_ms.min(standing.boottime_ms.saturating_add(left_ms));
    Ok((until, until_boottime_ms))
}

/// Whether the clock was set back: behind a signed time by more than honest clocks differ.
#[must_use]
pub const fn is_clock_behind(now: Timestamp, latest_seen: Timestamp) -> bool {
    latest_seen.since(now) > CLOCK_SKEW_MAX_S
}

pub(super) const fn code_of(error: &LeaseError) -> Code {
    match error {
        LeaseError::NotCompliant => Code::NotCompliant,
        LeaseError::MetadataExpired => Code::TrustExpired,
        LeaseError::OtherRuntime => Code::LeaseNone,
        LeaseError::OtherNode | LeaseError::TooLong => Code::TrustForged,
        LeaseError::Expired { .. } => Code::LeaseExpired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::fact::Attempt;
    use croft_domain::id::{LeaseId, VerdictId};
    use croft_domain::lease::Lease;
    use croft_domain::signed::Envelope;

    const NOW: Timestamp = Timestamp(1_000_000);
    const KEY: Sha256Digest = Sha256Digest([7; 32]);

    fn proof() -> Proof {
        Proof {
            layers: vec!["seccomp".parse().expect("a name")],
            attempts: vec![Attempt {
                name: "tcp-connect".parse().expect("a name"),
                errno: Some("EPERM".to_owned()),
            }],
        }
    }

    fn lease(expires_at: Timestamp) -> HeldLease {
        let lease = Lease {
            id: LeaseId([1; 16]),
            node: NodeId([2; 16]),
            node_key: KEY,
            verdict: VerdictId([3; 16]),
            evidence: KEY,
            runtime: Some(KEY),
            baseline: "base@1".parse().expect("a reference"),
            bundles: Vec::new(),
            issued_at: NOW.minus(10),
            expires_at,
        };
        let envelope = Envelope { payload: Vec::new(), signature: Vec::new(), key_id: KEY };
        HeldLease::new(envelope, lease, NOW, 5_000)
    }

    fn standing<'a>(proof: &'a Proof, lease: &'a HeldLease) -> Standing<'a> {
        Standing {
            node: Some((NodeId([2; 16]), KEY)),
            revoked: None,
            paused: false,
            broken: None,
            metadata_expires_at: Some(NOW.plus(1000)),
            has_policy: true,
            blocked_by: None,
            runtime_refused: None,
            below_floor: None,
            runtime: Some(&KEY),
            not_accepted: None,
            gateway_proof: Some(proof),
            lease: Some(lease),
            latest_seen: NOW.minus(10),
            now: NOW,
            boottime_ms: 5_000,
        }
    }

    fn code(standing: &Standing<'_>) -> Option<Code> {
        decide(standing).refusal().map(Failure::code)
    }

    #[test]
    fn p4_serving_needs_every_condition_and_ends_with_the_first_that_ends() {
        let (proof, held) = (proof(), lease(NOW.plus(100)));
        let good = standing(&proof, &held);
        assert_eq!(decide(&good), Serving::Yes { until: NOW.plus(100), until_boottime_ms: 105_000 });
        let bad = Proof { layers: Vec::new(), ..proof.clone() };
        let damage = Failure::new(Code::StateCorrupt, "damaged");
        let unread = Failure::new(Code::PolicyNotAccepted, "unread");
        let refused = Failure::new(Code::Recalled, "cve");
        for (broken, expected) in [
            (Standing { node: None, ..good.clone() }, Code::NotEnrolled),
            (Standing { revoked: Some("lost"), ..good.clone() }, Code::NodeRevoked),
            (Standing { paused: true, ..good.clone() }, Code::Paused),
            (Standing { broken: Some(&damage), ..good.clone() }, Code::StateCorrupt),
            (Standing { metadata_expires_at: None, ..good.clone() }, Code::TrustExpired),
            (Standing { metadata_expires_at: Some(NOW), ..good.clone() }, Code::TrustExpired),
            (Standing { has_policy: false, ..good.clone() }, Code::Unapproved),
            (Standing { blocked_by: Some("disk"), ..good.clone() }, Code::NotCompliant),
            (Standing { not_accepted: Some(&unread), ..good.clone() }, Code::PolicyNotAccepted),
            (Standing { runtime_refused: Some(&refused), ..good.clone() }, Code::Recalled),
            (Standing { below_floor: Some("lax@1"), ..good.clone() }, Code::PolicyFloor),
            (Standing { gateway_proof: None, ..good.clone() }, Code::SandboxUnproven),
            (Standing { gateway_proof: Some(&bad), ..good.clone() }, Code::SandboxUnproven),
            (Standing { lease: None, ..good.clone() }, Code::LeaseNone),
            (Standing { runtime: None, ..good.clone() }, Code::LeaseNone),
            (Standing { node: Some((NodeId([9; 16]), KEY)), ..good.clone() }, Code::TrustForged),
        ] {
            assert_eq!(code(&broken), Some(expected));
        }
    }

    #[test]
    fn p4_the_lease_ends_in_the_second_it_says() {
        let (proof, held) = (proof(), lease(NOW.plus(100)));
        let good = standing(&proof, &held);
        let at = |now| code(&Standing { now, ..good.clone() });
        assert_eq!(at(NOW.plus(99)), None);
        assert_eq!(at(NOW.plus(100)), Some(Code::LeaseExpired));
        // Metadata that ends sooner ends serving sooner.
        let short = Standing { metadata_expires_at: Some(NOW.plus(50)), ..good.clone() };
        assert!(matches!(decide(&short), Serving::Yes { until, .. } if until == NOW.plus(50)));
    }

    #[test]
    fn p8_a_controller_that_is_down_for_a_day_is_not_an_incident() {
        // The shortest lease of the templates; evidence was due when the controller went away.
        let proof = proof();
        let mut held = lease(NOW.plus(2 * 86_400));
        held.boottime_deadline_ms = 2 * 86_400_000;
        let good = standing(&proof, &held);
        let good = Standing { metadata_expires_at: Some(NOW.plus(14 * 86_400)), boottime_ms: 0, ..good };
        let back = crate::limits::ATTEST_EVERY_S + 86_400;
        for gone in (0..=back).step_by(600) {
            let then = Standing { now: NOW.plus(gone), boottime_ms: gone * 1000, ..good.clone() };
            assert_eq!(code(&then), None, "after {gone} s");
        }
    }

    #[test]
    fn p4_setting_the_clock_back_gains_nothing() {
        let (proof, held) = (proof(), lease(NOW.plus(100)));
        let good = standing(&proof, &held);
        // A day back is behind the newest signed time.
        let back = Standing { now: NOW.minus(86_400), ..good.clone() };
        assert_eq!(code(&back), Some(Code::ClockBehind));
        // A little back is not, but the time since boot goes on.
        let little = Standing { now: NOW.minus(60), boottime_ms: 105_000, ..good.clone() };
        assert_eq!(code(&little), Some(Code::LeaseExpired));
        // A later signed time counts as now.
        let seen = Standing { latest_seen: NOW.plus(200), ..good.clone() };
        assert_eq!(code(&seen), Some(Code::LeaseExpired));
    }
}
