//! `recall`: a signed order to stop, effective on receipt. One recall key gives it; taking it back is a document like
//! any other, so it needs as many publishers as approving does.

use croft_domain::id::RecallId;
use croft_domain::limits::{TEXT_LEN_MAX, UNRECALLS_MAX};
use croft_domain::recall::{Recall, RecallTarget, Unrecall};
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_proto::grpc::{ListRecallsRequest, SubmitRecallRequest};
use croft_trust::sign::{sign_envelope, verify_listed};
use serde::Serialize;

use crate::args::{self, RecallWhat};
use crate::client::{Admin, connect, refused, signer, unusable};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName};
use crate::output::{Column, Resource, clean, column, say, wide};
use crate::workbench::Workbench;
use crate::{clock, random};

/// Runs `recall`.
///
/// # Errors
/// There is no such bundle or order, a key cannot be used, or the controller refuses.
pub async fn run(dir: &FleetDir, arguments: args::Recall) -> Result<(), CtlError> {
    let args::Recall { target, reason, undo: is_undo } = arguments;
    if reason.trim().is_empty() || reason.len() > TEXT_LEN_MAX {
        return Err(CtlError::Input {
            what: "--reason".to_owned(),
            expected: format!("1 to {TEXT_LEN_MAX} bytes"),
        });
    }
    let targets = targets(dir, target)?;
    if is_undo { undo(dir, &targets, &reason).await } else { order(dir, targets, &reason).await }
}

async fn order(dir: &FleetDir, targets: Vec<RecallTarget>, reason: &str) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    for target in targets {
        let recall = Recall {
            id: RecallId(random::bytes()?),
            target,
            reason: reason.to_owned(),
            issued_at: clock::now(),
        };
        let payload =
            serde_json::to_vec(&recall).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
        let envelope = sign_envelope(&*signer(dir, KeyName::Recall)?, Domain::Recall, payload)
            .map_err(unusable("use", dir, KeyName::Recall))?;
        // Kept before it is told, so that an archive made here carries it whatever becomes of the connection.
        crate::recalls::keep(dir, recall.id, &envelope)?;
        let request = SubmitRecallRequest { recall: Some(envelope.into()) };
        let answer = admin.submit_recall(request).await.map_err(refused("recall"))?;
        say(&format!("recall {} is in force; {} nodes were told", recall.id, answer.into_inner().nodes_told));
    }
    say("nodes that are away learn of it when they next connect; publishers can take it back: recall --undo");
    Ok(())
}

/// Names the orders that count no longer. An order that the controller withholds here stays in force, which is the safe
/// side; one that it invents is signed by nobody and is refused.
async fn undo(dir: &FleetDir, targets: &[RecallTarget], reason: &str) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    let mut workbench = Workbench::open(dir)?;
    let orders = orders(&mut admin, &workbench).await?;
    let mut unrecalled = workbench.unrecalled()?;
    let at = clock::now();
    let named = orders.iter().filter(|order| targets.contains(&order.target));
    let undone: Vec<Unrecall> = named
        .filter(|order| !order.is_undone(&unrecalled))
        .map(|order| Unrecall {
            recall: order.id,
            target: order.target.clone(),
            reason: reason.to_owned(),
            at,
        })
        .collect();
    if undone.is_empty() {
        return Err(CtlError::NotFound {
            what: "recall in force that names this".to_owned(),
            hint: "croftctl get recalls lists them; name what the order names".to_owned(),
        });
    }
    unrecalled.extend(undone.iter().cloned());
    if unrecalled.len() > UNRECALLS_MAX {
        return Err(CtlError::Input {
            what: "recalls taken back".to_owned(),
            expected: format!("at most {UNRECALLS_MAX}; publish a new version instead"),
        });
    }
    workbench.set_unrecalled(&unrecalled)?;
    workbench.sign(at)?;
    workbench.publish(&mut admin).await?;
    undone.iter().for_each(|one| say(&format!("recall {} of {} is taken back", one.recall, one.target)));
    for order in orders.iter().filter(|order| !order.is_undone(&unrecalled)) {
        say(&format!("still in force: recall {} of {}: {}", order.id, order.target, clean(&order.reason)));
    }
    Ok(())
}

/// Every order that a recall key of the fleet signed, as the controller has them.
async fn orders(admin: &mut Admin, workbench: &Workbench) -> Result<Vec<Recall>, CtlError> {
    let answer = admin.list_recalls(ListRecallsRequest {}).await.map_err(refused("list recalls"))?;
    let keys = &workbench.fleet().recall_keys;
    let mut orders = Vec::new();
    for document in answer.into_inner().recalls {
        let order = Envelope::try_from(document).ok().and_then(|envelope| {
            let order: Recall = serde_json::from_slice(&envelope.payload).ok()?;
            let at = order.issued_at.min(clock::now());
            verify_listed(&envelope, Domain::Recall, keys, at).is_ok().then_some(order)
        });
        match order {
            Some(order) => orders.push(order),
            None => say("warning: the controller lists a recall that no recall key of this fleet signed"),
        }
    }
    Ok(orders)
}

/// One order, as `-o json` writes it.
#[derive(Debug, Serialize)]
pub struct Listed {
    recall: String,
    target: String,
    issued_at: u64,
    state: &'static str,
    reason: String,
}

/// The orders, for `get recalls`.
///
/// # Errors
/// The controller cannot be reached or refuses.
pub async fn listed(dir: &FleetDir, admin: &mut Admin) -> Result<Vec<Listed>, CtlError> {
    let workbench = Workbench::open(dir)?;
    let unrecalled = workbench.unrecalled()?;
    let line = |order: Recall| Listed {
        recall: order.id.to_string(),
        target: order.target.to_string(),
        issued_at: order.issued_at.0,
        state: if order.is_undone(&unrecalled) { "taken back" } else { "in force" },
        reason: clean(&order.reason),
    };
    Ok(orders(admin, &workbench).await?.into_iter().map(line).collect())
}

impl Resource for Listed {
    const COLUMNS: &'static [Column] =
        &[wide("RECALL"), column("TARGET"), column("STATE"), column("ISSUED"), column("REASON")];

    fn cells(&self) -> Vec<String> {
        vec![
            self.recall.clone(),
            self.target.clone(),
            self.state.to_owned(),
            clock::written(Timestamp(self.issued_at)),
            self.reason.clone(),
        ]
    }

    fn name(&self) -> String {
        self.recall.clone()
    }
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
