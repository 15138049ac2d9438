//! Versions of installed packages, from the lists that package managers keep as text: dpkg, pacman and apk. What RPM
//! keeps is a database, and its own tool is asked.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use croft_domain::version::compare;

use super::disk::record::{RPM, Recorded};

/// Largest list of installed packages that is read, in bytes: a workstation's is some 10 MiB.
const LIST_LEN_MAX: u64 = 64 << 20;

/// Most packages of pacman, which keeps a folder for each.
const FOLDERS_MAX: usize = 50_000;

/// Versions of the `wanted` packages that are installed on the machine below `root`. None without a list.
pub(super) fn installed(root: &Path, wanted: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut found = Found { wanted, versions: BTreeMap::new() };
    if let Some(text) = text(&root.join("var/lib/dpkg/status")) {
        found.stanzas(&text, ["Package: ", "Version: "], Some("Status: install ok installed"));
    } else if let Some(text) = text(&root.join("lib/apk/db/installed")) {
        found.stanzas(&text, ["P:", "V:"], None);
    } else if let Ok(folders) = fs::read_dir(root.join("var/lib/pacman/local")) {
        for folder in folders.flatten().take(FOLDERS_MAX) {
            found.pacman(&folder.file_name().to_string_lossy());
        }
    } else {
        let is_live = root == Path::new("/");
        let mut recorded = if is_live { Recorded::default() } else { Recorded::of_tree(root) };
        let list = recorded.output(&RPM, "", is_live)?;
        for (name, version) in list.lines().filter_map(|line| line.split_once('\t')) {
            found.add(name, version);
        }
    }
    Some(found.versions)
}

fn text(list: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(list).ok()?.take(LIST_LEN_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

struct Found<'a> {
    wanted: &'a [&'a str],
    versions: BTreeMap<String, String>,
}

impl Found<'_> {
    /// Of two architectures, or two versions side by side, the older one counts.
    fn add(&mut self, name: &str, version: &str) {
        let is_older = |known: &String| compare(known, version) == Ordering::Less;
        if self.wanted.contains(&name) && !self.versions.get(name).is_some_and(is_older) {
            self.versions.insert(name.to_owned(), version.to_owned());
        }
    }

    /// Stanzas with an empty line between (deb822, and apk's database).
    fn stanzas(&mut self, text: &str, [name, version]: [&str; 2], must_say: Option<&str>) {
        for stanza in text.split("\n\n") {
            let field = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key));
            let is_installed = must_say.is_none_or(|said| stanza.lines().any(|line| line == said));
            if let (Some(name), Some(version), true) = (field(name), field(version), is_installed) {
                self.add(name, version);
            }
        }
    }

    /// `NAME-VERSION-RELEASE`.
    fn pacman(&mut self, folder: &str) {
        let mut hyphens = folder.rmatch_indices('-').map(|(at, _)| at);
        if let Some(at) = hyphens.nth(1) {
            self.add(&folder[..at], &folder[at + 1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(file: &str, text: &str) -> Option<Vec<(String, String)>> {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
        Some(installed(root.path(), &["openssl", "linux-firmware"])?.into_iter().collect())
    }

    fn one(name: &str, version: &str) -> Option<Vec<(String, String)>> {
        Some(vec![(name.to_owned(), version.to_owned())])
    }

    #[test]
    fn each_package_managers_list_is_read() {
        let apk = "C:Q1\nP:openssl\nV:3.3.2-r1\nA:x86_64\n\nC:Q1\nP:opensslx\nV:9\n";
        assert_eq!(versions("lib/apk/db/installed", apk), one("openssl", "3.3.2-r1"));
        let folder = "var/lib/pacman/local/linux-firmware-20240610.9c10a208-1/desc";
        assert_eq!(versions(folder, ""), one("linux-firmware", "20240610.9c10a208-1"));
        let rpm =
            r#"{"outputs":{"rpm ":"bash\t0:5.2-1\nopenssl\t1:3.0.7-28.el9\nopenssl\t1:3.0.7-27.el9\n"}}"#;
        assert_eq!(versions("croft/recorded.json", rpm), one("openssl", "1:3.0.7-27.el9"));
    }

    #[test]
    fn p5_no_list_is_not_an_empty_list() {
        assert_eq!(versions("etc/hostname", "x"), None);
        assert_eq!(versions("var/lib/dpkg/status", ""), Some(Vec::new()));
        assert_eq!(versions("croft/recorded.json", r#"{"outputs":{}}"#), None);
    }
}
