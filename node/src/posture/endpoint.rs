//! The machine's own defenses, as far as anybody may read them: secure boot, time, firewall, screen lock, patches.
//!
//! Each is read from files that its own service keeps, without privileges; two programs are asked where no file tells.
//! What says nothing is *unknown*: no firewall that is known here is not the same as no firewall. Nothing is changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use croft_domain::fact::Confidence;
use serde::Serialize;

use super::credentials;
use super::disk::record::{Recorded, TIMEDATECTL};
use crate::ask::ask;

/// One defense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Defense {
    /// For example `secure-boot`.
    pub subject: &'static str,
    /// Whether it stands; why it cannot be known otherwise.
    pub stands: Result<bool, &'static str>,
    /// Which file said so.
    pub method: &'static str,
    /// How far that can be believed.
    pub confidence: Confidence,
}

impl Defense {
    pub(super) const fn known(
        subject: &'static str,
        stands: bool,
        method: &'static str,
        by: Confidence,
    ) -> Self {
        Self { subject, stands: Ok(stands), method, confidence: by }
    }

    pub(super) const fn unknown(subject: &'static str, why: &'static str) -> Self {
        Self { subject, stands: Err(why), method: "none", confidence: Confidence::None }
    }
}

/// Looks at the machine below `root`, and at the settings of `home`.
#[must_use]
pub fn examine(root: &Path, home: &Path) -> Vec<Defense> {
    vec![secure_boot(root), time_sync(root), firewall(root), screen_lock(root, home), patches(root)]
}

// The variable is four bytes of attributes and one byte of value (UEFI 2.10, 3.3 and 8.2).
fn secure_boot(root: &Path) -> Defense {
    const SUBJECT: &str = "secure-boot";
    const VARIABLE: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    if !root.join("sys/firmware/efi").is_dir() {
        return Defense::unknown(SUBJECT, "this machine was not started by UEFI");
    }
    match fs::read(root.join(VARIABLE)).as_deref() {
        Ok([_, _, _, _, value]) => Defense::known(SUBJECT, *value == 1, "efivars", Confidence::Table),
        Ok(_) => Defense::unknown(SUBJECT, "the firmware's variable is damaged"),
        Err(_) => Defense::unknown(SUBJECT, "the firmware's variable cannot be read"),
    }
}

fn time_sync(root: &Path) -> Defense {
    const SUBJECT: &str = "time-sync";
    if root.join("run/systemd/timesync/synchronized").exists() {
        return Defense::known(SUBJECT, true, "systemd-timesyncd", Confidence::Heuristic);
    }
    if root.join("run/systemd/timesync").is_dir() {
        return Defense::known(SUBJECT, false, "systemd-timesyncd", Confidence::Heuristic);
    }
    // Another service, for example chrony: the kernel says whether anybody keeps its clock.
    let is_live = root == Path::new("/");
    let mut recorded = if is_live { Recorded::default() } else { Recorded::of_tree(root) };
    match recorded.output(&TIMEDATECTL, "", is_live).as_deref().map(str::trim) {
        Some("yes") => Defense::known(SUBJECT, true, "timedatectl", Confidence::Table),
        Some("no") => Defense::known(SUBJECT, false, "timedatectl", Confidence::Table),
        _ => Defense::unknown(SUBJECT, "no time service whose state can be read"),
    }
}

/// Services that hold a firewall up, by the link that enables each.
const FIREWALLS: [&str; 3] = [
    "etc/systemd/system/multi-user.target.wants/firewalld.service",
    "etc/systemd/system/sysinit.target.wants/nftables.service",
    "etc/systemd/system/multi-user.target.wants/netfilter-persistent.service",
];

fn firewall(root: &Path) -> Defense {
    const SUBJECT: &str = "firewall";
    // A link counts although its end may not be part of a captured tree.
    if FIREWALLS.iter().any(|link| fs::symlink_metadata(root.join(link)).is_ok()) {
        return Defense::known(SUBJECT, true, "enabled-service", Confidence::Heuristic);
    }
    let Ok(text) = fs::read_to_string(root.join("etc/ufw/ufw.conf")) else {
        return Defense::unknown(
            SUBJECT,
            "no firewall service that is known here; rules need root to be read",
        );
    };
    let enabled = setting(&text, "ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    Defense::known(SUBJECT, enabled, "ufw.conf", Confidence::Heuristic)
}

fn screen_lock(root: &Path, home: &Path) -> Defense {
    const SUBJECT: &str = "screen-lock";
    // A home is its owner's: what lies there can be a pipe, or endless.
    match credentials::read(&home.join(".config/kscreenlockerrc")) {
        Ok(Some(text)) => {
            // The lock is on unless it was turned off.
            let off = setting(&text, "Autolock").is_some_and(|value| value.eq_ignore_ascii_case("false"));
            return Defense::known(SUBJECT, !off, "kscreenlockerrc", Confidence::Heuristic);
        }
        Err(_) => return Defense::unknown(SUBJECT, "the desktop's settings cannot be read"),
        Ok(None) => {}
    }
    // GNOME's default is on, so that its answer counts only where GNOME is what runs. A captured tree runs nothing.
    let is_live = root == Path::new("/");
    let told = is_live.then(|| gnome_lock(root, home, "/usr/bin/gsettings")).flatten();
    match told.as_deref().map(str::trim) {
        Some("true") => Defense::known(SUBJECT, true, "gsettings", Confidence::Heuristic),
        Some("false") => Defense::known(SUBJECT, false, "gsettings", Confidence::Heuristic),
        _ => Defense::unknown(SUBJECT, "no desktop whose lock can be read"),
    }
}

/// What GNOME's settings of this very account say, by the program `gsettings`. Those of another account cannot be asked for.
fn gnome_lock(root: &Path, home: &Path, gsettings: &str) -> Option<String> {
    let own = rustix::process::getuid().as_raw();
    let is_own = fs::metadata(home).is_ok_and(|facts| facts.uid() == own);
    if !is_own || !runs(root, "gnome-shell\n", own) {
        return None;
    }
    let lock = ["get", "org.gnome.desktop.screensaver", "lock-enabled"];
    ask(gsettings, &lock, &[("HOME", home.to_str()?)])
}

/// Most entries of `/proc` that are looked at.
const PROCESSES_MAX: usize = 20_000;

/// Whether an account runs a program, by the kernel's name of it.
fn runs(root: &Path, name: &str, uid: u32) -> bool {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten().take(PROCESSES_MAX);
    let mut own = entries.filter(|entry| entry.metadata().is_ok_and(|facts| facts.uid() == uid));
    own.any(|entry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm == name))
}

fn patches(root: &Path) -> Defense {
    const SUBJECT: &str = "patches";
    if root.join("run/reboot-required").exists() {
        return Defense::known(SUBJECT, false, "reboot-required", Confidence::Heuristic);
    }
    // Only where this hook is installed does the missing mark say anything.
    if root.join("usr/share/update-notifier/notify-reboot-required").exists() {
        return Defense::known(SUBJECT, true, "reboot-required", Confidence::Heuristic);
    }
    Defense::unknown(SUBJECT, "no package manager that says whether patches wait for a restart")
}

/// The last `KEY=value` of a file; comments do not count.
fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    });
    values.next_back()
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
