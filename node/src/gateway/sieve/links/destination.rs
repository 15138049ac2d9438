//! Whether an address leads out, as far as its text can tell. What is allowed is listed, never what is forbidden.

/// Put before a destination that is not local.
pub(super) const MARK: &str = "defused:";

/// Writes a whole destination, disarmed unless it is plainly local.
pub(super) fn decide(destination: &str, out: &mut String) {
    if !is_local(destination) {
        out.push_str(MARK);
    }
    out.push_str(destination);
}

/// Hosts that are this machine.
const HERE: &[&str] =
    &["http://localhost", "http://127.0.0.1", "http://[::1]", "https://localhost", "https://127.0.0.1"];

/// Whether it leads nowhere but to the page, beside it, or to this machine.
fn is_local(destination: &str) -> bool {
    if destination.is_empty() || destination.starts_with('#') {
        return true;
    }
    if let Some(rest) = HERE.iter().find_map(|here| destination.strip_prefix(here)) {
        let port =
            rest.strip_prefix(':').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        return port.is_empty() || port.starts_with(['/', '?', '#']);
    }
    is_path(destination)
}

/// A path whose beginning can be read in one way only.
fn is_path(destination: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '%');
    if destination.chars().any(char::is_control) {
        return false;
    }
    let first = match destination.strip_prefix('/') {
        // A second slash, a backslash or a character reference would name a host.
        Some(rest) if !rest.is_empty() && !rest.starts_with(|c| is_plain(c) || matches!(c, '?' | '#')) => {
            return false;
        }
        Some(rest) => rest,
        None => destination,
    };
    // A reference such as `&#58;` begins no fragment.
    let ends = |(at, c): (usize, char)| matches!(c, '/' | '?') || c == '#' && !first[..at].ends_with('&');
    let end = first.char_indices().find(|found| ends(*found)).map_or(first.len(), |(at, _)| at);
    if end == 0 && !destination.starts_with('/') {
        return first.starts_with(['?', '#']);
    }
    // A colon would name a scheme, but for `::`, which is none; `\\:` and `&colon;` are a colon.
    let segment = first[..end].replace("::", "");
    let is_reference =
        |at: usize| segment[at + 1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '#');
    !segment.contains([':', '\\']) && !segment.match_indices('&').any(|(at, _)| is_reference(at))
}

/// Whether more text can still make it local.
pub(super) fn may_be_local(beginning: &str) -> bool {
    is_local(beginning)
        // The first half of `::`.
        || beginning.strip_suffix(':').is_some_and(|name| !name.ends_with(':') && is_path(name))
        || HERE.iter().any(|here| here.starts_with(beginning))
}
