//! Taking in an archive that crossed an air gap. It says the same things as the controller would, and is believed as
//! little: the same trust store with its floors, the same linter, the same chunks, the same recalls.
//!
//! All of it or nothing: metadata is judged first and taken over last, bytes wait in quarantine meanwhile. Only a recall
//! that verifies counts at once, because it can only stop things.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::BundleRef;
use croft_domain::recall::Recall;
use croft_domain::vetting::VettingExceptions;
use croft_trust::archive::{Documents, Header, Incoming};
use croft_trust::store::{MemorySource, TrustView};

use super::documents;
use super::memory::Shared;
use crate::bundles::incoming::{Landed, land};
use crate::bundles::plan::{Approved, Decision, decide};
use crate::bundles::quarantine;
use crate::bundles::recalled;
use crate::bundles::vet::Vetting;
use crate::clock;
use crate::failure::Failure;
use crate::limits::IMPORTED_MAX;
use crate::state::paths::Paths;

/// What became of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes came in.
    Installed,
    /// Its bytes were here.
    Present,
    /// The fleet document does not give it to this machine's group, or a recall stops it.
    LeftOut(Failure),
}

/// What came of an archive.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Each bundle whose bytes it carried.
    pub bundles: Vec<(BundleRef, Outcome)>,
    /// How many recalls were new.
    pub recalls_new: usize,
    /// The metadata now in force.
    pub trust: Arc<TrustView>,
}

/// What is to be done with the archive's blobs.
struct Plan {
    outcomes: Vec<(BundleRef, Outcome)>,
    wanted: BTreeMap<Sha256Digest, BundleFile>,
    passed_over: BTreeSet<Sha256Digest>,
    /// Files of bundles of several, which are judged as a whole when all of them are here.
    parts: BTreeSet<Sha256Digest>,
    exceptions: VettingExceptions,
}

/// Takes in the archive that `reader` gives.
///
/// # Errors
/// A failure with its code. Nothing was taken in then but recalls that verified.
pub async fn import(
    shared: &Arc<Shared>,
    vetting: &Vetting,
    reader: impl Read + Send + 'static,
) -> Result<Imported, Failure> {
    let Ok(_only) = shared.importing.try_lock() else {
        return Err(Failure::new(Code::Conflict, "another archive is being taken in"));
    };
    let paths = shared.paths.clone();
    let (archive, documents) = blocking(move || {
        quarantine::sweep(&paths);
        Incoming::open(reader).map_err(|e| Failure::caused(e.code(), &e))
    })
    .await?;
    let Documents { header, trust, recalls, leases: _ } = documents;
    let source = MemorySource(trust);
    let view = preview(shared, &source, &header).await?;
    let mut verified = Vec::new();
    for (id, envelope) in recalls {
        let recall = recalled::verify(&envelope, &view.fleet, clock::now());
        let recall = recall.map_err(|e| Failure::caused(e.code(), &e))?;
        if recall.id != id {
            return Err(refused(format!("recall {id} is called by another's name")));
        }
        verified.push((recall, envelope));
    }
    let mut recalls_new = 0;
    for (recall, envelope) in verified {
        recalls_new += usize::from(documents::obey(shared, &recall, &envelope));
    }
    let plan = plan(shared, &view, &header)?;
    let landed = land_all(archive, &plan, &shared.paths, vetting).await?;
    take_over(shared, &source, &plan, landed).await?;
    Ok(Imported { bundles: plan.outcomes, recalls_new, trust: view })
}

/// What the metadata would be, judged as if the controller offered it.
async fn preview(shared: &Shared, source: &MemorySource, header: &Header) -> Result<Arc<TrustView>, Failure> {
    let ours = shared.memory().trust.as_ref().map(|trust| trust.fleet.id);
    let store = shared.trust_store.lock().await;
    let Some(store) = store.as_ref() else {
        return Err(Failure::new(
            Code::NotEnrolled,
            "this machine is not enrolled: it knows no fleet's keys",
        ));
    };
    if ours.is_some_and(|ours| ours != header.fleet) {
        return Err(refused("it is another fleet's".to_owned()));
    }
    let view = store.preview(source, clock::now()).await.map_err(|e| Failure::caused(e.code(), &e))?;
    if view.fleet.id == header.fleet {
        Ok(view)
    } else {
        Err(refused("its metadata is another fleet's".to_owned()))
    }
}

fn plan(shared: &Shared, view: &TrustView, header: &Header) -> Result<Plan, Failure> {
    let memory = shared.memory();
    let approved: Approved<'_> =
        view.bundles.iter().map(|(name, bundle)| (name.clone(), (&bundle.manifest, bundle.sha256))).collect();
    let enrolled = memory.identity.as_ref().map(|identity| &identity.enrollment);
    let group = enrolled.map(|enrolled| view.fleet.group_of(enrolled.node, &enrolled.group));
    let policy = group.and_then(|group| view.fleet.groups.get(group));
    let recalls: Vec<Recall> = memory.recalls.iter().filter(|recall| view.obeys(recall)).cloned().collect();
    let mut plan = Plan {
        outcomes: Vec::new(),
        wanted: BTreeMap::new(),
        passed_over: BTreeSet::new(),
        parts: BTreeSet::new(),
        exceptions: view.fleet.vetting.clone(),
    };
    for (bundle, decision) in decide(&header.bundles, policy, &approved, &recalls) {
        let Some((manifest, _)) = approved.get(&bundle) else {
            return Err(refused(format!("it claims {bundle}, which its own metadata does not approve")));
        };
        let outcome = match decision {
            Decision::Keep { manifest, .. } => {
                let mut is_here = false;
                for variant in manifest.every_variant() {
                    if recalls.iter().any(|recall| variant.is_stopped_by(recall)) {
                        continue;
                    }
                    // One is enough to serve; the others are measured, and dropped if they are slower.
                    is_here |= variant.files.iter().all(|f| shared.paths.blob(&f.sha256).is_file());
                    plan.wanted.extend(variant.files.iter().map(|file| (file.sha256, file.clone())));
                    if variant.files.len() > 1 {
                        plan.parts.extend(variant.files.iter().map(|file| file.sha256));
                    }
                }
                if is_here { Outcome::Present } else { Outcome::Installed }
            }
            Decision::Recalled { reason, .. } => Outcome::LeftOut(Failure::new(Code::Recalled, reason)),
            Decision::Refuse { code, reason } => Outcome::LeftOut(Failure::new(code, reason)),
        };
        plan.passed_over.extend(manifest.every_file().map(|file| file.sha256));
        plan.outcomes.push((bundle, outcome));
    }
    Ok(plan)
}

/// Brings every wanted blob into quarantine, judged and sealed. What landed is removed again unless all is well.
async fn land_all<R: Read + Send + 'static>(
    mut archive: Incoming<R>,
    plan: &Plan,
    paths: &Paths,
    vetting: &Vetting,
) -> Result<Vec<Landed>, Failure> {
    let mut landed: Vec<Landed> = Vec::new();
    loop {
        let (wanted, passed_over, paths) = (plan.wanted.clone(), plan.passed_over.clone(), paths.clone());
        let (back, next) = blocking(move || {
            let next = archive.next_blob().map_err(|e| Failure::caused(e.code(), &e))?;
            let Some((digest, len)) = next else { return Ok((archive, None)) };
            let Some(file) = wanted.get(&digest) else {
                return if passed_over.contains(&digest) {
                    Ok((archive, Some(None)))
                } else {
                    Err(refused(format!("{digest} belongs to none of its bundles")))
                };
            };
            if len != file.len_bytes {
                return Err(refused(format!("{digest} has {len} bytes instead of {}", file.len_bytes)));
            }
            // What is here already is verified at its next load, as always.
            let is_here = paths.blob(&digest).is_file();
            let landed = if is_here { None } else { Some(land(&mut archive, file, &paths)?) };
            Ok((archive, Some(landed)))
        })
        .await?;
        archive = back;
        match next {
            None => break,
            Some(None) => {}
            Some(Some(blob)) => {
                let is_part = plan.parts.contains(&blob.digest());
                let blob = blob.judge(&vetting.of_file(&plan.exceptions, is_part)).await?;
                landed.push(blob);
            }
        }
    }
    let is_there = |digest| paths.blob(digest).is_file() || landed.iter().any(|l| l.digest() == *digest);
    match plan.wanted.keys().find(|digest| !is_there(digest)) {
        Some(digest) => Err(refused(format!("it lacks the bytes of {digest}"))),
        None => Ok(landed),
    }
}

/// From here on it counts: metadata, then what is wanted here, then the bytes.
async fn take_over(
    shared: &Arc<Shared>,
    source: &MemorySource,
    plan: &Plan,
    landed: Vec<Landed>,
) -> Result<(), Failure> {
    documents::take_over(shared, source).await?;
    let kept = shared.keep(|kept| {
        for (bundle, outcome) in &plan.outcomes {
            let is_left_out = matches!(outcome, Outcome::LeftOut(_));
            let is_new = !kept.assigned.contains(bundle) && !kept.imported.contains(bundle);
            if is_new && !is_left_out && kept.imported.len() < IMPORTED_MAX {
                kept.imported.push(bundle.clone());
            }
        }
    });
    kept.map_err(|e| Failure::caused(e.code(), &e))?;
    for blob in landed {
        blob.store().map_err(|e| quarantine::unwritable(&e))?;
    }
    shared.fetch.notify_one();
    shared.changed();
    Ok(())
}

fn refused(message: String) -> Failure {
    Failure::new(Code::ArchiveRefused, message)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Failure::caused(Code::Internal, &e))?
}
