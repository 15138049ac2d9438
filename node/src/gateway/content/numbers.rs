//! Numbers of people and of their accounts, which have no keyword but check themselves: cards (ISO/IEC 7812-1, Luhn),
//! IBANs (ISO 13616, mod 97), US social security numbers by their shape, and e-mail addresses.

use std::ops::Range;

/// Lengths of IBANs by country, as the registry lists them.
const IBAN_LENS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("XK", 20),
];

/// Longest IBAN with its spaces, and longest card number with its separators: a longer run is something else.
const RUN_LEN_MAX: usize = 48;

/// Bytes between looks: less than the shortest number, so that none is stepped over.
const STRIDE: usize = 8;

/// Addresses that belong to nobody.
const NOBODYS_DOMAINS: &[&str] = &["example.com", "example.org", "example.net", "example.test"];
/// Endings of files that look like domains, as in `icon@2x.png`.
const FILE_ENDINGS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "json", "html", "css", "js", "ts", "txt", "yml", "yaml",
    "toml", "xml",
];
const NOBODYS_NAMES: &[&str] = &["git", "noreply", "no-reply", "user", "name", "you", "me"];

/// A run of capital letters and digits, in groups divided by single blanks or hyphens.
fn is_run_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn belongs(bytes: &[u8], at: usize) -> bool {
    let is_run = |at: usize| bytes.get(at).is_some_and(|byte| is_run_byte(*byte));
    match bytes.get(at) {
        Some(b' ' | b'-') => at > 0 && is_run(at - 1) && is_run(at + 1),
        Some(byte) => is_run_byte(*byte),
        None => false,
    }
}

/// The runs that begin in `range` or span its beginning and end after `from`.
pub fn runs(bytes: &[u8], range: Range<usize>, from: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = range.start;
    let mut done = from;
    while at < range.end {
        if at < done || !belongs(bytes, at) {
            at += STRIDE;
            continue;
        }
        let mut start = at;
        while start > done && belongs(bytes, start - 1) {
            start -= 1;
        }
        let mut end = at;
        while belongs(bytes, end) {
            end += 1;
        }
        runs.push(start..end);
        done = end;
        at = end.max(at + STRIDE);
    }
    runs
}

/// Whether nothing of a longer word or number touches the place.
fn stands_alone(bytes: &[u8], range: &Range<usize>) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = range.start.checked_sub(1).and_then(|at| bytes.get(at));
    let after = bytes.get(range.end);
    let is_fraction = after == Some(&b'.') && bytes.get(range.end + 1).is_some_and(u8::is_ascii_digit)
        || before == Some(&b'.');
    !before.is_some_and(|byte| is_word(*byte)) && !after.is_some_and(|byte| is_word(*byte)) && !is_fraction
}

/// The groups of a run, each with its place.
fn groups(bytes: &[u8], run: &Range<usize>) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = run.start;
    for at in run.clone().chain([run.end]) {
        if at == run.end || matches!(bytes[at], b' ' | b'-') {
            groups.push(start..at);
            start = at + 1;
        }
    }
    groups
}

fn is_number(bytes: &[u8], range: &Range<usize>) -> bool {
    bytes[range.clone()].iter().all(u8::is_ascii_digit)
}

/// How cards are written: in one piece, or in groups as they are embossed.
fn is_written_as_a_card(groups: &[Range<usize>]) -> bool {
    let shapes: &[&[usize]] = &[&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4]];
    groups.len() == 1 || shapes.iter().any(|shape| groups.iter().map(Range::len).eq(shape.iter().copied()))
}

/// A card number in a run.
pub fn card(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let groups = groups(bytes, run);
    let candidates = (0..groups.len())
        .flat_map(|from| (from + 1..=groups.len().min(from + 5)).map(move |to| (from, to)))
        .map(|(from, to)| &groups[from..to])
        .filter(|groups| is_written_as_a_card(groups) && groups.iter().all(|group| is_number(bytes, group)));
    candidates.map(|groups| groups[0].start..groups[groups.len() - 1].end).find(|whole| {
        let digits: Vec<u8> =
            bytes[whole.clone()].iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect();
        (13..=19).contains(&digits.len()) && is_issued(&digits) && luhn(&digits) && stands_alone(bytes, whole)
    })
}

/// Beginnings that issuers use, with their lengths.
fn is_issued(digits: &[u8]) -> bool {
    let first = |n: usize| digits.iter().take(n).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    match digits.len() {
        13 => first(1) == 4,
        14 => matches!(first(3), 300..=305) || matches!(first(2), 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37),
        16..=19 => {
            first(1) == 4
                || matches!(first(2), 51..=55 | 62 | 65)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(first(3), 644..=649)
        }
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(*digit) * if at % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    // All the same digit passes the sum for some digits and is a filler.
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

/// An IBAN in a run.
pub fn iban(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    groups(bytes, run).into_iter().find_map(|group| {
        let country = std::str::from_utf8(bytes.get(group.start..group.start + 2)?).ok()?;
        let len = IBAN_LENS.iter().find(|(name, _)| *name == country)?.1;
        let mut end = group.start;
        let mut account = Vec::with_capacity(len);
        while account.len() < len && end < run.end {
            if is_run_byte(bytes[end]) {
                account.push(bytes[end]);
            } else if bytes[end] != b' ' {
                return None;
            }
            end += 1;
        }
        let whole = group.start..end;
        (account.len() == len
            && account[2..4].iter().all(u8::is_ascii_digit)
            && mod_97(&account) == 1
            && whole.len() <= RUN_LEN_MAX
            && stands_alone(bytes, &whole))
        .then_some(whole)
    })
}

fn mod_97(account: &[u8]) -> u32 {
    account[4..].iter().chain(&account[..4]).fold(0, |rest, byte| {
        let value = u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 });
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    })
}

/// A US social security number in a run: three, two and four digits, none of them all zero.
pub fn social_security(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let groups = groups(bytes, run);
    groups.windows(3).find_map(|three| {
        let whole = three[0].start..three[2].end;
        let is_shaped = three.iter().map(Range::len).eq([3, 2, 4])
            && three.iter().all(|group| is_number(bytes, group))
            && bytes[three[0].end] == b'-'
            && bytes[three[1].end] == b'-';
        // In a longer chain of groups it is part of something else.
        let is_alone = three[0].start == run.start || bytes[three[0].start - 1] == b' ';
        let ends = three[2].end == run.end || bytes[three[2].end] == b' ';
        let text = |group: &Range<usize>| &bytes[group.clone()];
        let is_issued = !matches!(text(&three[0]), b"000" | b"666")
            && bytes[whole.start] != b'9'
            && text(&three[1]) != b"00"
            && text(&three[2]) != b"0000";
        (is_shaped && is_alone && ends && is_issued && stands_alone(bytes, &whole)).then_some(whole)
    })
}

/// The e-mail address around the `@` at `at`.
pub fn email(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
    let is_domain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let local_len = bytes[..at].iter().rev().take(64).take_while(|byte| is_local(byte)).count();
    let local = &bytes[at - local_len..at];
    let run = bytes[at + 1..].iter().take(254).take_while(|byte| is_domain(byte)).count();
    let domain = std::str::from_utf8(&bytes[at + 1..at + 1 + run]).ok()?.trim_end_matches(['.', '-']);
    let (name, top) = domain.rsplit_once('.')?;
    let is_top =
        top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()) && !FILE_ENDINGS.contains(&top);
    let is_name = !name.is_empty() && name.split('.').all(|label| !label.is_empty());
    let lower = (domain.to_ascii_lowercase(), local.to_ascii_lowercase());
    let is_nobodys = NOBODYS_DOMAINS.iter().any(|d| lower.0 == *d || lower.0.ends_with(&format!(".{d}")))
        || NOBODYS_NAMES.iter().any(|name| lower.1 == name.as_bytes());
    let whole = at - local_len..at + 1 + domain.len();
    // user@host in an address with a scheme, as in ssh://user@host, names a login and not a mailbox.
    let is_login = bytes[..whole.start].ends_with(b"://");
    let begins = local.first().is_some_and(u8::is_ascii_alphanumeric);
    (begins && is_top && is_name && !is_nobodys && !is_login).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runs(text: &str, find: fn(&[u8], &Range<usize>) -> Option<Range<usize>>) -> Option<&str> {
        let bytes = text.as_bytes();
        runs(bytes, 0..bytes.len(), 0).iter().find_map(|run| find(bytes, run)).map(|range| &text[range])
    }

    #[test]
    fn cards_are_found_by_issuer_and_check_digit() {
        for (text, number) in [
            ("pay with 4111 1111 1111 1111 now", "4111 1111 1111 1111"),
            ("card=5500005555555559;", "5500005555555559"),
            ("x 3782-822463-10005.", "3782-822463-10005"),
        ] {
            assert_eq!(in_runs(text, card), Some(number), "{text}");
        }
        for text in [
            "4111 1111 1111 1112",
            "id 41111111111111110000000",
            "0x4111111111111111",
            "4111111111111111.5",
            "0000 0000 0000 0000",
            "1234567890123452",
            "a4111111111111111",
        ] {
            assert_eq!(in_runs(text, card), None, "{text}");
        }
    }

    #[test]
    fn ibans_are_found_by_country_length_and_check() {
        for (text, account) in [
            ("to DE89 3704 0044 0532 0130 00 please", "DE89 3704 0044 0532 0130 00"),
            ("IBAN GB82WEST12345698765432", "GB82WEST12345698765432"),
            ("IBAN NL91 ABNA 0417 1643 00", "NL91 ABNA 0417 1643 00"),
        ] {
            assert_eq!(in_runs(text, iban), Some(account), "{text}");
        }
        for text in
            ["DE88370400440532013000", "XX89370400440532013000", "DE8937040044053201300", "MAX_BUFFER_LEN"]
        {
            assert_eq!(in_runs(text, iban), None, "{text}");
        }
    }

    #[test]
    fn social_security_numbers_are_found_by_shape() {
        assert_eq!(in_runs("ssn: 123-45-6789,", social_security), Some("123-45-6789"));
        for text in [
            "000-45-6789",
            "666-45-6789",
            "923-45-6789",
            "123-00-6789",
            "2026-11-20",
            "1-123-45-6789",
            "123-45-6789-0",
        ] {
            assert_eq!(in_runs(text, social_security), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_people_are_found_and_others_are_not() {
        let find = |text: &'static str| {
            let at = text.find('@').expect("an at sign");
            email(text.as_bytes(), at).map(|range| &text[range])
        };
        assert_eq!(find("ask jane.doe+x@mail.acme.io."), Some("jane.doe+x@mail.acme.io"));
        for text in [
            "git@github.com:a/b",
            "npm i pkg@1.2.3",
            "@Override",
            "jane@example.com",
            "ssh://jane@host.acme.io",
            "a @ b.co",
            "x@localhost",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn no_number_is_stepped_over_wherever_it_stands() {
        for shift in 0..32 {
            let text = format!("{}123-45-6789 4111111111111111", "x ".repeat(shift).split_at(shift).1);
            assert!(in_runs(&text, social_security).is_some(), "{shift}");
            assert!(in_runs(&text, card).is_some(), "{shift}");
        }
    }
}
