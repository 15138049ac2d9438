//! What the gateway is told: whether to serve, which models under which names, to whom, and how content is handled.

use croft_domain::bundle::Manifest;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_domain::usage::UsageRules;

use super::{Decisions, Keeper};
use crate::agent::decide::Serving;
use crate::bundles::plan::OwnedDecision;
use crate::state::api_key::{self, Rotate};
use crate::supervisor::policy::{Model, Permission, Policy};

impl Keeper {
    pub(super) fn policy(
        &self,
        served_here: &Decisions,
        serving: &Serving,
        leaving: Option<&BundleRef>,
    ) -> Policy {
        let memory = self.shared.memory();
        let leased = memory.lease.as_ref().map(|held| held.lease.bundles.clone()).unwrap_or_default();
        let mut loaded: Vec<(&Manifest, u32)> = self
            .supervisor
            .loaded()
            .filter(|(bundle, _)| leased.contains(bundle) && leaving != Some(bundle))
            .filter_map(|(bundle, slot)| match served_here.get(bundle) {
                Some(OwnedDecision::Keep { manifest, .. }) => Some((manifest.as_ref(), slot)),
                _ => None,
            })
            .collect();
        // The newest version of a name answers to it, but none that still loads while another serves, and none that only
        // ends its answers: after a step back, that is the newest.
        let loads = |manifest: &Manifest| {
            let progress = memory.bundles.get(&manifest.reference());
            progress.is_none_or(|progress| progress.state != BundleState::Loaded)
        };
        loaded.sort_by_key(|(manifest, _)| {
            let retires = self.retiring_since.contains_key(&manifest.reference());
            (manifest.name.clone(), retires, loads(manifest), std::cmp::Reverse(manifest.version))
        });
        let uids = memory.identity.iter().flat_map(|id| id.enrollment.uids.iter().copied());
        let mut enrolled_uids: Vec<u32> = uids.chain(self.config.gateway.uids.iter().copied()).collect();
        enrolled_uids.sort_unstable();
        enrolled_uids.dedup();
        // A machine that belongs to nobody has no key, and one that left keeps none.
        let is_enrolled = memory.identity.is_some();
        let api_key = is_enrolled.then(|| api_key::get(&self.shared.paths, Rotate::Keep).ok()).flatten();
        let permission = match serving {
            Serving::Yes { until, until_boottime_ms } => {
                Permission::Serve { until: *until, until_boottime_ms: *until_boottime_ms }
            }
            Serving::No(failure) => Permission::Refuse(failure.clone()),
        };
        // What the group's signed baseline says holds for every request here.
        let baseline = memory.baseline();
        let mut usage = baseline.map(|baseline| baseline.usage.clone()).unwrap_or_default();
        // The owner may have models unloaded sooner than the baseline does, and not later.
        let owner_s = Some(self.config.worker.idle_after_s).filter(|seconds| *seconds > 0);
        usage.keep_alive_max_s = usage.keep_alive_max_s.into_iter().chain(owner_s).min();
        Policy {
            permission,
            models: served(&loaded, &usage),
            uids: enrolled_uids,
            api_key_sha256: api_key.as_deref().map(api_key::digest).unwrap_or_default(),
            data_classes: baseline.map(|baseline| baseline.data_classes.clone()).unwrap_or_default(),
            usage,
            origins: self.config.gateway.origins.clone(),
            remote_links: baseline.map(|baseline| baseline.remote_links).unwrap_or_default(),
        }
    }
}

/// What the gateway is told of the loaded models. Each name and alias goes to the first that claims it.
fn served(loaded: &[(&Manifest, u32)], usage: &UsageRules) -> Vec<Model> {
    let mut taken = std::collections::BTreeSet::new();
    let mut models = Vec::new();
    for (manifest, slot) in loaded {
        let name = if taken.insert(manifest.name.to_string()) {
            manifest.name.to_string()
        } else {
            manifest.reference().to_string()
        };
        let aliases =
            manifest.aliases.iter().map(ToString::to_string).filter(|a| taken.insert(a.clone())).collect();
        let Some(file) = manifest.files.first() else { continue };
        models.push(Model {
            name,
            aliases,
            bundle: manifest.reference(),
            digest: file.sha256,
            len_bytes: manifest.len_bytes(),
            architecture: manifest.architecture.clone(),
            context_tokens: manifest.parameters.context_tokens,
            temperature: manifest.parameters.temperature,
            slot: *slot,
            template: manifest.template.source.clone(),
            header: manifest.header.clone(),
            data_class_max: usage.data_class_max_of(&manifest.usage_scope),
            license: manifest.license.id.clone(),
        });
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::plan::tests::manifest;
    use croft_domain::digest::Sha256Digest;

    #[test]
    fn the_newest_version_answers_to_name_and_aliases() {
        let (mut old, mut new) =
            (manifest("a", 1, Sha256Digest([1; 32])), manifest("a", 2, Sha256Digest([2; 32])));
        for manifest in [&mut old, &mut new] {
            manifest.aliases = vec!["chat".parse().expect("an alias"), "embed".parse().expect("an alias")];
        }
        let models = served(&[(&new, 0), (&old, 1)], &UsageRules::default());
        assert_eq!((models[0].name.as_str(), models[1].name.as_str()), ("a", "a@1"));
        assert_eq!(models[0].aliases, ["chat", "embed"]);
        assert!(models[1].aliases.is_empty(), "an alias survives an upgrade by moving to the newer");
    }
}
