//! Text to tokens and back, with one rule: control tokens come from the approved template, never from what was typed.
//!
//! Raw prompts may hold the fill-in-the-middle marks of the model, which is how editors ask for a completion in the
//! middle of a file; every other control token in them is plain text as well.

use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_2::vocab::LlamaVocab;

use crate::engine::template::Part;

/// A model's vocabulary, prepared.
#[derive(Debug)]
pub struct Vocabulary<'m> {
    vocab: LlamaVocab<'m>,
    begin: Option<LlamaToken>,
    ends: Vec<LlamaToken>,
    control: Marks,
    /// Everything that llama.cpp would read as more than text.
    special: Marks,
    middle: Marks,
    piece_len_max: usize,
}

impl<'m> Vocabulary<'m> {
    /// Looks through the vocabulary once.
    #[must_use]
    pub fn new(vocab: LlamaVocab<'m>) -> Self {
        let (mut control, mut special) = (Marks::default(), Marks::default());
        let (mut ends, mut piece_len_max) = (Vec::new(), 1);
        for token in vocab.tokens() {
            let text = vocab.text(token).map(|text| text.to_bytes().to_vec()).unwrap_or_default();
            piece_len_max = piece_len_max.max(text.len());
            if vocab.is_eog(token) {
                ends.push(token);
            }
            let unknown = vocab.attr(token).0.contains(LlamaTokenAttr::Unknown);
            if vocab.is_control(token) || vocab.is_eog(token) || unknown {
                special.add(token, text.clone());
            }
            if vocab.is_control(token) || vocab.is_eog(token) {
                control.add(token, text);
            }
        }
        let mut middle = Marks::default();
        let known = [
            vocab.fim_pre(),
            vocab.fim_suf(),
            vocab.fim_mid(),
            vocab.fim_pad(),
            vocab.fim_rep(),
            vocab.fim_sep(),
        ];
        for token in known.into_iter().filter(|token| token.0 >= 0) {
            middle.add(token, vocab.text(token).map(|text| text.to_bytes().to_vec()).unwrap_or_default());
        }
        let begin = Some(vocab.bos()).filter(|token| vocab.should_add_bos() && token.0 >= 0);
        Self { vocab, begin, ends, control, special, middle, piece_len_max }
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> i32 {
        self.vocab.n_tokens()
    }

    /// Whether there is no token at all, which no loadable model has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens that end an answer.
    #[must_use]
    pub fn ends(&self) -> &[LlamaToken] {
        &self.ends
    }

    /// Longest text of one token, in bytes: text of more than that times the context cannot fit it.
    #[must_use]
    pub fn piece_len_max(&self) -> usize {
        self.piece_len_max
    }

    /// The bytes that a token shows. Control tokens show none.
    #[must_use]
    pub fn piece(&self, token: LlamaToken) -> Vec<u8> {
        self.vocab.token_to_piece(token, false, None)
    }

    /// A raw prompt.
    #[must_use]
    pub fn raw(&self, text: &str) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((at, token, len)) = self.middle.first(rest) {
            self.plain(&rest[..at], &mut tokens);
            tokens.push(token);
            rest = &rest[at + len..];
        }
        self.plain(rest, &mut tokens);
        self.begun(tokens)
    }

    /// A conversation. A run of text between two control tokens is tokenized as one, as the model was trained,
    /// wherever the border of literal and content lies in it.
    #[must_use]
    pub fn conversation(&self, parts: &[Part]) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        let mut run = Vec::new();
        for part in parts {
            let literal = match part {
                Part::Content(text) => {
                    run.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Literal(text) => text.as_bytes(),
            };
            let Some((first, last)) = self.control.span(literal) else {
                run.extend_from_slice(literal);
                continue;
            };
            run.extend_from_slice(&literal[..first]);
            self.plain(&run, &mut tokens);
            tokens.extend(self.vocab.tokenize(&literal[first..last], false, true));
            run = literal[last..].to_vec();
        }
        self.plain(&run, &mut tokens);
        self.begun(tokens)
    }

    /// The first text of a control token in `text`: where it begins and how long it is.
    #[must_use]
    pub fn special(&self, text: &str) -> Option<(usize, usize)> {
        self.special
            .first(text.as_bytes())
            .map(|(at, _, len)| (at, len))
            .filter(|(at, len)| text.is_char_boundary(*at) && text.is_char_boundary(at + len))
    }

    /// The control tokens that are meant in a laid out conversation.
    #[must_use]
    pub fn controls(&self, parts: &[Part]) -> Vec<LlamaToken> {
        let mut controls = Vec::new();
        for part in parts {
            let Part::Literal(text) = part else { continue };
            let mut rest = text.as_bytes();
            while let Some((at, token, len)) = self.special.first(rest) {
                controls.push(token);
                rest = &rest[at + len..];
            }
        }
        controls
    }

    /// The token that this text of the model's own means, if it is one whole token.
    #[must_use]
    pub fn token(&self, text: &str) -> Option<LlamaToken> {
        match *self.vocab.tokenize(text.as_bytes(), false, true) {
            [token] => Some(token),
            _ => None,
        }
    }

    /// Text of the template, in which control tokens are meant.
    #[must_use]
    pub fn literal(&self, text: &str) -> Vec<LlamaToken> {
        self.vocab.tokenize(text.as_bytes(), false, true)
    }

    /// The bytes of a token, also of a control token.
    #[must_use]
    pub fn bytes(&self, token: LlamaToken) -> Vec<u8> {
        self.vocab.token_to_piece(token, true, None)
    }

    /// What is between two texts: the model's own marks around both. None if it has none.
    #[must_use]
    pub fn infill(&self, prefix: &str, suffix: &str) -> Option<Vec<LlamaToken>> {
        let [before, after, here] = [self.vocab.fim_pre(), self.vocab.fim_suf(), self.vocab.fim_mid()]
            .map(|token| Some(token).filter(|token| token.0 >= 0));
        let mut tokens = vec![before?];
        self.plain(prefix.as_bytes(), &mut tokens);
        tokens.push(after?);
        self.plain(suffix.as_bytes(), &mut tokens);
        tokens.push(here?);
        Some(self.begun(tokens))
    }

    /// A text by itself: for embeddings.
    #[must_use]
    pub fn text(&self, text: &str) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        self.plain(text.as_bytes(), &mut tokens);
        let mut tokens = self.begun(tokens);
        tokens.extend(self.close());
        tokens
    }

    /// A question and a text that may answer it, as models that rank were trained to read them.
    #[must_use]
    pub fn pair(&self, question: &str, text: &str) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        self.plain(question.as_bytes(), &mut tokens);
        tokens.extend(self.close());
        if self.vocab.should_add_eos() && self.vocab.should_add_sep() && self.vocab.sep().0 >= 0 {
            tokens.push(self.vocab.sep());
        }
        self.plain(text.as_bytes(), &mut tokens);
        let mut tokens = self.begun(tokens);
        tokens.extend(self.close());
        tokens
    }

    /// What stands at the end of a text, if anything does: encoders separate where others end.
    fn close(&self) -> Option<LlamaToken> {
        let end = if self.vocab.should_add_eos() {
            self.vocab.eos()
        } else if self.vocab.should_add_sep() {
            self.vocab.sep()
        } else {
            return None;
        };
        (end.0 >= 0).then_some(end)
    }

    /// Text in which no control token is meant.
    fn plain(&self, text: &[u8], out: &mut Vec<LlamaToken>) {
        if text.is_empty() {
            return;
        }
        for token in self.vocab.tokenize(text, false, false) {
            match self.control.text(token) {
                // Some tokenizers merge characters into whatever token has that text.
                Some(text) => {
                    let text = String::from_utf8_lossy(text);
                    let mut buffer = [0; 4];
                    let split = text.chars().flat_map(|character| {
                        self.vocab.tokenize(character.encode_utf8(&mut buffer).as_bytes(), false, false)
                    });
                    out.extend(split.filter(|token| self.control.text(*token).is_none()));
                }
                None => out.push(token),
            }
        }
    }

    fn begun(&self, mut tokens: Vec<LlamaToken>) -> Vec<LlamaToken> {
        if let Some(begin) = self.begin.filter(|begin| tokens.first() != Some(begin)) {
            tokens.insert(0, begin);
        }
        tokens
    }
}

/// Tokens that are found by their text.
#[derive(Debug, Default)]
struct Marks {
    /// By token, ascending, since the vocabulary is walked in order.
    texts: std::collections::BTreeMap<LlamaToken, Vec<u8>>,
    /// By the first byte of the text, so that a scan of ordinary text costs one look a byte.
    by_first: std::collections::BTreeMap<u8, Vec<LlamaToken>>,
}

impl Marks {
    fn add(&mut self, token: LlamaToken, text: Vec<u8>) {
        if let Some(first) = text.first() {
            self.by_first.entry(*first).or_default().push(token);
        }
        self.texts.insert(token, text);
    }

    fn text(&self, token: LlamaToken) -> Option<&[u8]> {
        self.texts.get(&token).map(Vec::as_slice)
    }

    /// The longest mark at the beginning of `text`.
    fn at(&self, text: &[u8]) -> Option<(LlamaToken, usize)> {
        self.by_first
            .get(text.first()?)?
            .iter()
            .filter_map(|token| {
                self.text(*token).filter(|mark| text.starts_with(mark)).map(|mark| (*token, mark.len()))
            })
            .max_by_key(|(_, len)| *len)
    }

    /// The first mark in `text`: where, which, how long.
    fn first(&self, text: &[u8]) -> Option<(usize, LlamaToken, usize)> {
        (0..text.len()).find_map(|at| self.at(&text[at..]).map(|(token, len)| (at, token, len)))
    }

    /// From the beginning of the first mark to the end of the last.
    fn span(&self, text: &[u8]) -> Option<(usize, usize)> {
        let (first, _, len) = self.first(text)?;
        let mut last = first + len;
        while let Some((at, _, len)) = self.first(&text[last..]) {
            last += at + len;
        }
        Some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_longest_first() {
        let mut marks = Marks::default();
        marks.add(LlamaToken(1), b"<|a|>".to_vec());
        marks.add(LlamaToken(2), b"<|a|>b".to_vec());
        marks.add(LlamaToken(3), Vec::new());
        assert_eq!(marks.first(b"x<|a|>c"), Some((1, LlamaToken(1), 5)));
        assert_eq!(marks.first(b"x<|a|>bc"), Some((1, LlamaToken(2), 6)));
        assert_eq!(marks.span(b"x<|a|> y <|a|>z"), Some((1, 14)));
        assert_eq!(marks.span(b"x<|a|"), None);
    }
}
