//! `policy publish`: the text that people accept before they use a model, as a signed target. A baseline names it.

use std::fs;

use croft_domain::limits::POLICY_LEN_MAX;

use crate::args::Policy;
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::say;
use crate::workbench::Workbench;

/// Runs `policy`.
///
/// # Errors
/// The file cannot be read or is no text, the version is taken, or the controller refuses.
pub async fn run(dir: &FleetDir, what: &Policy) -> Result<(), CtlError> {
    let Policy::Publish { policy, file } = what;
    let text =
        fs::read_to_string(file).map_err(|source| CtlError::FileRead { path: file.clone(), source })?;
    let is_text = |text: &str| !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t'));
    if text.trim().is_empty() || text.len() > POLICY_LEN_MAX || !is_text(&text) {
        return Err(CtlError::Input {
            what: file.display().to_string(),
            expected: format!("1 to {POLICY_LEN_MAX} bytes of text without control characters"),
        });
    }
    let mut workbench = Workbench::open(dir)?;
    match workbench.policy(policy)? {
        Some(signed) if signed == text => {}
        Some(_) => {
            return Err(CtlError::Conflict {
                message: format!("another text of {policy} is signed already"),
                hint: "a signed version is never rewritten; publish the next version".to_owned(),
            });
        }
        None => {
            workbench.set_policy(policy, &text)?;
            workbench.sign(clock::now())?;
        }
    }
    workbench.connect_and_publish().await?;
    say(&format!("policy {policy} is published"));
    say(&format!(
        "next: in a baseline, policy: {{name: {}, version: {}}} and the check policy-acceptance; then croftctl apply",
        policy.name, policy.version
    ));
    Ok(())
}
