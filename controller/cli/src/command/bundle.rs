//! `bundle approve` and `bundle publish`: a person's yes, signed here; then the bytes, resumable, and the signed set.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use croft_domain::bundle::{BundleFile, Manifest};
use croft_domain::code::Code;
use croft_domain::id::BundleRef;
use croft_link::backoff::Backoff;
use croft_proto::grpc::QueryBlobRequest;
use croft_trust::digest::verify_file;
use indicatif::ProgressBar;

use crate::client::{Admin, connect, refused};
use crate::clock;
use crate::command::intake::{self, Step};
use crate::draft::Draft;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::limits::UPLOAD_ATTEMPTS;
use crate::output::{say, write_stdout};
use crate::progress;
use crate::renderer;
use crate::upload;
use crate::workbench::Workbench;

/// What an approval may add to what the fleet allows.
#[derive(Clone, Copy, Debug)]
pub struct Allow {
    /// The bundle's license.
    pub license: bool,
    /// The bundle's source.
    pub source: bool,
}

/// Signs a draft as approved, with what this machine's worker makes of its template.
///
/// # Errors
/// There is no draft, its version is taken, its license or source is not allowed, or its template renders otherwise than
/// the review saw.
pub async fn approve(dir: &FleetDir, bundle: &BundleRef, allow: Allow) -> Result<(), CtlError> {
    let mut draft = Draft::load(dir, bundle)?;
    draft.manifest.template.rendered = renderer::rendered(&draft).await?;
    let mut workbench = Workbench::open(dir)?;
    match workbench.bundle(bundle)? {
        Some(signed) if signed == draft.manifest => {
            say(&format!("bundle {bundle} is approved already"));
            return Ok(());
        }
        Some(_) => {
            return Err(CtlError::Conflict {
                message: format!("another bundle {bundle} is approved already"),
                hint: "a signed version is never rewritten; import under the next --version".to_owned(),
            });
        }
        None => {}
    }
    check_intake(&mut workbench, &draft.manifest, allow)?;
    workbench.set_bundle(&draft.manifest)?;
    workbench.set_bom(bundle, &draft.bom)?;
    workbench.set_oms(&draft.manifest)?;
    workbench.sign(clock::now())?;
    say(&format!(
        "approved {bundle}: {}",
        draft.manifest.every_file().map(|f| f.sha256.to_string()).collect::<Vec<_>>().join(", ")
    ));
    if let Some(rendered) = draft.manifest.template.rendered {
        say(&format!("renders:  {} (probe set {})", rendered.sha256, rendered.probe_set));
    }
    say(&format!("next: croftctl bundle publish {bundle}"));
    Ok(())
}

/// Holds a manifest against the fleet's lists, after adding to them what was asked for.
fn check_intake(workbench: &mut Workbench, manifest: &Manifest, allow: Allow) -> Result<(), CtlError> {
    let (license, source) = (&manifest.license.id, &manifest.provenance.source);
    if !manifest.license.is_open_source() && manifest.license.accepted_by.is_none() {
        return Err(CtlError::Unapproved {
            message: format!("nobody accepted the terms of {license}, which are not open source"),
            hint: "read them, then import again with --accepted-by WHO".to_owned(),
        });
    }
    intake::check_source(source)?;
    let mut widened = workbench.fleet().clone();
    if allow.license && !widened.licenses.contains(license) {
        widened.licenses.push(license.clone());
    }
    if allow.source && !widened.allows_source(source) {
        widened.sources.push(source.clone());
    }
    intake::admit(&widened, license, source, Step::Approve)?;
    workbench.change_fleet(|fleet| {
        fleet.licenses = widened.licenses;
        fleet.sources = widened.sources;
    })?;
    Ok(())
}

/// Prints the signed bill of materials, or the draft's.
///
/// # Errors
/// There is neither.
pub fn bom(dir: &FleetDir, bundle: &BundleRef) -> Result<(), CtlError> {
    let signed = match Workbench::open(dir) {
        Ok(workbench) => workbench.bom(bundle)?,
        Err(CtlError::FleetMissing { .. }) => None,
        Err(error) => return Err(error),
    };
    let bytes = match signed {
        Some(bytes) => bytes,
        None => Draft::load(dir, bundle)?.bom,
    };
    write_stdout(&[bytes.as_slice(), b"\n"].concat())
}

/// Uploads an approved bundle's bytes, then publishes the signed set.
///
/// # Errors
/// It is not approved, its bytes changed, or the controller refuses.
pub async fn publish(dir: &FleetDir, bundle: &BundleRef) -> Result<(), CtlError> {
    let workbench = Workbench::open(dir)?;
    let Some(manifest) = workbench.bundle(bundle)? else {
        return Err(CtlError::NotFound {
            what: format!("approved bundle {bundle}"),
            hint: format!("croftctl bundle approve {bundle} signs its draft"),
        });
    };
    workbench.check_publishable()?;
    let sources = Draft::load(dir, bundle)?.sources;
    let mut admin = connect(dir).await?;
    for (file, source) in manifest.every_file().zip(&sources) {
        send(&mut admin, source, file).await?;
    }
    workbench.publish(&mut admin).await?;
    say(&format!("next: croftctl assign bundle {bundle} --group GROUP"));
    Ok(())
}

/// Brings one blob to the controller, from wherever an earlier attempt ended.
async fn send(admin: &mut Admin, source: &Path, expected: &BundleFile) -> Result<(), CtlError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let bar = progress::bytes(expected.len_bytes, "uploading");
    let mut verified = None;
    for attempt in 1..=UPLOAD_ATTEMPTS {
        match attempt_upload(admin, source, expected, &mut verified, &bar).await {
            Ok(true) => {
                bar.finish_and_clear();
                say(&format!("the controller has {}", expected.sha256));
                return Ok(());
            }
            Ok(false) => {}
            Err(error) if error.code() == Code::Unreachable && attempt < UPLOAD_ATTEMPTS => {
                bar.suspend(|| say(&format!("the connection broke; going on from what arrived ({attempt})")));
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(CtlError::Answer {
        operation: "upload a blob",
        message: format!("{} is still incomplete", expected.sha256),
    })
}

/// Asks what is there and sends the rest; true when the controller has all of it.
async fn attempt_upload(
    admin: &mut Admin,
    source: &Path,
    expected: &BundleFile,
    verified: &mut Option<File>,
    bar: &ProgressBar,
) -> Result<bool, CtlError> {
    let request = QueryBlobRequest { sha256: expected.sha256.0.to_vec() };
    let have = admin.query_blob(request).await.map_err(refused("look for a blob"))?.into_inner();
    if have.complete {
        return Ok(true);
    }
    // Checked once and only if something is to be sent: reading a large file twice takes longer than asking.
    let file = match verified.take() {
        Some(file) => file,
        None => open_verified(source, expected)?,
    };
    upload::run(admin, verified.insert(file), expected, have.received, bar).await?;
    Ok(false)
}

/// Opens the file behind a draft and checks that it still holds the approved bytes.
fn open_verified(source: &Path, expected: &BundleFile) -> Result<File, CtlError> {
    let file = File::open(source).map_err(|e| CtlError::FileRead { path: source.to_owned(), source: e })?;
    let spinner = progress::spinner("checking the file against its manifest");
    let verified = verify_file(&file, expected);
    spinner.finish_and_clear();
    verified.map_err(|e| CtlError::SourceChanged { path: source.to_owned(), source: Box::new(e) })?;
    Ok(file)
}
