//! Writes GGUF files, as far as tests and benches need it.

use std::io::Write as _;

/// A file under way: entries and tensors in the order in which they were given.
#[derive(Default)]
pub struct Gguf {
    entries: Vec<u8>,
    entry_count: u64,
    infos: Vec<u8>,
    data: Vec<u8>,
    tensor_count: u64,
    seed: u32,
}

/// A text with its length before it.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Types of tensors, as GGUF numbers them.
pub mod kind {
    pub const F32: u32 = 0;
    pub const Q4_0: u32 = 2;
    pub const Q8_0: u32 = 8;
}

impl Gguf {
    /// An entry of any kind.
    pub fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        text(&mut self.entries, key);
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(value);
        self.entry_count += 1;
    }

    /// A whole number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.entry(key, 4, &u32::try_from(value).expect("a small number").to_le_bytes());
    }

    /// A text.
    pub fn word(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.entry(key, 8, &bytes);
    }

    /// An array of `count` elements of one kind.
    pub fn array(&mut self, key: &str, kind: u32, count: usize, elements: &[u8]) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((count as u64).to_le_bytes());
        bytes.extend(elements);
        self.entry(key, 9, &bytes);
    }

    /// Single-precision numbers between -0.5 and 0.5, or ones where `ones`.
    pub fn tensor(&mut self, name: &str, shape: &[u64], ones: bool) {
        let mut data = Vec::new();
        for _ in 0..shape.iter().product::<u64>() {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = if ones { 1.0 } else { (self.seed >> 8) as f32 / (1 << 24) as f32 - 0.5 };
            data.extend(number.to_le_bytes());
        }
        self.given(name, shape, kind::F32, &data);
    }

    /// A tensor whose bytes are given; the first dimension is the row's length.
    pub fn given(&mut self, name: &str, shape: &[u64], kind: u32, data: &[u8]) {
        text(&mut self.infos, name);
        self.infos.extend((shape.len() as u32).to_le_bytes());
        self.infos.extend(shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
        self.infos.extend(kind.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(data);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensor_count += 1;
    }

    /// A file that goes when it is dropped.
    pub fn file(&self) -> tempfile::NamedTempFile {
        let mut head = b"GGUF".to_vec();
        head.extend(3_u32.to_le_bytes());
        head.extend(self.tensor_count.to_le_bytes());
        head.extend(self.entry_count.to_le_bytes());
        head.extend(&self.entries);
        head.extend(&self.infos);
        head.resize(head.len().next_multiple_of(32), 0);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&head).and_then(|()| file.write_all(&self.data)).expect("written");
        file
    }
}
