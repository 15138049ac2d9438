//! Pickles in HDF5: PyTables, and pandas through it, keep what is no array as pickled texts in attributes, and unpickle
//! them on sight. Attributes are stored plainly, so an import that is followed by a call is found where it stands. What
//! lies in compressed data, or is put together by memo from places far apart, is not.

use std::io::Cursor;

use super::super::Scan;
use super::super::pickle;
use super::super::source::{Source, Stop};
use crate::policy::Policy;
use crate::report::{Rule, Severity, excerpt};

/// Longest part of a pickle that is run to see whether it calls what it imports, in bytes.
const RUN_LEN_MAX: usize = 1024;

/// Longest module or name that is looked at, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Modules of which an import alone is refused: nothing in an attribute has a use for them.
const MODULES: &[&[u8]] = &[
    b"subprocess",
    b"builtins",
    b"__builtin__",
    b"commands",
    b"importlib",
    b"runpy",
    b"pty",
    b"ctypes",
    b"socket",
    b"shutil",
    b"webbrowser",
    b"marshal",
    b"code",
    b"timeit",
];

/// How functions of the system's own modules begin that start or destroy something. `os` alone could be half of a cosine.
const SYSTEM: &[&[u8]] =
    &[b"system", b"popen", b"exec", b"spawn", b"posix_spawn", b"startfile", b"fork", b"remove", b"unlink"];

/// The search, with what it may still spend.
pub(super) struct Pickled {
    policy: Policy,
    left: u64,
}

impl Pickled {
    pub(super) fn new(policy: &Policy, len: u64) -> Self {
        Self { policy: policy.clone(), left: len.saturating_mul(2).saturating_add(1 << 20) }
    }

    /// Judges what begins at `rest`, which stands at `place`.
    pub(super) fn see(&mut self, rest: &[u8], place: u64) -> Result<(), Stop> {
        let Some((module, name)) = import(rest) else { return Ok(()) };
        let is_system = matches!(module, b"os" | b"posix" | b"nt");
        let alone = MODULES.contains(&module) && rest[0] != b'i'
            || is_system && SYSTEM.iter().any(|begin| name.starts_with(begin));
        if alone || self.is_called(rest, place)? {
            let message = format!(
                "a pickle that imports {}.{}; PyTables and pandas would unpickle it",
                excerpt(module),
                excerpt(name)
            );
            return Err(Stop::refused(Rule::K02, place, message));
        }
        Ok(())
    }

    /// Whether the import is not on the list, and something is called after it.
    fn is_called(&mut self, rest: &[u8], place: u64) -> Result<bool, Stop> {
        if rest[0] == b'i' {
            return Ok(false);
        }
        let mut scan = Scan { policy: self.policy.clone(), ..Scan::default() };
        let part = &rest[..rest.len().min(RUN_LEN_MAX)];
        let mut cursor = Cursor::new(part);
        let mut source = Source::window(&mut cursor, 0, part.len() as u64);
        // How it ends does not matter: it began in the middle of another.
        let _ = pickle::try_one(&mut scan, &mut source);
        let Some(left) = self.left.checked_sub(source.offset()) else {
            return Err(Stop::unknown(Rule::H04, place, "too much that looks like pickles"));
        };
        self.left = left;
        let refused = |rule| matches!(rule, Rule::K02 | Rule::K04);
        let found = scan.findings.into_vec();
        Ok(scan.calls > 0 && found.iter().any(|f| f.severity == Severity::Refuse && refused(f.rule)))
    }
}

/// Module and name, if an opcode that imports begins here.
fn import(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (module, name) = match rest.first()? {
        b'c' | b'i' => {
            let (module, after) = line(&rest[1..])?;
            (module, line(after)?.0)
        }
        0x8c => {
            let (module, after) = short(&rest[1..])?;
            let after = after.strip_prefix(b"\x94").unwrap_or(after).strip_prefix(b"\x8c")?;
            let (name, after) = short(after)?;
            after.strip_prefix(b"\x94").unwrap_or(after).strip_prefix(b"\x93")?;
            (module, name)
        }
        _ => return None,
    };
    (is_name(module) && is_name(name) && module.len() > 1 && name.len() > 2).then_some((module, name))
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(NAME_LEN_MAX).position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, after) = bytes.split_first()?;
    after.split_at_checked(usize::from(*len)).filter(|_| usize::from(*len) <= NAME_LEN_MAX)
}

fn is_name(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}
