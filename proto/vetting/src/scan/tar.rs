//! Tar archives: plain files and folders only, each judged by content, zeros behind the last.

use super::Scan;
use super::source::{Source, Stop};
use super::zip::check_name;
use crate::report::{Rule, excerpt};

const BLOCK: u64 = 512;

/// Longest extended header, in bytes.
const EXTENDED_LEN_MAX: usize = 8 * 1024;

/// The stated and the true checksum of a header block.
pub(super) fn checksum(block: &[u8]) -> Option<(u64, u64)> {
    let stated = octal(block.get(148..156)?)?;
    let blank =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) });
    Some((stated, blank.sum()))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    u64::from_str_radix(if text.is_empty() { "0" } else { text }, 8).ok()
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let mut long_name: Option<Vec<u8>> = None;
    let mut names = std::collections::HashSet::new();
    loop {
        let at = source.offset();
        let bad = |message: &str| Stop::refused(Rule::A01, at, message);
        let block: [u8; 512] = source.array(Rule::A01, "a tar header")?;
        if block.iter().all(|byte| *byte == 0) {
            return zeros(source);
        }
        if checksum(&block).is_none_or(|(stated, true_sum)| stated != true_sum) {
            return Err(bad("the checksum of a tar header is not its own"));
        }
        let len = octal(&block[124..136]).ok_or_else(|| bad("a length should be octal"))?;
        let padding = (BLOCK - len % BLOCK) % BLOCK;
        let kind = block[156];
        if matches!(kind, b'L' | b'x' | b'g') {
            let bytes = source.take(len, EXTENDED_LEN_MAX, Rule::A01, "an extended header")?;
            source.skip(padding, Rule::A01, "padding")?;
            if kind == b'L' {
                long_name = Some(text(&bytes).to_vec());
            } else if len > EXTENDED_LEN_MAX as u64 {
                return Err(bad("an extended header that is too long"));
            } else if let Some(name) = extended(&bytes).map_err(bad)? {
                long_name = Some(name);
            }
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| {
            let prefix = if block[257..262] == *b"ustar" { text(&block[345..500]) } else { &[] };
            let join: &[u8] = if prefix.is_empty() { b"" } else { b"/" };
            [prefix, join, text(&block[..100])].concat()
        });
        scan.count_member(at)?;
        check_name(&name, at)?;
        match kind {
            b'5' if len == 0 => continue,
            b'0' | 0 => {}
            _ => return Err(bad("a link, device or unknown kind of member")),
        }
        if !names.insert(name.clone()) {
            return Err(Stop::refused(Rule::Z03, at, format!("'{}' stands twice", excerpt(&name))));
        }
        member(scan, source, &name, len)?;
        source.skip(padding, Rule::A01, "padding")?;
    }
}

/// The name that an extended header gives, if any. What would change where or what a member is, is refused.
fn extended(mut records: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut name = None;
    while !records.is_empty() {
        let digits = records.iter().position(|byte| *byte == b' ').filter(|len| *len < 6);
        let len = digits.and_then(|len| std::str::from_utf8(&records[..len]).ok()?.parse::<usize>().ok());
        let (Some(digits), Some(len)) = (digits, len) else {
            return Err("an extended header should be lines that begin with their length");
        };
        let Some([line @ .., b'\n']) = records.get(digits + 1..len) else {
            return Err("a line of an extended header that is cut off");
        };
        let key = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        match key {
            b"path" => name = line.get(5..).map(<[u8]>::to_vec),
            b"mtime" | b"atime" | b"ctime" | b"uid" | b"gid" | b"uname" | b"gname" | b"comment" => {}
            _ => return Err("an extended header that readers understand differently"),
        }
        records = &records[len..];
    }
    Ok(name)
}

fn member(scan: &mut Scan, source: &mut Source<'_>, name: &[u8], len: u64) -> Result<(), Stop> {
    let start = source.offset();
    if let Some(mut part) = source.part(start, len) {
        scan.judge_inner(name, &mut part)?;
        source.seek(start);
        return source.skip(len, Rule::A01, "a member");
    }
    let mut limited = std::io::Read::take(&mut *source, len);
    let mut content = Source::stream(&mut limited, Some(len));
    scan.judge_inner(name, &mut content)?;
    content.drain()?;
    if limited.limit() > 0 {
        return Err(source.refuse(Rule::A01, "the archive ends within a member"));
    }
    Ok(())
}

fn zeros(source: &mut Source<'_>) -> Result<(), Stop> {
    loop {
        let bytes = source.peek(4096)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(source.refuse(Rule::F03, "bytes follow the archive's end"));
        }
        let count = bytes.len();
        if count == 0 {
            return Ok(());
        }
        source.advance(count);
    }
}
