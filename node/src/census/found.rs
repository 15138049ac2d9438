//! What a census found: everything for this machine's own screen, and of that what leaves.

use std::collections::BTreeSet;

use croft_domain::census::{Finding, Known, ListedModel, ModelCounts, ModelStanding};
use croft_domain::id::CheckName;
use serde::Serialize;

use super::accelerators::Load;
use super::stores::{Model, Scan, StoreFound};

/// A listening port of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortFound {
    /// Which.
    pub port: u16,
    /// Whether only this machine can reach it.
    pub loopback: bool,
    /// Whether the tool was known by its answer there.
    pub answered: bool,
}

/// One tool, for this machine's own screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolFound {
    /// Its rule's name.
    pub tool: CheckName,
    /// Its name for people.
    pub title: String,
    /// As it says itself.
    pub version: Option<String>,
    /// Processes running.
    pub processes: u32,
    /// Accounts that run them.
    pub accounts: BTreeSet<u32>,
    /// Where it listens.
    pub ports: Vec<PortFound>,
    /// Whether it answers under any host name.
    pub host_check_off: bool,
    /// Whether it can hand prompts on to a service outside.
    pub cloud: Known,
    /// Whether it is a tool that has such a service.
    pub has_cloud: bool,
    /// Where it keeps models.
    pub stores: Vec<StoreFound>,
    /// The rule whose stores it uses as well.
    pub shares: Option<CheckName>,
    /// What it does on accelerators.
    pub load: Load,
}

/// Everything that was found, for this machine's own screen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Tool by tool, in the order of names.
    pub tools: Vec<ToolFound>,
    /// Whether there was a list of the fleet to compare models with.
    pub compared: bool,
    /// Whether the home folder could not be read: its stores are then unknown.
    pub home_unread: bool,
    /// Accelerators that can be seen.
    pub accelerators: Vec<String>,
}

/// Most models of one tool that are told by name.
const LISTED_MAX: usize = 32;

/// Longest name of a model that is told, in characters.
const NAME_CHARS_MAX: usize = 96;

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl ToolFound {
    /// Whether other machines can reach it.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.ports.iter().any(|port| !port.loopback)
    }

    /// Every model in its stores.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.stores.iter().flat_map(|store| &store.models)
    }

    fn counts(&self) -> ModelCounts {
        let mut counts = ModelCounts::default();
        for model in self.models() {
            counts.add(model.standing.unwrap_or(ModelStanding::Unknown));
            counts.refused += u32::from(model.scan == Some(Scan::Refused));
        }
        counts
    }
}

impl Census {
    /// What leaves this machine: nothing that names a model, a file or a person.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let findings = self.tools.iter().map(|found| Finding {
            tool: found.tool.clone(),
            processes: found.processes,
            ports: found.ports.iter().map(|port| port.port).collect(),
            exposed: found.is_exposed(),
            host_check_off: found.host_check_off,
            cloud: found.cloud,
            models: found.counts(),
            unread: found.stores.iter().any(|store| store.unread.is_some()),
            listed: Vec::new(),
        });
        findings.collect()
    }

    /// The same with the models by name: only for where their owner agreed.
    #[must_use]
    pub fn findings_by_name(&self) -> Vec<Finding> {
        let mut findings = self.findings();
        for (finding, found) in findings.iter_mut().zip(&self.tools) {
            let listed = found.models().take(LISTED_MAX).map(|model| {
                // A folder's name can be a person's or a project's; a model's own name is what was agreed to.
                let own = if model.sha256.is_some() { &model.name } else { base_name(&model.name) };
                let name = own.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
                ListedModel { name, sha256: model.sha256 }
            });
            finding.listed = listed.collect();
        }
        findings
    }
}
