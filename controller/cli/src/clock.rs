//! The one place where this program reads the clock, and how times are written for people.

use croft_domain::time::Timestamp;

/// The present, in whole seconds since the Unix epoch.
pub fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0))
}

/// RFC 3339 in UTC; `-` for zero, which the wire uses for "never".
pub fn written(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).ok().filter(|s| *s > 0);
    seconds
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| "-".to_owned(), |t| t.to_string())
}

/// Reads RFC 3339 as TUF metadata writes it.
pub fn parsed(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_second()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_and_never_is_a_dash() {
        assert_eq!(written(Timestamp(1_795_219_200)), "2026-11-21T00:00:00Z");
        assert_eq!(parsed("2026-11-21T00:00:00Z"), Some(Timestamp(1_795_219_200)));
        assert_eq!(written(Timestamp(0)), "-");
        assert_eq!(parsed("yesterday"), None);
    }
}
