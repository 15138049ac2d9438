//! Comparing versions of packages and kernels as Debian does (Debian Policy 5.6.12), which orders dotted numbers of
//! other systems sensibly as well.

use std::cmp::Ordering;
use std::str::FromStr;

/// Compares two versions: `[epoch:]upstream[-revision]`.
///
/// Digits compare as numbers of any length; `~` sorts before everything, even the end; letters sort before other signs.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let ((left_epoch, left), (right_epoch, right)) = (epoch(left), epoch(right));
    let (left, left_revision) = left.rsplit_once('-').unwrap_or((left, ""));
    let (right, right_revision) = right.rsplit_once('-').unwrap_or((right, ""));
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| parts(left.as_bytes(), right.as_bytes()))
        .then_with(|| parts(left_revision.as_bytes(), right_revision.as_bytes()))
}

/// Compares two kernel releases, such as `6.1.0-28-amd64` and `6.1.0-28`. A flavor behind the number changes nothing.
#[must_use]
pub fn compare_releases(left: &str, right: &str) -> Ordering {
    parts(number_of_release(left).as_bytes(), number_of_release(right).as_bytes())
}

/// `6.1.0-28` of `6.1.0-28-amd64`, `6.8.0-49` of `6.8.0-49-generic`, `6.12.4-arch1` as it is.
fn number_of_release(release: &str) -> &str {
    match release.rsplit_once('-') {
        Some((number, flavor))
            if flavor.starts_with(|c: char| c.is_ascii_alphabetic()) && number.contains('-') =>
        {
            number
        }
        _ => release,
    }
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':').map(|(epoch, rest)| (u64::from_str(epoch), rest)) {
        Some((Ok(epoch), rest)) => (epoch, rest),
        _ => (0, version),
    }
}

fn parts(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        loop {
            let (a, b) = (left.first().copied(), right.first().copied());
            let is_digit = |c: Option<u8>| c.is_none_or(|c| c.is_ascii_digit());
            if is_digit(a) && is_digit(b) {
                break;
            }
            match weight(a).cmp(&weight(b)) {
                Ordering::Equal => (left, right) = (tail(left), tail(right)),
                other => return other,
            }
        }
        let (left_number, left_rest) = number(left);
        let (right_number, right_rest) = number(right);
        let by_value = left_number.len().cmp(&right_number.len()).then_with(|| left_number.cmp(right_number));
        if by_value != Ordering::Equal {
            return by_value;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

const fn tail(text: &[u8]) -> &[u8] {
    match text.split_first() {
        Some((_, rest)) => rest,
        None => text,
    }
}

/// Digits weigh like the end here: what follows them is compared as a number.
fn weight(c: Option<u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    }
}

/// The digits in front, without leading zeros.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let start = digits.iter().position(|c| *c != b'0').unwrap_or(digits.len());
    (&digits[start..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_without_their_flavor() {
        assert_eq!(compare_releases("6.1.0-28-amd64", "6.1.0-28"), Ordering::Equal);
        assert_eq!(compare_releases("6.1.0-9-amd64", "6.1.0-28"), Ordering::Less);
        assert_eq!(compare_releases("6.8.0-49-generic", "6.8.0-48-generic"), Ordering::Greater);
        assert_eq!(compare_releases("6.18.0", "6.8.0"), Ordering::Greater);
        assert_eq!(compare_releases("6.12.4-arch1-1", "6.12.4"), Ordering::Greater);
    }

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        for (small, large) in [
            ("1.0", "1.1"),
            ("1.9", "1.10"),
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("9.9", "1:0.1"),
            ("3.0.14-1~deb12u1", "3.0.14-1"),
            ("3.0.14-1~deb12u2", "3.0.15-1~deb12u1"),
            ("6.1.0-28", "6.1.0-30"),
            ("6.9.12", "6.12.0"),
            ("99999999999999999999", "100000000000000000000"),
        ] {
            assert_eq!(compare(small, large), Ordering::Less, "{small} {large}");
            assert_eq!(compare(large, small), Ordering::Greater, "{large} {small}");
        }
        for same in [("1.0", "1.00"), ("0:1", "1"), ("1.0", "1.0-0"), ("", "0")] {
            assert_eq!(compare(same.0, same.1), Ordering::Equal, "{same:?}");
        }
    }
}
