//! The key card: what an admin has to know about each key. One screen, to be printed or kept with the backup.

use croft_domain::time::Timestamp;

use crate::clock;
use crate::fleet_dir::{FleetDir, KeyName};
use crate::limits::{FRESHNESS_TTL_S, ONLINE_KEY_TTL_S, ROOT_TTL_S, TARGETS_TTL_S};

/// The card for the keys in `dir`, of whose root keys `threshold` must sign.
pub fn write(dir: &FleetDir, threshold: u8, now: Timestamp) -> String {
    let roots = dir.root_keys();
    let kept = if is_encrypted(dir, &roots) { "encrypted with a passphrase" } else { "not encrypted" };
    head(kept)
        + &root_entry(dir, &roots, threshold, now)
        + &other_entries(dir, now)
        + &advice(roots.len(), threshold)
}

fn head(kept: &str) -> String {
    format!(
        "\
KEY CARD (keep a copy with the backup)
All keys are on this machine, {kept}, mode 0600. Holder of each: you, until you hand one on.

"
    )
}

fn root_entry(dir: &FleetDir, roots: &[KeyName], threshold: u8, now: Timestamp) -> String {
    let files: Vec<String> = roots.iter().map(|name| dir.key(*name).display().to_string()).collect();
    let rule = match roots.len() {
        0 | 1 => String::new(),
        several => {
            format!("           needs   {threshold} of these {several}; hand each to another person today\n")
        }
    };
    format!(
        "\
root       {files}
{rule}           signs   who the other holders are; needed only to change keys
           backup  two offline copies in two places, then remove it from this machine
           ends    {ends}
           lost    {lost}
",
        files = files.join("\n           "),
        ends = day(now, ROOT_TTL_S),
        lost = if roots.len() > usize::from(threshold) {
            "the others replace it: croftctl trust rotate-root"
        } else {
            "no key can ever be replaced: every machine must enroll anew"
        },
    )
}

fn other_entries(dir: &FleetDir, now: Timestamp) -> String {
    let file = |name: KeyName| dir.key(name).display().to_string();
    format!(
        "\
targets    {targets}
           signs   bundles, baselines, groups
           backup  one offline copy
           ends    {targets_ends}, renewed by each apply, approve or assign
           lost    nothing new can be approved until root names another
freshness  {freshness}
           signs   that all this is current: croftctl trust refresh, once a week
           backup  not needed: root can name another
           ends    {freshness_ends}, then nodes stop serving
           lost    nodes stop serving after {freshness_days} days unless root names another
recall     {recall}
           signs   recalls
           backup  a copy with whoever must be able to stop a model at night
           ends    {online_ends}
           lost    a bad model cannot be stopped at once
admin      {admin}
           opens   the connection to the controller; signs no document
           backup  not needed
           ends    with its certificate, {chain}
           lost    croft-controller init cannot be repeated; keep the controller's own backup
",
        targets = file(KeyName::Targets),
        freshness = file(KeyName::Freshness),
        recall = file(KeyName::Recall),
        admin = file(KeyName::Admin),
        chain = dir.chain().display(),
        targets_ends = day(now, TARGETS_TTL_S),
        freshness_ends = day(now, FRESHNESS_TTL_S),
        freshness_days = FRESHNESS_TTL_S / 86_400,
        online_ends = day(now, ONLINE_KEY_TTL_S),
    )
}

fn advice(roots: usize, threshold: u8) -> String {
    if roots > 1 && threshold > 1 {
        return "
One publisher (1 of 1) approves models alone. To grow: croftctl trust add-publisher PUBKEY --name NAME --threshold 2.
"
        .to_owned();
    }
    "
One person with one machine holds every role (1 of 1): whoever takes this machine can approve anything, and no second
person sees it. To grow: move root offline today; then croftctl trust add-publisher PUBKEY --name NAME --threshold 2.
"
    .to_owned()
}

fn day(now: Timestamp, seconds: u64) -> String {
    clock::written(now.plus(seconds)).chars().take(10).collect()
}

/// Whether the first root key is encrypted; one passphrase choice is made for all.
fn is_encrypted(dir: &FleetDir, roots: &[KeyName]) -> bool {
    use croft_trust::sign::{KeyError, SigningKey};
    let loaded = roots.first().map(|name| SigningKey::load(&dir.key(*name)));
    matches!(loaded, Some(Err(KeyError::PassphraseMissing { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_card_names_every_key() {
        let dir = FleetDir::locate(Some("/fleet".into())).expect("a fleet folder");
        let card = head("not encrypted")
            + &root_entry(&dir, &[KeyName::Root], 1, Timestamp(1_795_219_200))
            + &other_entries(&dir, Timestamp(1_795_219_200))
            + &advice(1, 1);
        for name in KeyName::OTHERS.into_iter().chain([KeyName::Root]) {
            assert!(card.contains(&format!("{}.pk8", name.name())), "{name:?}");
        }
        assert!(
            card.contains("2026-12-05") && card.contains("2028-11-20") && card.contains("1 of 1"),
            "{card}"
        );
        let three = [KeyName::RootOf(1), KeyName::RootOf(2), KeyName::RootOf(3)];
        let card = root_entry(&dir, &three, 2, Timestamp(1_795_219_200));
        assert!(card.contains("2 of these 3") && card.contains("root-3.pk8"), "{card}");
    }
}
