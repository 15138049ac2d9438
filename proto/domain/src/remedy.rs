//! What to do about a check that does not pass, as a table: effort, risk, whether it can be undone, and the commands.
//!
//! Commands are for a person to read and type (`croft fix`). They are compiled in, never run by Croft, and never part of
//! a message: a controller can neither send nor choose one (P10).

use serde::Serialize;

use crate::id::CheckName;
use crate::verdict::Remedy;

/// A check that this version knows, and the subjects that it tells about. `*` stands for names that a machine or a
/// baseline gives.
#[derive(Clone, Copy, Debug)]
pub struct KnownCheck {
    /// Its name.
    pub name: &'static str,
    /// Its subjects, without what stands behind a colon.
    pub subjects: &'static [&'static str],
    /// The subjects that a node tells about in any case. Where a baseline names none, one of these that is missing is
    /// unknown: else leaving out what fails would help.
    pub told: &'static [&'static str],
}

/// The subjects of a check that a node tells about in any case; none for a check that this version does not know.
#[must_use]
pub fn told(check: &CheckName) -> &'static [&'static str] {
    CHECKS.iter().find(|known| known.name == check.as_str()).map_or(&[], |known| known.told)
}

const CENSUS: &[&str] =
    &["exposed", "host-check", "cloud", "models-unapproved", "models-unknown", "models-unsafe", "stores"];

const ENDPOINT: &[&str] = &["secure-boot", "time-sync", "firewall", "screen-lock", "patches"];

/// Every check that this version knows.
pub const CHECKS: &[KnownCheck] = &[
    KnownCheck { name: "api-binding", subjects: &["gateway"], told: &["gateway"] },
    KnownCheck { name: "census-conformity", subjects: CENSUS, told: CENSUS },
    KnownCheck { name: "disk-encryption", subjects: &["*", "swap"], told: &["/", "home", "store", "swap"] },
    KnownCheck { name: "endpoint", subjects: ENDPOINT, told: ENDPOINT },
    KnownCheck {
        name: "patch-level",
        subjects: &["system", "kernel", "package"],
        told: &["system", "kernel", "package"],
    },
    // Its subject is the policy that the baseline demands.
    KnownCheck { name: "policy-acceptance", subjects: &["*"], told: &[] },
    KnownCheck { name: "production-credentials", subjects: &["*"], told: &["all"] },
    KnownCheck { name: "self-test", subjects: &["gateway", "worker"], told: &["gateway", "worker"] },
];

/// Whether this version knows the check.
#[must_use]
pub fn is_known(check: &CheckName) -> bool {
    CHECKS.iter().any(|known| known.name == check.as_str())
}

/// What to do about one subject of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// Which check.
    pub check: &'static str,
    /// Which subject; `*` every other.
    pub subject: &'static str,
    /// In one sentence.
    pub action: &'static str,
    /// About how long it takes a person.
    pub effort: &'static str,
    /// What can go wrong.
    pub risk: &'static str,
    /// Whether it can be undone.
    pub reversible: bool,
    /// Lines for a shell; those that begin with `#` are said and not typed.
    pub commands: &'static [&'static str],
}

impl Guide {
    /// What a verdict carries of it: no command.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        Remedy {
            action: self.action.to_owned(),
            effort: self.effort.to_owned(),
            risk: self.risk.to_owned(),
            reversible: self.reversible,
        }
    }
}

/// The guide for a subject of a check; that for the check as a whole if the subject has none of its own.
#[must_use]
pub fn guide(check: &str, subject: &str) -> Option<&'static Guide> {
    let bare = subject.split(':').next().unwrap_or(subject);
    let of = |wanted: &str| GUIDES.iter().find(|guide| guide.check == check && guide.subject == wanted);
    of(bare).or_else(|| of("*"))
}

/// Guides by a name that a person types: a check, a subject, or both as `check:subject`.
pub fn named(name: &str) -> impl Iterator<Item = &'static Guide> {
    let (check, subject) = match name.split_once(':') {
        Some((check, subject)) => (Some(check), Some(subject)),
        None => (None, None),
    };
    GUIDES.iter().filter(move |guide| match (check, subject) {
        (Some(check), Some(subject)) => guide.check == check && guide.subject == subject,
        _ => guide.check == name || guide.subject == name,
    })
}

/// Every guide.
pub const GUIDES: &[Guide] = &[
    Guide {
        check: "disk-encryption",
        subject: "swap",
        action: "Replace the swap area by compressed memory (zram), or put it on an encrypted volume",
        effort: "five minutes",
        risk: "none for your data; hibernation stops working",
        reversible: true,
        commands: &[
            "sudo swapoff --all",
            "sudo sed -i.before-croft '/[[:space:]]swap[[:space:]]/s/^/#/' /etc/fstab",
            "sudo apt install systemd-zram-generator # Fedora: sudo dnf install zram-generator",
            "printf '[zram0]\\nzram-size = ram / 2\\n' | sudo tee /etc/systemd/zram-generator.conf",
            "sudo systemctl daemon-reload && sudo systemctl start systemd-zram-setup@zram0.service",
            "# undo: sudo cp /etc/fstab.before-croft /etc/fstab && sudo swapon --all",
        ],
    },
    Guide {
        check: "disk-encryption",
        subject: "*",
        action: "Encrypt the disk (reinstall with LUKS, or move home and store to an encrypted volume)",
        effort: "hours",
        risk: "back up first: a failed conversion loses data",
        reversible: false,
        commands: &[
            "# which device is meant: croft posture, or:",
            "lsblk -o NAME,TYPE,FSTYPE,MOUNTPOINTS",
            "# safest: back up, reinstall with \"encrypt the disk\", restore.",
            "# or a new encrypted volume for one folder; DEVICE is erased:",
            "sudo cryptsetup luksFormat --type luks2 DEVICE",
            "sudo cryptsetup open DEVICE croft-data && sudo mkfs.ext4 /dev/mapper/croft-data",
            "sudo mount /dev/mapper/croft-data /mnt && sudo rsync --archive --acls --xattrs FOLDER/ /mnt/",
            "# then mount it over FOLDER by /etc/crypttab and /etc/fstab, and delete the plain copy.",
            "# macOS: sudo fdesetup enable   Windows, as administrator: manage-bde -on C: -RecoveryPassword",
        ],
    },
    Guide {
        check: "self-test",
        subject: "*",
        action: "Run Croft on a kernel with seccomp and Landlock, outside of containers that forbid them",
        effort: "a reboot",
        risk: "none for your data",
        reversible: true,
        commands: &[
            "grep -E 'CONFIG_SECCOMP_FILTER|CONFIG_SECURITY_LANDLOCK' /boot/config-$(uname -r)",
            "cat /sys/kernel/security/lsm # landlock must be named",
            "# in a container: run it with the runtime's default seccomp profile, or on the host",
        ],
    },
    Guide {
        check: "policy-acceptance",
        subject: "*",
        action: "Read the organization's acceptable-use policy and accept it",
        effort: "minutes",
        risk: "none",
        reversible: false,
        commands: &["croft accept-policy"],
    },
    Guide {
        check: "api-binding",
        subject: "*",
        action: "Set gateway.listen to a loopback address",
        effort: "one minute",
        risk: "other machines lose the API, as they must",
        reversible: true,
        commands: &[
            "croft status --paths # says where node.toml is",
            "# in node.toml: [gateway] listen = \"127.0.0.1:11535\"",
            "croft service stop && croft service start",
        ],
    },
    Guide {
        check: "production-credentials",
        subject: "*",
        action: "Move production credentials off this machine; croft posture lists their names, which never leave it",
        effort: "minutes",
        risk: "tools that need them stop working here",
        reversible: true,
        commands: &[
            "croft posture",
            "aws configure list-profiles; kubectl config get-contexts",
            "kubectl config delete-context NAME",
            "# profiles: edit ~/.aws/config and ~/.aws/credentials; keep a copy in your password manager",
        ],
    },
    Guide {
        check: "endpoint",
        subject: "secure-boot",
        action: "Turn secure boot on in the firmware's settings",
        effort: "ten minutes, with a restart",
        risk: "drivers that nobody signed no longer load; enroll their key first (mokutil)",
        reversible: true,
        commands: &["mokutil --sb-state", "sudo systemctl reboot --firmware-setup"],
    },
    Guide {
        check: "endpoint",
        subject: "time-sync",
        action: "Let the system keep its clock",
        effort: "one minute",
        risk: "none",
        reversible: true,
        commands: &["sudo timedatectl set-ntp true", "timedatectl timesync-status"],
    },
    Guide {
        check: "endpoint",
        subject: "firewall",
        action: "Turn a firewall on",
        effort: "two minutes",
        risk: "closes what you share on purpose; over ssh, allow it first",
        reversible: true,
        commands: &[
            "sudo apt install ufw && sudo ufw allow OpenSSH && sudo ufw enable",
            "# Fedora: sudo systemctl enable --now firewalld",
            "# undo: sudo ufw disable",
        ],
    },
    Guide {
        check: "endpoint",
        subject: "screen-lock",
        action: "Let the screen lock itself",
        effort: "one minute",
        risk: "none",
        reversible: true,
        commands: &[
            "gsettings set org.gnome.desktop.screensaver lock-enabled true",
            "# KDE: kwriteconfig6 --file kscreenlockerrc --group Daemon --key Autolock true",
        ],
    },
    Guide {
        check: "endpoint",
        subject: "patches",
        action: "Install updates and restart",
        effort: "a quarter of an hour, with a restart",
        risk: "what an update changes",
        reversible: false,
        commands: &[
            "sudo apt update && sudo apt full-upgrade # Fedora: sudo dnf upgrade",
            "sudo systemctl reboot",
        ],
    },
    Guide {
        check: "patch-level",
        subject: "*",
        action: "Install updates until the versions that the baseline names are there, and restart for a new kernel",
        effort: "a quarter of an hour, with a restart",
        risk: "what an update changes",
        reversible: false,
        commands: &[
            "sudo apt update && sudo apt full-upgrade # Fedora: sudo dnf upgrade",
            "sudo systemctl reboot",
            "uname -r # after the restart",
        ],
    },
    Guide {
        check: "census-conformity",
        subject: "exposed",
        action: "Let the tool listen on this machine only",
        effort: "two minutes",
        risk: "other machines lose it",
        reversible: true,
        commands: &[
            "croft census # says which",
            "# Ollama: sudo systemctl edit ollama, then: [Service] Environment=OLLAMA_HOST=127.0.0.1",
            "# llama-server, vLLM, LMDeploy, koboldcpp, Tabby: start with --host 127.0.0.1",
            "# LM Studio: lms server stop && lms server start, with \"Serve on Local Network\" off",
        ],
    },
    Guide {
        check: "census-conformity",
        subject: "host-check",
        action: "Let the tool check the Host header again: listen on loopback by name or address",
        effort: "two minutes",
        risk: "other machines lose it",
        reversible: true,
        commands: &[
            "croft census # says which",
            "# Ollama: sudo systemctl edit ollama, then: [Service] Environment=OLLAMA_HOST=127.0.0.1",
            "sudo systemctl restart ollama",
        ],
    },
    Guide {
        check: "census-conformity",
        subject: "cloud",
        action: "Switch off that the tool hands prompts on to a service outside",
        effort: "one minute",
        risk: "models that run elsewhere are gone from its list",
        reversible: true,
        commands: &[
            "croft census # says which",
            "# Ollama: add \"disable_ollama_cloud\": true to ~/.ollama/server.json (make it {\"disable_ollama_cloud\": true})",
            "sudo systemctl restart ollama",
        ],
    },
    Guide {
        check: "census-conformity",
        subject: "models-unapproved",
        action: "Ask for the model's approval, or use an approved one and delete this copy",
        effort: "minutes",
        risk: "a deleted model must be fetched again",
        reversible: true,
        commands: &["croft census # says which", "croft models", "# Ollama: ollama rm NAME"],
    },
    Guide {
        check: "census-conformity",
        subject: "models-unknown",
        action: "Ask for the model's approval, or use an approved one and delete this copy",
        effort: "minutes",
        risk: "a deleted model must be fetched again",
        reversible: true,
        commands: &["croft census # says which", "croft models", "# Ollama: ollama rm NAME"],
    },
    Guide {
        check: "census-conformity",
        subject: "models-unsafe",
        action: "Delete files that can run code when they are loaded; get the model as GGUF or safetensors",
        effort: "minutes",
        risk: "a deleted model must be fetched again",
        reversible: false,
        commands: &["croft census # says which file, and by which rule"],
    },
    Guide {
        check: "census-conformity",
        subject: "stores",
        action: "Let the daemon read the tool's store, or run Croft as the account that owns it",
        effort: "two minutes",
        risk: "the daemon can then read the models' names and sizes",
        reversible: true,
        commands: &[
            "croft census # says which",
            "setfacl --recursive --modify user:croft:rX ~/.ollama/models # undo: setfacl --recursive --remove user:croft ~/.ollama/models",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_of_every_check_has_a_guide_with_commands() {
        for check in CHECKS {
            for subject in check.subjects {
                let guide = guide(check.name, subject);
                let guide = guide.unwrap_or_else(|| panic!("{}:{subject} has no guide", check.name));
                assert!(guide.commands.iter().any(|line| !line.starts_with('#')), "{guide:?}");
                for text in [guide.action, guide.effort, guide.risk] {
                    assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
                }
            }
        }
    }

    #[test]
    fn no_guide_is_for_a_check_that_nobody_knows_and_none_stands_twice() {
        for (at, guide) in GUIDES.iter().enumerate() {
            assert!(CHECKS.iter().any(|check| check.name == guide.check), "{}", guide.check);
            let twice = |other: &&Guide| (other.check, other.subject) == (guide.check, guide.subject);
            assert_eq!(GUIDES.iter().position(|other| twice(&other)), Some(at), "{guide:?}");
        }
    }

    #[test]
    fn a_subject_of_its_own_comes_before_the_whole_check() {
        let subject = |check, subject| guide(check, subject).map(|guide| guide.subject);
        assert_eq!(subject("disk-encryption", "swap:partition"), Some("swap"));
        assert_eq!(subject("disk-encryption", "home"), Some("*"));
        assert_eq!(subject("endpoint", "firewall"), Some("firewall"));
        assert_eq!(subject("unheard-of", "x"), None);
    }

    #[test]
    fn people_name_a_check_a_subject_or_both() {
        assert_eq!(named("swap").count(), 1);
        assert_eq!(named("disk-encryption").count(), 2);
        assert_eq!(named("endpoint:firewall").count(), 1);
        assert_eq!(named("nothing").count(), 0);
    }
}
