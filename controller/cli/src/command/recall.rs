//! `recall`: a signed order to stop, effective on receipt.

use croft_domain::id::RecallId;
use croft_domain::limits::TEXT_LEN_MAX;
use croft_domain::recall::{Recall, RecallTarget};
use croft_domain::signed::Domain;
use croft_proto::grpc::SubmitRecallRequest;
use croft_trust::sign::sign_envelope;

use crate::args::{self, RecallWhat};
use crate::client::{connect, refused, signer, unusable};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName};
use crate::output::say;
use crate::workbench::Workbench;
use crate::{clock, random};

/// Runs `recall`.
///
/// # Errors
/// There is no such bundle, the recall key cannot be used, or the controller refuses.
pub async fn run(dir: &FleetDir, arguments: args::Recall) -> Result<(), CtlError> {
    let args::Recall { target, reason } = arguments;
    if reason.trim().is_empty() || reason.len() > TEXT_LEN_MAX {
        return Err(CtlError::Input {
            what: "--reason".to_owned(),
            expected: format!("1 to {TEXT_LEN_MAX} bytes"),
        });
    }
    let targets = targets(dir, target)?;
    let mut admin = connect(dir).await?;
    for target in targets {
        let recall = Recall {
            id: RecallId(random::bytes()?),
            target,
            reason: reason.clone(),
            issued_at: clock::now(),
        };
        let payload =
            serde_json::to_vec(&recall).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
        let envelope = sign_envelope(&*signer(dir, KeyName::Recall)?, Domain::Recall, payload)
            .map_err(unusable("use", dir, KeyName::Recall))?;
        let request = SubmitRecallRequest { recall: Some(envelope.into()) };
        let answer = admin.submit_recall(request).await.map_err(refused("recall"))?;
        say(&format!("recall {} is in force; {} nodes were told", recall.id, answer.into_inner().nodes_told));
    }
    say("nodes that are away learn of it when they next connect; only a new version brings a model back");
    Ok(())
}

/// What the orders will name. A recall of a name that nobody has would look like success and stop nothing.
fn targets(dir: &FleetDir, what: RecallWhat) -> Result<Vec<RecallTarget>, CtlError> {
    let missing = |what: String, hint: &str| CtlError::NotFound { what, hint: hint.to_owned() };
    match what {
        RecallWhat::Target(RecallTarget::Bundle(bundle)) => {
            if Workbench::open(dir)?.bundle(&bundle)?.is_none() {
                let hint = "croftctl get bundles lists them; bytes can be recalled by sha256:…";
                return Err(missing(format!("approved bundle {bundle}"), hint));
            }
            Ok(vec![RecallTarget::Bundle(bundle)])
        }
        RecallWhat::Target(target) => Ok(vec![target]),
        RecallWhat::Runtime(runtime) => {
            let hint = "croftctl runtime publish signs one; a worker can be recalled by runtime:sha256:…";
            let found = Workbench::open(dir)?.runtime(&runtime)?;
            let found = found.ok_or_else(|| missing(format!("signed runtime {runtime}"), hint))?;
            Ok(found.files.into_iter().map(RecallTarget::Runtime).collect())
        }
    }
}
