//! Which characters a text of the file may hold. What is refused could hide or reorder what a person reads.

/// Tokens and merges are the model's alphabet: any valid UTF-8 is theirs to hold.
pub(super) fn may_hold_any(key: &str) -> bool {
    matches!(key, "tokenizer.ggml.tokens" | "tokenizer.ggml.merges")
}

/// The first character that no text of a model file needs.
pub(crate) fn first_forbidden(text: &str) -> Option<char> {
    text.chars().find(|c| is_forbidden(*c))
}

/// Line breaks and tabs are what templates and descriptions are written with; every other control character is not.
fn is_forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{200b}'..='\u{200f}'                 // zero-width and direction marks
        | '\u{202a}'..='\u{202e}'               // bidirectional embedding and override
        | '\u{2066}'..='\u{2069}'               // bidirectional isolates
        | '\u{feff}'                            // byte order mark
        | '\u{e0000}'..='\u{e007f}' => true, // tags
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_each_range() {
        for bad in [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{80}',
            '\u{9f}',
            '\u{200b}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0000}',
            '\u{e007f}',
        ] {
            assert_eq!(first_forbidden(&format!("a{bad}b")), Some(bad), "{}", bad.escape_unicode());
        }
        for good in [
            '\n',
            '\t',
            '\r',
            ' ',
            '~',
            '\u{a0}',
            '\u{200a}',
            '\u{2010}',
            '\u{2029}',
            '\u{202f}',
            '\u{e0080}',
            '▁',
            '｜',
        ] {
            assert_eq!(first_forbidden(&format!("a{good}b")), None, "{}", good.escape_unicode());
        }
    }
}
