//! Which names say production. Whole words only: "product-team" does not.

/// Words that say production.
const PRODUCTION: [&str; 4] = ["prod", "production", "prd", "live"];

/// Words that say that the whole name is about something else.
const ELSEWHERE: [&str; 7] =
    ["nonprod", "preprod", "nonproduction", "preproduction", "staging", "stage", "stg"];

/// Words that turn the next one around.
const NEGATIONS: [&str; 4] = ["non", "pre", "not", "no"];

/// Whether `name` has a word that says production, and none that takes it back.
#[must_use]
pub fn names_production(name: &str) -> bool {
    let lower = name.to_lowercase();
    // prod1 and prod-eu-2 number the same thing.
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect();
    if words.iter().any(|word| ELSEWHERE.contains(word)) {
        return false;
    }
    words.iter().enumerate().any(|(at, word)| {
        let negated = at > 0 && NEGATIONS.contains(&words[at - 1]);
        PRODUCTION.contains(word) && !negated
    })
}
