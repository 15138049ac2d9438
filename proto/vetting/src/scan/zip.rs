//! Zip archives. Two readers of one archive can see different files, so both its directories are read here, and any
//! difference between them is refused, as is every byte that belongs to neither a member nor a directory.

mod content;
mod directory;

use std::collections::HashSet;

use super::Scan;
use super::limits::NAME_LEN_MAX;
use super::pickle::Storages;
use super::source::{Source, Stop};
use crate::report::{Format, Rule, excerpt};
use directory::Entry;

/// Judges an archive and each of its members.
pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<Format, Stop> {
    let directory = directory::read(source)?;
    let mut entries = directory.entries;
    if entries.is_empty() {
        return Err(Stop::refused(Rule::Z01, 0, "an archive without members"));
    }
    let mut names = HashSet::new();
    for entry in &entries {
        scan.count_member(entry.header_at)?;
        check_name(&entry.name, entry.header_at)?;
        // Two names are one where case does not count. The names of arrays are keys, never files: `m` and `M` are two.
        let array = entry.name.ends_with(b".npy");
        let name = if array { entry.name.to_vec() } else { entry.name.to_ascii_lowercase() };
        if !names.insert(name) {
            let message = format!("'{}' stands twice", excerpt(&entry.name));
            return Err(Stop::refused(Rule::Z03, entry.header_at, message));
        }
    }
    entries.sort_by_key(|entry| entry.header_at);
    let mut end = 0;
    for entry in &mut entries {
        if entry.header_at != end {
            let message = "a member does not begin where the one before it ends";
            return Err(Stop::refused(Rule::Z05, end.min(entry.header_at), message));
        }
        end = directory::check_local(source, entry)?;
    }
    if end != directory.begin {
        return Err(Stop::refused(Rule::Z05, end, "bytes between the last member and the directory"));
    }
    content::judge(scan, source, &entries)
}

/// A name that stays where it is unpacked, and that no terminal and no reader takes for anything else.
pub(super) fn check_name(name: &[u8], at: u64) -> Result<(), Stop> {
    let refuse = |why: &str| Err(Stop::refused(Rule::Z08, at, format!("the name '{}' {why}", excerpt(name))));
    let Ok(text) = std::str::from_utf8(name) else { return refuse("is not UTF-8") };
    if text.is_empty() || text.len() > NAME_LEN_MAX {
        return refuse("is empty or too long");
    }
    if text.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
        return refuse("has characters that no plain name has");
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    let folders = text.strip_suffix('/').unwrap_or(text);
    if folders.split('/').any(|part| matches!(part, "" | "." | "..")) && text != "./" && !text.is_empty() {
        return refuse("leads out of its folder");
    }
    Ok(())
}
