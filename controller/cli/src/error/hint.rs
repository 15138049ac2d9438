//! What to do next, for each failure.

use croft_domain::code::Code;
use croft_trust::repository::RepositoryError;

use super::CtlError;

impl CtlError {
    /// What to do next. Codes have hints for a node's user; where the admin must do something else, it is said here.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { hint, .. }
            | Self::Conflict { hint, .. }
            | Self::Unapproved { hint, .. }
            | Self::Evidence { hint, .. }
            | Self::NotCompliant { hint, .. } => {
                hint.clone()
            }
            Self::FleetExists { .. } | Self::FleetMissing { .. } | Self::FleetIncomplete { .. } => {
                self.folder_hint()
            }
            Self::FileRead { .. } => "check the path and its permissions".to_owned(),
            Self::FileWrite { .. } if self.code() == Code::DiskFull => self.code().hint().to_owned(),
            Self::FileWrite { .. } => "check the folder's permissions and free space".to_owned(),
            Self::FileParse { .. } => "restore it from the backup of this folder".to_owned(),
            Self::Repository { source, .. } => match source.downcast_ref::<RepositoryError>() {
                Some(RepositoryError::Handover(_) | RepositoryError::Unverified { .. }) => {
                    "ask the other publisher for a new handover.json, and compare notes before anybody signs"
                }
                Some(RepositoryError::KeysMissing { .. }) => {
                    "the key on this machine is not one of that role's; croftctl trust status shows whose are"
                }
                _ => "restore the repository folder from backup, or look at croftctl trust status",
            }
            .to_owned(),
            Self::Renderer { .. } => {
                "nodes could not serve it either; import it with another --template, or update croft-worker".to_owned()
            }
            Self::Vetting { .. } => {
                "the file was not judged, so it was not taken in; import needs Linux with seccomp".to_owned()
            }
            Self::Oms { .. } => {
                "get model, signature and key from the publisher again, each by its own way; do not import meanwhile"
                    .to_owned()
            }
            Self::Refusing { .. } => {
                "the repository is older than what this machine has signed; restore the newest copy of it".to_owned()
            }
            Self::SourceChanged { .. } => "import it again; what was approved are the old bytes".to_owned(),
            Self::WrongDigest { .. } => {
                "the store is damaged or was tampered with; get the model from its publisher again".to_owned()
            }
            Self::Link { code: Code::Unreachable, .. } => {
                "check that the controller runs and that its address in fleet.toml is right".to_owned()
            }
            Self::Chain { .. } => {
                "the controller's database was edited or restored from an older backup; keep a copy of it as it is, and \
                 compare it with a backup"
                    .to_owned()
            }
            Self::NotPublished { .. } => {
                "nothing is lost: when the cause is gone, publish with croftctl trust refresh".to_owned()
            }
            Self::Key { source, .. } => source
                .downcast_ref::<croft_trust::sign::KeyError>()
                .map_or_else(|| self.code().hint(), croft_trust::sign::KeyError::hint)
                .to_owned(),
            _ => self.code().hint().to_owned(),
        }
    }

    /// What to do about a folder that is another fleet's, none's, or lost a part.
    fn folder_hint(&self) -> String {
        match self {
            Self::FleetExists { .. } => {
                "name another folder with --config; a fleet's keys are never overwritten".to_owned()
            }
            Self::FleetMissing { has_keys: true, .. } => {
                "keys were made here for a fleet to join: croftctl trust join FILE; if this was a fleet's folder, restore \
                 it from its backup"
                    .to_owned()
            }
            Self::FleetIncomplete { lacks, .. } => format!(
                "restore {lacks} from the backup of this folder; without one, croftctl trust join in a new folder \
                 takes the fleet over from a key holder's export, and keys/ can be copied there"
            ),
            _ => "run croftctl init --solo --bootstrap FILE, or name the fleet's folder with --config".to_owned(),
        }
    }
}
