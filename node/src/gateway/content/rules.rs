//! The rules, read from the data file beside this one. A pattern is compiled when its keyword is first met: most never
//! are.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use croft_domain::data_class::{DataAction, DataClass, DataClasses};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

const FILE: &str = include_str!("rules.toml");

/// Longest secret that is compared with what manuals write, in bytes: longer random text may hold any short word.
const PLACEHOLDER_LEN_MAX: usize = 100;

/// What stands in a text that only shows where a secret would be.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "xxxx",
    "your",
    "placeholder",
    "changeme",
    "dummy",
    "redacted",
    "${",
    "****",
    "....",
    "0000000000",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Written>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Check {
    Jwt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    kind: String,
    class: DataClass,
    keywords: Vec<String>,
    pattern: String,
    #[serde(default = "default_before")]
    before: usize,
    #[serde(default = "default_reach")]
    reach: usize,
    #[serde(default)]
    entropy: f64,
    check: Option<Check>,
    #[serde(default)]
    ignore: Vec<String>,
}

const fn default_before() -> usize {
    64
}

const fn default_reach() -> usize {
    512
}

/// One rule.
pub struct Rule {
    written: Written,
    regex: OnceLock<Regex>,
}

/// The rules of the classes that something is done about.
pub struct Rules {
    classes: DataClasses,
    rules: Vec<Rule>,
    keywords: Option<AhoCorasick>,
    /// For each keyword, its rule.
    owners: Vec<usize>,
    keyword_len_max: usize,
}

impl Rules {
    /// Rules for what a baseline says.
    #[must_use]
    pub fn new(classes: &DataClasses) -> Self {
        let classes: DataClasses = classes
            .iter()
            .filter(|(_, action)| **action != DataAction::Allow)
            .map(|(c, a)| (*c, *a))
            .collect();
        let file: File = toml::from_str(FILE).expect("a test reads the rules");
        let wanted = file.rule.into_iter().filter(|rule| classes.contains_key(&rule.class));
        let rules: Vec<Rule> = wanted.map(|written| Rule { written, regex: OnceLock::new() }).collect();
        let owned: Vec<(&str, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(index, rule)| rule.written.keywords.iter().map(move |word| (word.as_str(), index)))
            .collect();
        let keywords = (!owned.is_empty()).then(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::DFA))
                .build(owned.iter().map(|(word, _)| word))
                .expect("a test reads the rules")
        });
        let keyword_len_max = owned.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
        let owners = owned.into_iter().map(|(_, index)| index).collect();
        Self { classes, rules, keywords, owners, keyword_len_max }
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// What becomes of a class.
    #[must_use]
    pub fn action(&self, class: DataClass) -> DataAction {
        self.classes.get(&class).copied().unwrap_or(DataAction::Allow)
    }

    /// Whether that class is looked for.
    #[must_use]
    pub fn wants(&self, class: DataClass) -> bool {
        self.classes.contains_key(&class)
    }

    pub(super) fn all(&self) -> &[Rule] {
        &self.rules
    }

    pub(super) const fn keyword_len_max(&self) -> usize {
        self.keyword_len_max
    }

    /// Where keywords stand, each with its rule's index.
    pub(super) fn hits<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + 'a {
        self.keywords
            .iter()
            .flat_map(move |keywords| keywords.find_overlapping_iter(bytes))
            .map(|hit| (self.owners[hit.pattern().as_usize()], hit.range()))
    }
}

/// A match of a rule: all of it, and the part that counts.
pub(super) struct Match {
    pub whole_end: usize,
    pub secret: std::ops::Range<usize>,
    pub is_secret: bool,
}

impl Rule {
    pub(super) fn id(&self) -> &str {
        &self.written.id
    }

    pub(super) fn kind(&self) -> &str {
        &self.written.kind
    }

    pub(super) const fn class(&self) -> DataClass {
        self.written.class
    }

    /// How far around a keyword to look, in bytes.
    pub(super) const fn window(&self) -> (usize, usize) {
        (self.written.before, self.written.reach)
    }

    fn regex(&self) -> &Regex {
        self.regex.get_or_init(|| {
            let bounded = format!(r"\b{{start-half}}(?:{})\b{{end-half}}", self.written.pattern);
            RegexBuilder::new(&bounded)
                .unicode(false)
                .dfa_size_limit(512 * 1024)
                .build()
                .expect("a test compiles every pattern")
        })
    }

    /// The first match that begins at `start` or later.
    pub(super) fn find(&self, bytes: &[u8], start: usize) -> Option<Match> {
        let whole = self.regex().find_at(bytes, start)?;
        let secret = self
            .regex()
            .captures_at(bytes, whole.start())
            .and_then(|captures| captures.name("secret").map(|secret| secret.range()))
            .unwrap_or_else(|| whole.range());
        let is_secret = self.is_secret(&bytes[secret.clone()]);
        Some(Match { whole_end: whole.end(), secret, is_secret })
    }

    fn is_secret(&self, secret: &[u8]) -> bool {
        let lower = secret.to_ascii_lowercase();
        let holds = |word: &str| lower.windows(word.len()).any(|window| window == word.as_bytes());
        let is_placeholder =
            secret.len() <= PLACEHOLDER_LEN_MAX && PLACEHOLDERS.iter().any(|word| holds(word));
        !is_placeholder
            && !self.written.ignore.iter().any(|word| word.as_bytes() == lower)
            && entropy(secret) >= self.written.entropy
            && self.written.check.is_none_or(|Check::Jwt| is_jwt(secret))
    }
}

/// Shannon entropy, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    #[allow(clippy::cast_precision_loss)]
    let len = bytes.len().max(1) as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / len);
    shares.map(|share| -share * share.log2()).sum()
}

fn is_jwt(token: &[u8]) -> bool {
    let head = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    let head = BASE64_URL_SAFE_NO_PAD.decode(head).ok();
    let head: Option<serde_json::Value> = head.and_then(|head| serde_json::from_slice(&head).ok());
    head.is_some_and(|head| head["alg"].is_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::super::Scan;
    use super::*;

    fn all_rules() -> Rules {
        Rules::new(&DataClass::ALL.iter().map(|class| (*class, DataAction::Block)).collect())
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_a_pattern_that_compiles() {
        let rules = all_rules();
        let ids: BTreeSet<&str> = rules.all().iter().map(Rule::id).collect();
        assert_eq!(ids.len(), rules.all().len());
        for rule in rules.all() {
            assert!(!rule.written.keywords.is_empty(), "{}", rule.id());
            assert!(!rule.regex().is_match(b"nothing of that kind"), "{}", rule.id());
        }
    }

    /// Secrets made up from each pattern, so that none stands in this repository.
    #[test]
    fn every_rule_finds_what_its_pattern_describes_and_nothing_of_it_is_told() {
        let rules = all_rules();
        let mut runner = TestRunner::deterministic();
        for rule in rules.all().iter().filter(|rule| rule.written.check.is_none()) {
            let pattern = rule.written.pattern.replace("(?P<secret>", "(?:").replace("(?i:", "(?:");
            let made = proptest::string::bytes_regex(&format!("(?-u:{pattern})"));
            let made = made.unwrap_or_else(|error| panic!("{}: {error}", rule.id()));
            // Some fall below the entropy asked for: made-up texts use few characters often.
            let found = (0..20).filter(|_| {
                let secret = made.new_tree(&mut runner).expect("a secret").current();
                let text = format!("{{\"kty\": \"EC\", {}}}; // end", String::from_utf8_lossy(&secret));
                Scan::new(&rules, &text).all().iter().any(|finding| finding.id == rule.id())
            });
            let found = found.count();
            assert!(found >= 10, "{}: found {found} of 20", rule.id());
        }
    }

    #[test]
    fn what_manuals_write_is_no_secret() {
        let rules = all_rules();
        let kinds = |text: &str| -> Vec<String> {
            Scan::new(&rules, text).all().into_iter().map(|finding| finding.id.to_owned()).collect()
        };
        for text in [
            concat!("AKIA", "IOSFODNN7EXAMPLE"),
            "postgres://user:password@localhost/db",
            "postgres://user:${PASSWORD}@db/app",
            "https://example.com:8080/path@2x.png",
            concat!("ghp_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            "const MONKEY_PATH: &str = \"a\";",
            "-----BEGIN PUBLIC KEY-----",
            "eyJhbGciOi is how they begin",
        ] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_json_web_token_is_one_by_its_head() {
        let rules = all_rules();
        let token = |head: &str| {
            let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
            format!(
                "{}.{}.{}",
                part(head),
                part(r#"{"sub":"1234567890"}"#),
                part("a signature of some bytes")
            )
        };
        let found = |head| Scan::new(&rules, &token(head)).all().len();
        assert_eq!(found(r#"{"alg":"HS256","typ":"JWT"}"#), 1);
        assert_eq!(found(r#"{"kind":"no algorithm here"}"#), 0);
    }

    #[test]
    fn a_whole_private_key_is_one_finding_also_when_escaped_or_cut() {
        let rules = all_rules();
        let lines = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(20);
        let (begin, end) = (concat!("-----BEGIN RSA PRI", "VATE KEY-----"), "-----END RSA PRIVATE KEY-----");
        let whole = format!("a\n{begin}\n{lines}{end}\nb");
        let findings = Scan::new(&rules, &whole).all();
        assert_eq!((findings.len(), findings[0].start, findings[0].end), (1, 2, whole.len() - 2));
        let escaped = format!("{{\"key\": \"{begin}\\n{}{end}\\n\"}}", lines.replace('\n', "\\n"));
        assert_eq!(Scan::new(&rules, &escaped).all().len(), 1);
        let cut = format!("{begin}\n{lines}");
        assert_eq!(Scan::new(&rules, &cut).all()[0].end, cut.trim_end().len());
    }
}
