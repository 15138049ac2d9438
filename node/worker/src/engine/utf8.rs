//! Whole UTF-8 out of tokens that are pieces of bytes.

/// Keeps the bytes of an unfinished character until the next token.
#[derive(Debug, Default)]
pub struct Utf8Assembler {
    pending: Vec<u8>,
}

impl Utf8Assembler {
    /// Takes the bytes of one token; gives what is whole. A byte that can begin or continue nothing becomes U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    let Some(invalid) = error.error_len() else {
                        self.pending.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending.drain(..valid + invalid);
                }
            }
        }
    }

    /// Nothing follows: a character that was begun becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        if self.pending.is_empty() {
            return String::new();
        }
        self.pending.clear();
        char::REPLACEMENT_CHARACTER.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole_however_they_are_cut() {
        let text = "aé€😀z";
        for cut in 1..text.len() {
            let mut assembler = Utf8Assembler::default();
            let mut out = String::new();
            for part in text.as_bytes().chunks(cut) {
                out.push_str(&assembler.push(part));
            }
            assert_eq!(out + &assembler.finish(), text, "cut {cut}");
        }
    }

    #[test]
    fn invalid_bytes_are_replaced_and_never_held() {
        let mut assembler = Utf8Assembler::default();
        assert_eq!(assembler.push(b"a\xFFb\x80"), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(assembler.push(b"\xF0\x9F"), "");
        assert_eq!(assembler.push(b"x"), "\u{FFFD}x");
        assert_eq!(assembler.push(b"\xE2\x82"), "");
        assert_eq!(assembler.finish(), "\u{FFFD}");
        assert_eq!(assembler.finish(), "");
    }
}
