//! Handovers between publishers: what another one signed is shown, judged and, on request, signed as well.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::bundle::Manifest;
use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::Fleet;
use croft_domain::id::BundleRef;
use croft_trust::limits::HANDOVER_LEN_MAX;
use croft_trust::repository::{Change, Repository};
use url::Url;

use crate::clock;
use crate::command::intake::{self, Step};
use crate::draft::Draft;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, Settings, create_private, read};
use crate::output::{clean, say};
use crate::renderer;
use crate::workbench::{FLEET_TARGET, Workbench, floors, read_fleet, repository};

/// `bundle approve --proposal`: signs a handover that approves this bundle and nothing else.
///
/// # Errors
/// It changes more than that, is not the draft that was vetted here, or does not hold.
pub async fn approve(dir: &FleetDir, bundle: &BundleRef, file: &Path) -> Result<(), CtlError> {
    let bytes = read(file, HANDOVER_LEN_MAX)?;
    let own = match Draft::load(dir, bundle) {
        Ok(mut draft) => {
            draft.manifest.template.rendered = renderer::rendered(&draft).await?;
            Some(draft.manifest)
        }
        Err(CtlError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut workbench = Workbench::open(dir)?;
    let before = workbench.fleet().clone();
    workbench.adopt(&bytes, true, clock::now(), |changes, documents| {
        show(changes);
        check_only(bundle, &before, changes, documents)?;
        check_intake(changes, documents)?;
        check_draft(own.as_ref(), bundle, documents)
    })?;
    say(&format!("next, once enough have signed: croftctl bundle publish {bundle}"));
    Ok(())
}

/// `trust adopt`: takes a handover whatever it changes, after showing it; signs it on request.
///
/// # Errors
/// It does not hold, or a key cannot be used.
pub fn adopt(dir: &FleetDir, file: &Path, sign: bool) -> Result<(), CtlError> {
    let bytes = read(file, HANDOVER_LEN_MAX)?;
    Workbench::open(dir)?.adopt(&bytes, sign, clock::now(), |changes, documents| {
        show(changes);
        if sign { check_intake(changes, documents) } else { Ok(()) }
    })
}

/// Holds each bundle that a handover adds against the lists that the handover itself would sign.
fn check_intake(changes: &[Change], documents: &BTreeMap<String, String>) -> Result<(), CtlError> {
    let bundles = changes.iter().filter_map(|change| match change {
        Change::Added(name) | Change::Changed(name) if name.starts_with("bundle.") => Some(name),
        _ => None,
    });
    for name in bundles {
        let manifest: Manifest = document(documents, name)?;
        let fleet: Fleet = document(documents, FLEET_TARGET)?;
        intake::admit(&fleet, &manifest.license.id, &manifest.provenance.source, Step::Countersign)?;
    }
    Ok(())
}

fn document<T: serde::de::DeserializeOwned>(
    documents: &BTreeMap<String, String>,
    name: &str,
) -> Result<T, CtlError> {
    let text = documents.get(name).ok_or_else(|| CtlError::NotFound {
        what: format!("{} in the handover", clean(name)),
        hint: "ask the other publisher for a new handover.json".to_owned(),
    })?;
    serde_json::from_str(text).map_err(|e| CtlError::FileParse { path: name.into(), source: Box::new(e) })
}

/// `trust export`: what is signed, for the machine of another key holder.
///
/// # Errors
/// Nothing is signed, or the file cannot be written.
pub fn export(dir: &FleetDir, file: &Path) -> Result<(), CtlError> {
    let workbench = Workbench::open(dir)?;
    workbench.save_handover(file)?;
    let controller = dir.settings()?.controller;
    say("next, on the other machine, with the digest compared by voice:");
    say(&format!(
        "croftctl trust join {} --root {} --controller {controller}",
        file.display(),
        workbench.first_root()
    ));
    Ok(())
}

/// `trust join`: the same fleet on another machine. Keys that `trust make-key` made there stay.
///
/// # Errors
/// There is a fleet already, or what was exported is another's or not signed by enough publishers.
pub fn join(dir: &FleetDir, file: &Path, root: Sha256Digest, controller: &str) -> Result<(), CtlError> {
    if dir.settings().is_ok() {
        return Err(CtlError::FleetExists { path: dir.root().to_owned() });
    }
    let is_url = Url::parse(controller).is_ok_and(|url| url.scheme() == "https" && url.has_host());
    if !is_url {
        let what = format!("--controller {controller}");
        return Err(CtlError::Input { what, expected: "https://HOST:PORT".to_owned() });
    }
    let bytes = read(file, HANDOVER_LEN_MAX)?;
    for folder in [dir.root().to_owned(), dir.root().join("keys"), dir.drafts()] {
        create_private(&folder)?;
    }
    let _lock = dir.lock()?;
    // Without fleet.toml, which comes last, there is no fleet here: what an interrupted run left may go.
    dir.clear_unfinished_repository()?;
    let joined = Repository::join(&dir.repository(), &bytes, root)
        .map_err(repository("take over what was exported"))?;
    let fleet = read_fleet(&joined)?;
    floors::begin(dir, &joined, clock::now())?;
    let ca_pin = *fleet.ca_pins.first().ok_or_else(|| CtlError::Input {
        what: "fleet.json".to_owned(),
        expected: "a pin of the controller's certificate authority".to_owned(),
    })?;
    dir.save_settings(&Settings { controller: controller.to_owned(), ca_pin, fleet: fleet.id })?;
    let seen = joined.versions();
    say(&format!("this is {}, root {}, targets {}", clean(&fleet.name), seen.root, seen.targets));
    Ok(())
}

/// Says what a handover changes.
pub fn show(changes: &[Change]) {
    if changes.is_empty() {
        say("nothing changes but signatures");
    }
    for change in changes {
        say(&match change {
            Change::Added(name) => format!("adds     {}", clean(name)),
            Change::Changed(name) => format!("changes  {}", clean(name)),
            Change::Removed(name) => format!("removes  {}", clean(name)),
            Change::Root(version) => format!("root     {version}: who may sign what changes"),
        });
    }
}

/// Lets through the bundle, its OMS signature, and a license or source that is allowed with it.
fn check_only(
    bundle: &BundleRef,
    before: &Fleet,
    changes: &[Change],
    documents: &BTreeMap<String, String>,
) -> Result<(), CtlError> {
    let own = [("bundle", bundle), ("oms", bundle), ("bom", bundle)]
        .map(|(kind, b)| format!("{kind}.{}.{}.json", b.name, b.version));
    for change in changes {
        let is_expected = match change {
            Change::Added(name) => own.contains(name),
            Change::Changed(name) => name == FLEET_TARGET && allows_more_only(before, documents),
            Change::Removed(_) | Change::Root(_) => false,
        };
        if !is_expected {
            return Err(CtlError::Unapproved {
                message: format!("the proposal changes more than {bundle}"),
                hint: "look at the list above; croftctl trust adopt FILE --sign takes all of it".to_owned(),
            });
        }
    }
    Ok(())
}

fn allows_more_only(before: &Fleet, documents: &BTreeMap<String, String>) -> bool {
    let Some(mut after) =
        documents.get(FLEET_TARGET).and_then(|text| serde_json::from_str::<Fleet>(text).ok())
    else {
        return false;
    };
    for license in after.licenses.iter().filter(|license| !before.licenses.contains(license)) {
        say(&format!("allows   license {}", clean(license)));
    }
    for source in after.sources.iter().filter(|source| !before.sources.contains(source)) {
        say(&format!("allows   source {}", clean(source)));
    }
    after.licenses.clone_from(&before.licenses);
    after.sources.clone_from(&before.sources);
    after.epoch = before.epoch;
    after == *before
}

/// Compares the proposal with what was vetted on this machine; without a draft of one's own that is said.
fn check_draft(
    own: Option<&Manifest>,
    bundle: &BundleRef,
    documents: &BTreeMap<String, String>,
) -> Result<(), CtlError> {
    let name = format!("bundle.{}.{}.json", bundle.name, bundle.version);
    let text = documents.get(&name).ok_or_else(|| CtlError::NotFound {
        what: format!("{bundle} in the proposal"),
        hint: "ask for the handover.json that bundle approve wrote".to_owned(),
    })?;
    let manifest: Manifest = serde_json::from_str(text)
        .map_err(|e| CtlError::FileParse { path: name.clone().into(), source: Box::new(e) })?;
    match own {
        Some(own)
            if own.files == manifest.files
                && own.variants == manifest.variants
                && own.template == manifest.template =>
        {
            say("these are the files and the template that were vetted, and rendered, on this machine");
        }
        Some(_) => {
            return Err(CtlError::Unapproved {
                message: format!("the proposal's {bundle} is not the one that was vetted on this machine"),
                hint: "compare both files' origin with the other publisher before anybody signs".to_owned(),
            });
        }
        None => {
            for file in manifest.every_file() {
                say(&format!("approves {} ({} bytes)", file.sha256, file.len_bytes));
            }
            say("warning: not vetted on this machine; croftctl bundle import vets the same file here first");
        }
    }
    Ok(())
}
