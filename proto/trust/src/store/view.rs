//! From verified bytes to the domain's types. A signed document that contradicts itself or its name is refused like a
//! forged one: a mistake at signing must not become a policy.

use std::collections::BTreeMap;

use croft_domain::baseline::Baseline;
use croft_domain::bundle::Manifest;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::TrustSeen;
use croft_domain::fleet::Fleet;
use croft_domain::id::{BaselineRef, BundleName, BundleRef, PolicyRef, RuntimeRef};
use croft_domain::limits::{POLICY_LEN_MAX, TEXT_LEN_MAX, UNRECALLS_MAX};
use croft_domain::recall::{Recall, Unrecall};
use croft_domain::runtime::{self, Runtime, RuntimeRefusal};
use croft_domain::time::Timestamp;
use croft_domain::waiver::Waiver;
use serde::de::DeserializeOwned;

use super::TrustError;
use super::floors::Floors;
use super::verify::Verified;
use crate::digest::sha256;

/// A bundle that the publishers approved.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovedBundle {
    /// What it consists of.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's exact bytes, which receipts and evidence name.
    pub sha256: Sha256Digest,
}

/// Everything that the fleet's keys say, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustView {
    /// Of which versions.
    pub versions: TrustSeen,
    /// Earliest expiry of root, targets, snapshot and timestamp.
    pub expires_at: Timestamp,
    /// When the timestamp was signed.
    pub signed_at: Timestamp,
    /// The fleet document.
    pub fleet: Fleet,
    /// Approved bundles. One whose epoch is below another's of the same name is left out.
    pub bundles: BTreeMap<BundleRef, ApprovedBundle>,
    /// Approved baselines.
    pub baselines: BTreeMap<BaselineRef, Baseline>,
    /// SHA-256 of each, as signed.
    pub baseline_digests: BTreeMap<BaselineRef, Sha256Digest>,
    /// Texts that people accept.
    pub policies: BTreeMap<PolicyRef, String>,
    /// Published runtimes.
    pub runtimes: BTreeMap<RuntimeRef, Runtime>,
    /// Waivers, current or not.
    pub waivers: Vec<Waiver>,
    /// SHA-256 of their document, as signed; none where nobody ever waived anything.
    pub waivers_sha256: Option<Sha256Digest>,
    /// Recalls that the publishers took back.
    pub unrecalled: Vec<Unrecall>,
}

impl TrustView {
    /// What a judgment by this baseline rests on, as a verdict chain commits to it: the signed baseline and the signed
    /// waivers.
    #[must_use]
    pub fn rules(&self, baseline: &BaselineRef) -> Sha256Digest {
        let none = Sha256Digest([0; 32]);
        let baseline = self.baseline_digests.get(baseline).unwrap_or(&none);
        crate::chain::rules(baseline, self.waivers_sha256.as_ref())
    }

    /// Whether a worker may be started under `baseline`; see [`runtime::check`].
    ///
    /// # Errors
    /// [`RuntimeRefusal`] says why not.
    pub fn check_runtime(
        &self,
        worker: Option<&Sha256Digest>,
        baseline: Option<&Baseline>,
    ) -> Result<(), RuntimeRefusal> {
        let none = BTreeMap::new();
        let minimum = baseline.map_or(&none, |baseline| &baseline.runtime_minimum);
        runtime::check(worker, self.runtimes.values(), minimum)
    }

    /// Whether a recall counts: until the publishers take it back, whoever brings it.
    #[must_use]
    pub fn obeys(&self, recall: &Recall) -> bool {
        !recall.is_undone(&self.unrecalled)
    }

    /// What accepting this view raises the floors to.
    pub(super) fn floors(&self) -> Floors {
        Floors {
            versions: self.versions,
            fleet_epoch: self.fleet.epoch,
            bundle_epochs: highest_epochs(&self.bundles),
            signed_at: self.signed_at,
        }
    }
}

/// Builds the view from `documents` (`HEX.name` to bytes), whose digests were checked against `verified`.
pub(super) fn build(
    verified: &Verified,
    documents: &BTreeMap<String, Vec<u8>>,
) -> Result<TrustView, TrustError> {
    let (mut fleet, mut waivers, mut unrecalled) = (None, Vec::new(), Vec::new());
    let (mut bundles, mut baselines, mut runtimes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut policies, mut baseline_digests) = (BTreeMap::new(), BTreeMap::new());
    let mut waivers_sha256 = None;
    for (served, bytes) in documents {
        let name = served.split_once('.').map_or(served.as_str(), |(_, name)| name);
        match Kind::of(name)? {
            Kind::Fleet => {
                let document: Fleet = parse(name, bytes)?;
                document.validate().map_err(|error| TrustError::malformed(name, error))?;
                fleet = Some(document);
            }
            Kind::Waivers => {
                waivers = parse_waivers(name, bytes)?;
                waivers_sha256 = Some(sha256(bytes));
            }
            Kind::Unrecalled => unrecalled = parse_unrecalled(name, bytes)?,
            Kind::Bundle(reference) => {
                let approved = parse_bundle(name, bytes, &reference)?;
                bundles.insert(reference, approved);
            }
            Kind::Baseline(reference) => {
                let document: Baseline = parse(name, bytes)?;
                document.validate().map_err(|error| TrustError::malformed(name, error))?;
                check_name(name, document.reference() == reference)?;
                baseline_digests.insert(reference.clone(), sha256(bytes));
                baselines.insert(reference, document);
            }
            Kind::Policy(reference) => {
                policies.insert(reference, parse_policy(name, bytes)?);
            }
            Kind::Runtime(reference) => {
                let document: Runtime = parse(name, bytes)?;
                document.validate().map_err(|error| TrustError::malformed(name, error))?;
                check_name(name, document.reference() == reference)?;
                runtimes.insert(reference, document);
            }
            // Kept and served, for newer programs and for people: bills of materials.
            Kind::Other => {}
        }
    }
    let fleet = fleet.ok_or_else(|| TrustError::Missing { name: "fleet.json".to_owned() })?;
    let highest = highest_epochs(&bundles);
    bundles.retain(|reference, approved| approved.manifest.epoch == highest[&reference.name]);
    Ok(TrustView {
        versions: verified.versions,
        expires_at: verified.expires.iter().map(|(_, at)| *at).min().unwrap_or_default(),
        signed_at: verified.signed_at,
        fleet,
        bundles,
        baselines,
        baseline_digests,
        policies,
        runtimes,
        waivers,
        waivers_sha256,
        unrecalled,
    })
}

fn highest_epochs(bundles: &BTreeMap<BundleRef, ApprovedBundle>) -> BTreeMap<BundleName, u32> {
    let mut highest = BTreeMap::new();
    for (reference, approved) in bundles {
        let epoch = highest.entry(reference.name.clone()).or_insert(0);
        *epoch = approved.manifest.epoch.max(*epoch);
    }
    highest
}

enum Kind {
    Fleet,
    Waivers,
    Unrecalled,
    Bundle(BundleRef),
    Baseline(BaselineRef),
    Policy(PolicyRef),
    Runtime(RuntimeRef),
    Other,
}

impl Kind {
    fn of(name: &str) -> Result<Self, TrustError> {
        if name == "fleet.json" {
            return Ok(Self::Fleet);
        }
        if name == "waivers.json" {
            return Ok(Self::Waivers);
        }
        if name == "unrecalled.json" {
            return Ok(Self::Unrecalled);
        }
        let reference = |text: &str| {
            let (name, version) = text.strip_suffix(".json")?.rsplit_once('.')?;
            Some(format!("{name}@{version}"))
        };
        // The text is compared with what it parsed to, so that one reference has one name: no `01`, no `+1`.
        let unreadable = || TrustError::malformed(name, "expected KIND.NAME.VERSION.json");
        if let Some(text) = name.strip_prefix("bundle.") {
            let text = reference(text).ok_or_else(unreadable)?;
            let parsed: BundleRef = text.parse().map_err(|_| unreadable())?;
            return if parsed.to_string() == text { Ok(Self::Bundle(parsed)) } else { Err(unreadable()) };
        }
        if let Some(text) = name.strip_prefix("baseline.") {
            let text = reference(text).ok_or_else(unreadable)?;
            let parsed: BaselineRef = text.parse().map_err(|_| unreadable())?;
            return if parsed.to_string() == text { Ok(Self::Baseline(parsed)) } else { Err(unreadable()) };
        }
        if let Some(text) = name.strip_prefix("policy.") {
            let expected = || TrustError::malformed(name, "expected policy.NAME.VERSION.md");
            let (head, version) =
                text.strip_suffix(".md").and_then(|text| text.rsplit_once('.')).ok_or_else(expected)?;
            let text = format!("{head}@{version}");
            let parsed: PolicyRef = text.parse().map_err(|_| expected())?;
            return if parsed.to_string() == text { Ok(Self::Policy(parsed)) } else { Err(expected()) };
        }
        if let Some(text) = name.strip_prefix("runtime.") {
            let text = reference(text).ok_or_else(unreadable)?;
            let parsed: RuntimeRef = text.parse().map_err(|_| unreadable())?;
            return if parsed.to_string() == text { Ok(Self::Runtime(parsed)) } else { Err(unreadable()) };
        }
        Ok(Self::Other)
    }
}

fn parse_bundle(name: &str, bytes: &[u8], reference: &BundleRef) -> Result<ApprovedBundle, TrustError> {
    let manifest: Manifest = parse(name, bytes)?;
    manifest.validate().map_err(|error| TrustError::malformed(name, error))?;
    check_name(name, manifest.reference() == *reference)?;
    // The domain crate cannot hash. Whoever reads `template.sha256` may rely on it from here on.
    if sha256(manifest.template.source.as_bytes()) != manifest.template.sha256 {
        return Err(TrustError::malformed(name, "template.sha256 is not that of template.source"));
    }
    Ok(ApprovedBundle { manifest, sha256: sha256(bytes) })
}

fn parse_waivers(name: &str, bytes: &[u8]) -> Result<Vec<Waiver>, TrustError> {
    let waivers: Vec<Waiver> = parse(name, bytes)?;
    let mut ids = std::collections::BTreeSet::new();
    for waiver in &waivers {
        if !ids.insert(waiver.id) {
            return Err(TrustError::malformed(name, format_args!("waiver {} is listed twice", waiver.id)));
        }
        if waiver.reason.is_empty() || waiver.reason.len() > TEXT_LEN_MAX {
            return Err(TrustError::malformed(name, "a reason has 1 to 1024 bytes"));
        }
    }
    Ok(waivers)
}

fn parse_unrecalled(name: &str, bytes: &[u8]) -> Result<Vec<Unrecall>, TrustError> {
    let unrecalled: Vec<Unrecall> = parse(name, bytes)?;
    if unrecalled.len() > UNRECALLS_MAX {
        return Err(TrustError::malformed(name, "at most 1024 recalls are undone at once"));
    }
    if unrecalled.iter().any(|undone| undone.reason.is_empty() || undone.reason.len() > TEXT_LEN_MAX) {
        return Err(TrustError::malformed(name, "a reason has 1 to 1024 bytes"));
    }
    Ok(unrecalled)
}

/// A text that a person is shown on a terminal: nothing in it may steer one.
fn parse_policy(name: &str, bytes: &[u8]) -> Result<String, TrustError> {
    let text = std::str::from_utf8(bytes).map_err(|error| TrustError::malformed(name, error))?;
    let steers = text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t'));
    if text.trim().is_empty() || text.len() > POLICY_LEN_MAX || steers {
        return Err(TrustError::malformed(
            name,
            "a policy is 1 byte to 64 KiB of text without control characters",
        ));
    }
    Ok(text.to_owned())
}

fn check_name(name: &str, same: bool) -> Result<(), TrustError> {
    if same { Ok(()) } else { Err(TrustError::malformed(name, "the document names another")) }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, TrustError> {
    serde_json::from_slice(bytes).map_err(|error| TrustError::malformed(name, error))
}
