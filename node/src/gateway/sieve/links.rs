//! Takes the life out of links in text that a program may render: Markdown images and links, reference definitions,
//! autolinks, HTML attributes and CSS. An image is fetched without a click, and its address can carry a prompt away.
//!
//! A destination stays if it is plainly local: empty, a fragment, a relative path, this machine. All others get a
//! scheme that leads nowhere, `defused:`, in front, so that a person still reads where they led. It is decided by what
//! is allowed, since what is forbidden can be written in too many ways. Code is not excepted: renderers disagree
//! about where code ends. Text goes on as it comes; only a destination that may still be local is held back.
//!
//! Left as they are: bare addresses in text, which are followed by a click at most and show where they lead.

mod destination;

use destination::{MARK, decide, may_be_local};

/// Longest destination that is held back as perhaps local, in bytes.
const LOCAL_LEN_MAX: usize = 256;

/// Attributes whose value is an address, and words before `=` that begin one inside of a value.
const ADDRESSES: &[&str] = &[
    "src",
    "href",
    "srcset",
    "imagesrcset",
    "poster",
    "data",
    "action",
    "formaction",
    "background",
    "ping",
    "cite",
    "longdesc",
    "codebase",
    "archive",
    "manifest",
    "profile",
    "usemap",
    "classid",
    "lowsrc",
    "dynsrc",
    "url",
    "xlink:href",
    "xml:base",
];

/// Schemes of autolinks that reach out.
const REMOTE: &[&str] =
    &["http", "https", "ftp", "ftps", "ws", "wss", "file", "smb", "sftp", "ssh", "git", "data"];

/// Longest word that is remembered, in bytes; the longest above is shorter.
const WORD_LEN_MAX: usize = 24;

/// Reads one text, piece by piece.
#[derive(Debug, Default)]
pub struct Defuser {
    at: At,
    /// The last word, in lower case.
    word: String,
    /// The last character that is no space.
    last: char,
    /// Whether spaces follow it.
    spaced: bool,
    /// Where a reference definition can begin, or has begun.
    line: Line,
    /// Between `<name` and `>`.
    in_tag: bool,
    /// The quote that a value of the tag is in.
    quote: Option<char>,
}

/// Where in the text it is.
#[derive(Debug, Default)]
enum At {
    #[default]
    Text,
    /// After `<`: perhaps a scheme.
    Angle(String),
    /// Before a destination.
    Gap(Kind),
    /// In a destination that may still be local.
    Destination(Kind, String),
    /// In one that is decided.
    Decided(Kind),
}

/// How far a line is on its way to `[label]: destination`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Nothing but indentation, quote marks and list marks so far.
    #[default]
    Begun,
    /// In a label, which may go on in the next line.
    Label,
    /// Something else.
    Other,
}

/// How a destination ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `](here)` and `]: here`.
    Plain,
    /// In angle brackets.
    Angled,
    /// In quotes.
    Quoted(char),
    /// A value without quotes.
    Bare,
    /// `url(here)`.
    Style,
}

impl Defuser {
    /// Takes more text; gives what can be shown.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + MARK.len());
        for character in text.chars() {
            self.step(character, &mut out);
        }
        out
    }

    /// Gives what was held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        match std::mem::take(&mut self.at) {
            At::Destination(_, held) => decide(&held, &mut out),
            At::Angle(held) => out.push_str(&held),
            At::Text | At::Gap(_) | At::Decided(_) => {}
        }
        out
    }

    fn step(&mut self, character: char, out: &mut String) {
        match std::mem::take(&mut self.at) {
            At::Text => self.text(character, out),
            At::Angle(held) => self.angle(held, character, out),
            At::Gap(kind) => self.gap(kind, character, out),
            At::Destination(kind, held) if self.ends(kind, character) => {
                decide(&held, out);
                self.after(kind, character, out);
            }
            At::Destination(kind, mut held) => {
                held.push(character);
                if held.len() <= LOCAL_LEN_MAX && may_be_local(&held) {
                    self.at = At::Destination(kind, held);
                } else {
                    out.push_str(MARK);
                    out.push_str(&held);
                    self.at = At::Decided(kind);
                }
            }
            At::Decided(kind) if self.ends(kind, character) => self.after(kind, character, out),
            At::Decided(kind) => {
                out.push(character);
                self.at = At::Decided(kind);
            }
        }
    }

    /// Whether the destination ends before this character. The quote around the whole value ends every kind.
    fn ends(&self, kind: Kind, character: char) -> bool {
        self.quote == Some(character)
            || match kind {
                Kind::Plain => character.is_whitespace() || character == ')',
                Kind::Angled => matches!(character, '>' | '\n'),
                // A list of addresses goes on behind a comma or a space. Line breaks and tabs, which browsers leave
                // out, are part of the address, and no local one has any.
                Kind::Quoted(quote) => character == quote || matches!(character, ',' | ' '),
                Kind::Bare => character.is_whitespace() || character == '>',
                Kind::Style => character.is_whitespace() || matches!(character, ')' | ';'),
            }
    }

    /// The end of a destination. Inside of quotes another may follow, as in `srcset`.
    fn after(&mut self, kind: Kind, character: char, out: &mut String) {
        if let Kind::Quoted(quote) = kind
            && character != quote
            && self.quote != Some(character)
        {
            self.show(character, out);
            self.at = At::Gap(kind);
            return;
        }
        self.text(character, out);
    }

    fn text(&mut self, character: char, out: &mut String) {
        if character == '<' {
            self.show(character, out);
            self.at = At::Angle(String::new());
            return;
        }
        if self.quote == Some(character) {
            self.quote = None;
        } else if self.in_tag && self.quote.is_none() {
            match character {
                '>' => self.in_tag = false,
                // Only as the first character of a value.
                '"' | '\'' if self.last == '=' => self.quote = Some(character),
                _ => {}
            }
        }
        let is_address = ADDRESSES.contains(&self.word.as_str());
        let is_adjacent = !self.spaced;
        let gap = match character {
            '(' if self.last == ']' && is_adjacent => Some(Kind::Plain),
            ':' if self.last == ']' && is_adjacent && self.line == Line::Label => Some(Kind::Plain),
            '(' if self.word == "url" => Some(Kind::Style),
            '=' if self.in_tag && is_address => Some(Kind::Bare),
            '"' | '\'' if self.word == "@import" => Some(Kind::Quoted(character)),
            _ if self.word == "@import" && character.is_whitespace() => Some(Kind::Style),
            _ => None,
        };
        self.show(character, out);
        if let Some(kind) = gap {
            self.at = At::Gap(kind);
        }
    }

    /// After `<`: a scheme that reaches out, the name of a tag, or neither.
    fn angle(&mut self, mut held: String, character: char, out: &mut String) {
        let is_scheme = |text: &str| REMOTE.iter().any(|scheme| scheme.eq_ignore_ascii_case(text));
        if character.is_ascii_alphanumeric() && held.len() < WORD_LEN_MAX {
            held.push(character);
            self.at = At::Angle(held);
            return;
        }
        if character == ':' && is_scheme(&held) {
            out.push_str(MARK);
        } else if self.quote.is_none() && held.starts_with(|first: char| first.is_ascii_alphabetic()) {
            self.in_tag = true;
        }
        held.chars().for_each(|character| self.show(character, out));
        self.text(character, out);
    }

    /// Spaces, then perhaps a bracket or quote, then the destination.
    fn gap(&mut self, kind: Kind, character: char, out: &mut String) {
        if self.quote == Some(character) && !matches!(kind, Kind::Quoted(_)) {
            // The value around it ends.
            self.text(character, out);
            return;
        }
        let inner = match (kind, character) {
            (Kind::Plain, '<') => Some(Kind::Angled),
            (Kind::Bare | Kind::Style, '"' | '\'') => {
                if kind == Kind::Bare && self.quote.is_none() {
                    self.quote = Some(character);
                }
                Some(Kind::Quoted(character))
            }
            (Kind::Quoted(_), ',') => Some(kind),
            _ if character.is_whitespace() || character.is_control() => Some(kind),
            _ => None,
        };
        match inner {
            Some(inner) => {
                self.show(character, out);
                self.at = At::Gap(inner);
            }
            None => {
                self.at = At::Destination(kind, String::new());
                self.step(character, out);
            }
        }
    }

    /// Shows a character and remembers what it means for the next.
    fn show(&mut self, character: char, out: &mut String) {
        out.push(character);
        self.line = match (self.line, character) {
            // A label may be cut over lines, but not by an empty one.
            (Line::Label, '\n') if self.last == '\n' => Line::Begun,
            (Line::Label, _) => Line::Label,
            (_, '\n') => Line::Begun,
            (Line::Begun, '[') => Line::Label,
            (Line::Begun, ' ' | '\t' | '>' | '-' | '*' | '+' | '.' | ')' | '0'..='9') => Line::Begun,
            _ => Line::Other,
        };
        if character.is_whitespace() {
            self.spaced = true;
            if character == '\n' && self.line == Line::Label {
                self.last = character;
            }
            return;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '@');
        if self.spaced || !is_word(self.last) || !is_word(character) || self.word.len() >= WORD_LEN_MAX {
            self.word.clear();
        }
        if is_word(character) {
            self.word.push(character.to_ascii_lowercase());
        }
        (self.last, self.spaced) = (character, false);
    }
}

#[cfg(test)]
mod tests;
