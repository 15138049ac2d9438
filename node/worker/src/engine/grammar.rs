//! What a form of answers may cost. llama.cpp follows every way in which a grammar can go on at once, so that a row of
//! parts that may all be left out costs its square at each token, and a nested one does not end. It cannot be
//! interrupted there, and everybody else would wait: such forms are refused before it sees them.
//!
//! This reads forms only as far as that needs. Whether they are well formed is llama.cpp's to say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::limits::{FORM_OPTIONAL_MAX, FORM_PARTS_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PROPERTIES_MAX};

/// Whether a JSON schema can be followed.
#[must_use]
pub fn schema_fits(schema: &Value) -> bool {
    let mut properties = 0;
    node_fits(schema, 0, &mut properties) && properties <= SCHEMA_PROPERTIES_MAX
}

fn node_fits(node: &Value, depth: usize, properties: &mut usize) -> bool {
    if depth > SCHEMA_DEPTH_MAX {
        return false;
    }
    match node {
        Value::Array(items) => items.iter().all(|item| node_fits(item, depth + 1, properties)),
        Value::Object(fields) => fields.iter().all(|(key, value)| {
            if let ("properties", Value::Object(named)) = (key.as_str(), value) {
                *properties += named.len();
            }
            let is_pattern = key == "pattern" || key == "format";
            let fits = value.as_str().filter(|_| is_pattern).is_none_or(pattern_fits);
            fits && node_fits(value, depth + 1, properties)
        }),
        _ => true,
    }
}

/// Whether a regular expression can be followed.
fn pattern_fits(pattern: &str) -> bool {
    expression(pattern).is_some_and(Weight::fits)
}

/// Whether a grammar in GBNF can be followed.
#[must_use]
pub fn fits(grammar: &str) -> bool {
    let mut rules = BTreeMap::new();
    let mut name = String::new();
    for line in logical_lines(grammar) {
        let (head, body) = match line.split_once("::=") {
            Some((head, body)) => (head.trim().to_owned(), body),
            None => (name.clone(), line.as_str()),
        };
        name = head;
        rules.entry(name.clone()).or_insert_with(String::new).push_str(body);
    }
    // Weights of rules by name, from below: what is not known yet, or names itself, counts as one part.
    let mut known: BTreeMap<&str, Weight> = BTreeMap::new();
    for _ in 0..rules.len().min(FORM_PASSES_MAX) {
        let before = known.clone();
        for (name, body) in &rules {
            let Some(weight) = sequence(body, &before) else { return false };
            if !weight.fits() {
                return false;
            }
            known.insert(name, weight);
        }
        if known == before {
            return true;
        }
    }
    true
}

/// Passes over all rules: weights settle as deep as rules lie in each other, and growth without end is noticed sooner.
const FORM_PASSES_MAX: usize = 64;

/// Rules, each in one line, without comments.
fn logical_lines(grammar: &str) -> Vec<String> {
    grammar.lines().map(|line| without_comment(line).to_owned()).collect()
}

fn without_comment(line: &str) -> &str {
    let (mut quoted, mut classed, mut escaped) = (false, false, false);
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if !classed => quoted = !quoted,
            '[' if !quoted => classed = true,
            ']' if !quoted => classed = false,
            '#' if !quoted && !classed => return &line[..at],
            _ => {}
        }
    }
    line
}

/// How much a part makes llama.cpp follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    /// Parts in it, written out.
    parts: u64,
    /// Parts that may be left out, one after another, written out.
    optional: u64,
    /// The longest row of such parts so far.
    row: u64,
    /// Whether all of it may be left out.
    skippable: bool,
}

impl Weight {
    const ONE: Self = Self { parts: 1, optional: 0, row: 0, skippable: false };
    const NOTHING: Self = Self { parts: 0, optional: 0, row: 0, skippable: true };

    const fn fits(self) -> bool {
        self.parts <= FORM_PARTS_MAX && self.row <= FORM_OPTIONAL_MAX && self.optional <= FORM_OPTIONAL_MAX
    }

    /// This, then that.
    fn then(self, next: Self) -> Self {
        let optional = if next.skippable { self.optional.saturating_add(next.optional) } else { 0 };
        Self {
            parts: self.parts.saturating_add(next.parts),
            optional,
            row: self.row.max(next.row).max(optional),
            skippable: self.skippable && next.skippable,
        }
    }

    /// This or that.
    fn or(self, other: Self) -> Self {
        Self {
            parts: self.parts.saturating_add(other.parts),
            optional: self.optional.saturating_add(other.optional),
            row: self.row.max(other.row),
            skippable: self.skippable || other.skippable,
        }
    }

    /// Between `low` and `high` times; no bound counts as once more than `low`.
    fn times(self, low: u64, high: Option<u64>) -> Self {
        let count = high.unwrap_or(low.saturating_add(1)).max(low);
        let optional = if self.skippable { self.optional.max(1).saturating_mul(count) } else { 0 };
        // What follows the least number is nested, so that it counts once.
        let optional = if low == 0 { optional.max(1) } else { optional };
        Self {
            parts: self.parts.saturating_mul(count),
            optional,
            row: self.row.max(optional),
            skippable: self.skippable || low == 0,
        }
    }
}

/// What is inside of a pair of parentheses, or outside of all.
#[derive(Default)]
struct Level {
    /// Alternatives that are complete.
    before: Option<Weight>,
    /// The one under way, without its last part.
    begun: Option<Weight>,
    last: Option<Weight>,
}

impl Level {
    fn push(&mut self, part: Weight) {
        self.settle();
        self.last = Some(part);
    }

    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.begun = Some(self.begun.map_or(last, |begun| begun.then(last)));
        }
    }

    fn alternative(&mut self) {
        self.settle();
        let one = self.begun.take().unwrap_or(Weight { optional: 1, ..Weight::NOTHING });
        self.before = Some(self.before.map_or(one, |before| before.or(one)));
    }

    fn repeat(&mut self, low: u64, high: Option<u64>) {
        self.last = self.last.map(|last| last.times(low, high));
    }

    fn whole(mut self) -> Weight {
        self.alternative();
        self.before.unwrap_or(Weight::NOTHING)
    }
}

/// The weight of a regular expression; none if its brackets do not match.
fn expression(text: &str) -> Option<Weight> {
    read(text, &|rest, level| {
        level.push(Weight::ONE);
        rest.chars().next().map_or(0, char::len_utf8)
    })
}

/// The weight of the right side of a rule.
fn sequence(text: &str, known: &BTreeMap<&str, Weight>) -> Option<Weight> {
    read(text, &|rest, level| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let first = rest.chars().next().unwrap_or(' ');
        if first == '"' {
            level.push(Weight::ONE);
            return quoted_len(rest);
        }
        let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if len > 0 {
            level.push(known.get(&rest[..len]).copied().unwrap_or(Weight::ONE));
            return len;
        }
        if !first.is_whitespace() {
            level.push(Weight::ONE);
        }
        first.len_utf8()
    })
}

fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Reads what both have in common: groups, classes, alternatives, repetitions. `atom` takes the rest.
fn read(text: &str, atom: &dyn Fn(&str, &mut Level) -> usize) -> Option<Weight> {
    let mut levels = vec![Level::default()];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let level = levels.last_mut()?;
        let mut len = first.len_utf8();
        match first {
            '(' => {
                levels.push(Level::default());
                // What a group begins with says how it is captured, not what it is.
                if rest.starts_with("(?") {
                    len = rest.find([':', '=', '!', '>']).map_or(2, |at| at + 1);
                }
            }
            ')' => {
                let inner = levels.pop()?.whole();
                levels.last_mut()?.push(inner);
            }
            '[' => {
                level.push(Weight::ONE);
                len = class_len(rest);
            }
            '\\' => {
                level.push(Weight::ONE);
                len += rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            '|' => level.alternative(),
            '?' => level.repeat(0, Some(1)),
            '*' => level.repeat(0, None),
            '+' => level.repeat(1, None),
            '{' => {
                len = rest.find('}')? + 1;
                let (low, high) = counts(&rest[1..len - 1])?;
                level.repeat(low, high);
            }
            _ => len = atom(rest, level),
        }
        rest = rest.get(len.max(1)..)?;
    }
    let [level] = <[Level; 1]>::try_from(levels).ok()?;
    Some(level.whole())
}

fn class_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' if at > 1 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `{3}`, `{3,}` or `{3,5}`.
fn counts(text: &str) -> Option<(u64, Option<u64>)> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match text.split_once(',') {
        None => number(text).map(|count| (count, Some(count))),
        Some((low, "")) => Some((number(low)?, None)),
        Some(("", high)) => Some((0, Some(number(high)?))),
        Some((low, high)) => Some((number(low)?, Some(number(high)?))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_people_ask_for_fits() {
        for pattern in [
            "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
            r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==)?$",
            "^[a-z]{1,64}(_[a-z]{1,64}){0,8}$",
            "^a?b*c+(d|e|f)$",
        ] {
            assert!(pattern_fits(pattern), "{pattern}");
        }
        let grammar = r##"
            root ::= object # the beginning
            value ::= object | array | string | number | ("true" | "false" | "null") ws
            object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
            array ::= "[" ws ( value ("," ws value)* )? "]" ws
            string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
            number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
            ws ::= | " " | "\n" [ \t]{0,20}
        "##;
        assert!(fits(grammar));
        assert!(fits(r#"root ::= ("yes" | "no") " " [0-9]{3}"#));
        assert!(fits(&format!(
            "root ::= {}",
            (0..2000).map(|n| format!("\"v{n}\"")).collect::<Vec<_>>().join(" | ")
        )));
        let wide: serde_json::Map<_, _> =
            (0..200).map(|n| (format!("p{n}"), json!({"type": "string"}))).collect();
        assert!(schema_fits(&json!({"type": "object", "properties": wide})));
    }

    #[test]
    fn p9_forms_that_would_never_end_are_refused() {
        for pattern in [
            "^(((((a?){99}){99}){99}){99})$",
            "^(a{1000}){1000}$",
            "^(a?){2000}$",
            "^(a|){500}$",
            "^((a*)*){99999}$",
        ] {
            assert!(!pattern_fits(pattern), "{pattern}");
            assert!(!schema_fits(&json!({"type": "array", "items": {"type": "string", "pattern": pattern}})));
        }
        for grammar in [
            format!("root ::= {}", "(\"a\" | \"a\")? ".repeat(300)),
            format!("root ::= {}", "\"a\"? ".repeat(300)),
            format!("root ::= {}", "b ".repeat(300) + "\nb ::= \"a\"*"),
            "root ::= a{90}\na ::= b{90}\nb ::= c{90}\nc ::= \"x\"?".to_owned(),
            "root ::= (((\"a\"?){99}){99}){99}".to_owned(),
            "root ::= \"(\" (\"a\" |){400}".to_owned(),
        ] {
            assert!(!fits(&grammar), "{}", &grammar[..grammar.len().min(60)]);
        }
        let wide: serde_json::Map<_, _> = (0..1500).map(|n| (format!("p{n}"), json!(true))).collect();
        assert!(!schema_fits(&json!({"anyOf": [{"properties": wide}]})));
        let mut deep = json!(true);
        for _ in 0..100 {
            deep = json!({"items": deep});
        }
        assert!(!schema_fits(&deep));
    }

    #[test]
    fn nothing_that_is_read_makes_it_fall() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let alphabet = [
                    "(", ")", "[", "]", "{", "}", "3", ",", "|", "?", "*", "+", "\\", "\"", "é", "a", " ",
                    "::=", "\n", "#", "(?:",
                ];
                let at = usize::try_from(state >> 40).expect("small") % alphabet.len();
                text.push_str(alphabet[at]);
            }
            let _ = (fits(&text), pattern_fits(&text));
        }
    }
}
