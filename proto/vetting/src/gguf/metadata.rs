//! The metadata entries: keys and values, and typed access to them.

use std::collections::BTreeMap;
use std::io::Read;

use super::cursor::{Cursor, Stop};
use super::value::{Kind, Texts, Value};
use crate::limits::{
    ALIGNMENT_DEFAULT, ALIGNMENT_MAX, ALIGNMENT_MIN, ENTRY_LEN_MIN, KEY_LEN_MAX, METADATA_LEN_MAX,
};
use crate::report::{Findings, Rule, excerpt};

#[derive(Debug, Default)]
pub(super) struct Metadata(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    /// Where the key lies in the file, in bytes.
    at: u64,
    value: Value,
}

impl Metadata {
    /// Reads `count` entries, which the caller has bounded.
    pub(super) fn read<R: Read>(cursor: &mut Cursor<R>, count: u64) -> Result<Self, Stop> {
        let mut entries = BTreeMap::new();
        for left in (1..=count).rev() {
            cursor.expect(u128::from(left) * u128::from(ENTRY_LEN_MIN), Rule::G02, "metadata")?;
            let at = cursor.offset();
            let key = read_key(cursor)?;
            if entries.contains_key(&key) {
                return Err(cursor.refuse(Rule::G03, format!("key {key} occurs twice")));
            }
            let value = Value::read(cursor, &key)?;
            entries.insert(key, Entry { at, value });
            if cursor.offset() > METADATA_LEN_MAX {
                return Err(
                    cursor.refuse(Rule::G06, format!("metadata is longer than {METADATA_LEN_MAX} bytes"))
                );
            }
        }
        Ok(Self(entries))
    }

    /// Where tensor data is aligned to, in bytes.
    pub(super) fn alignment<R: Read>(&self, cursor: &Cursor<R>) -> Result<u64, Stop> {
        let bad =
            || cursor.refuse(Rule::G08, "general.alignment must be a uint32, a power of two, 8 to 4096");
        match self.value("general.alignment") {
            None => Ok(ALIGNMENT_DEFAULT),
            Some(Value::Scalar(Kind::U32, bytes)) => {
                let alignment = u64::from(low_u32(bytes));
                let holds =
                    alignment.is_power_of_two() && (ALIGNMENT_MIN..=ALIGNMENT_MAX).contains(&alignment);
                if holds { Ok(alignment) } else { Err(bad()) }
            }
            Some(_) => Err(bad()),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The uint32 under `key`. Another type is a finding and counts as absent.
    pub(super) fn u32(&self, key: &str, findings: &mut Findings) -> Option<u32> {
        match self.value(key)? {
            Value::Scalar(Kind::U32, bytes) => Some(low_u32(bytes)),
            _ => self.wrong_type(key, "a uint32", findings),
        }
    }

    /// The float32 under `key`.
    pub(super) fn f32(&self, key: &str, findings: &mut Findings) -> Option<f32> {
        match self.value(key)? {
            Value::Scalar(Kind::F32, bytes) => Some(f32::from_bits(low_u32(bytes))),
            _ => self.wrong_type(key, "a float32", findings),
        }
    }

    /// The text under `key`.
    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => self.wrong_type(key, "a string", findings),
        }
    }

    /// The array of texts under `key`.
    pub(super) fn texts(&self, key: &str, findings: &mut Findings) -> Option<&Texts> {
        match self.value(key)? {
            Value::Texts(texts) => Some(texts),
            _ => self.wrong_type(key, "an array of strings", findings),
        }
    }

    /// The bytes of the array of numbers under `key`, if its elements are of `kind`.
    pub(super) fn numbers(&self, key: &str, kind: Kind, findings: &mut Findings) -> Option<&[u8]> {
        match self.value(key)? {
            Value::Numbers(found, bytes) if *found == kind => Some(bytes),
            _ => self.wrong_type(key, &format!("an array of {kind:?}"), findings),
        }
    }

    /// The number under `key` if it is an integer of whatever width.
    pub(super) fn integer(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Scalar(Kind::F32 | Kind::F64 | Kind::Bool, _) => None,
            Value::Scalar(_, bytes) => Some(u64::from_le_bytes(*bytes)),
            _ => None,
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|entry| &entry.value)
    }

    /// Where `key` lies in the file, in bytes.
    pub(super) fn at(&self, key: &str) -> Option<u64> {
        self.0.get(key).map(|entry| entry.at)
    }

    fn wrong_type<T>(&self, key: &str, wanted: &str, findings: &mut Findings) -> Option<T> {
        findings.refuse_at(Rule::S02, self.at(key), format!("{key} must be {wanted}"));
        None
    }
}

fn low_u32(bytes: &[u8; 8]) -> u32 {
    let [a, b, c, d, ..] = *bytes;
    u32::from_le_bytes([a, b, c, d])
}

fn read_key<R: Read>(cursor: &mut Cursor<R>) -> Result<String, Stop> {
    let len = cursor.u64(Rule::G03, "a key's length")?;
    if len == 0 || len > KEY_LEN_MAX {
        return Err(
            cursor.refuse(Rule::G03, format!("a key is {len} bytes long, allowed are 1 to {KEY_LEN_MAX}"))
        );
    }
    let mut bytes = Vec::new();
    cursor.append(&mut bytes, len, Rule::G03, "a key")?;
    let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    if !bytes.iter().all(allowed) {
        return Err(
            cursor.refuse(Rule::G03, format!("key \"{}\" may hold only a-z 0-9 _ . -", excerpt(&bytes)))
        );
    }
    // ASCII by the line above.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
