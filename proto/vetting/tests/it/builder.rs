//! Writes GGUF files, right ones and every wrong one a test asks for.

use croft_vetting::gguf::{Depth, lint};
use croft_vetting::report::{Report, Rule, Severity, Verdict};

pub const U8: u32 = 0;
pub const U16: u32 = 2;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const TEXT: u32 = 8;
pub const ARRAY: u32 = 9;
pub const TYPE_F32: u32 = 0;
pub const TYPE_Q8_0: u32 = 8;

/// A text as GGUF writes it: length, then bytes.
pub fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [&(value.len() as u64).to_le_bytes(), value].concat()
}

pub fn array(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [&kind.to_le_bytes()[..], &(items.len() as u64).to_le_bytes()].concat();
    items.iter().for_each(|item| bytes.extend(item));
    bytes
}

pub fn texts<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    array(TEXT, &items.iter().map(text).collect::<Vec<_>>())
}

#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub len: usize,
    /// Where it says that it lies; none writes the right place.
    pub offset: Option<u64>,
}

/// A tensor of 8-bit weights.
pub fn quantized(name: &str, dimensions: &[u64]) -> Tensor {
    let plain = tensor(name, dimensions);
    Tensor { kind: TYPE_Q8_0, len: plain.len / 4 / 32 * 34, ..plain }
}

pub fn tensor(name: &str, dimensions: &[u64]) -> Tensor {
    let len =
        dimensions.iter().fold(4, |len, dimension| len * usize::try_from(*dimension).unwrap_or(usize::MAX));
    Tensor { name: name.into(), dimensions: dimensions.to_vec(), kind: TYPE_F32, len, offset: None }
}

#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    pub tensor_count: Option<u64>,
    pub entry_count: Option<u64>,
    pub entries: Vec<(Vec<u8>, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
    pub alignment: usize,
    pub padding: u8,
    pub tail: Vec<u8>,
}

impl Gguf {
    /// A whole small model that passes.
    pub fn valid() -> Self {
        Self::family("llama", 8, 1)
    }

    /// Nothing at all, correctly written.
    pub fn empty() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            entry_count: None,
            entries: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
            padding: 0,
            tail: Vec::new(),
        }
    }

    /// Replaces or adds an entry.
    pub fn set(&mut self, key: &str, kind: u32, value: Vec<u8>) -> &mut Self {
        match self.entries.iter_mut().find(|entry| entry.0 == key.as_bytes()) {
            Some(entry) => *entry = (key.into(), kind, value),
            None => self.entries.push((key.into(), kind, value)),
        }
        self
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.entries.retain(|entry| entry.0 != key.as_bytes());
        self
    }

    /// Everything before the weights, padding included, and how long the whole file is.
    pub fn header(&self) -> (Vec<u8>, u64) {
        let mut out = self.description();
        out.resize(out.len().next_multiple_of(self.alignment), self.padding);
        let data: usize = self.tensors.iter().map(|t| t.len.next_multiple_of(self.alignment)).sum();
        let len = (out.len() + data) as u64;
        (out, len)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.description();
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), self.padding);
            out.resize(out.len() + tensor.len, 0x5a);
        }
        out.resize(out.len().next_multiple_of(self.alignment), self.padding);
        out.extend(&self.tail);
        out
    }

    fn description(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.entry_count.unwrap_or(self.entries.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.entries {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut place = 0_usize;
        for tensor in &self.tensors {
            out.extend(text(&tensor.name));
            out.extend((tensor.dimensions.len() as u32).to_le_bytes());
            tensor.dimensions.iter().for_each(|dimension| out.extend(dimension.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(place as u64).to_le_bytes());
            place = (place + tensor.len).next_multiple_of(self.alignment);
        }
        out
    }

    /// Where the weights begin.
    pub fn data_start(&self) -> usize {
        let data: usize = self.tensors.iter().map(|t| t.len.next_multiple_of(self.alignment)).sum();
        self.bytes().len() - data - self.tail.len()
    }

    pub fn lint(&self) -> Report {
        lint_bytes(&self.bytes())
    }

    /// Asserts that the file is refused, by this rule first.
    #[track_caller]
    pub fn refused_by(&self, rule: Rule) -> Report {
        let report = self.lint();
        assert_eq!(report.verdict, Verdict::Refuse, "{report:#?}");
        let first = report.findings.iter().find(|finding| finding.severity == Severity::Refuse);
        assert_eq!(first.map(|finding| finding.rule), Some(rule), "{report:#?}");
        report
    }

    #[track_caller]
    pub fn passes(&self) -> Report {
        let report = self.lint();
        assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
        report
    }
}

pub fn lint_bytes(bytes: &[u8]) -> Report {
    lint(bytes, bytes.len() as u64, Depth::Full)
}
