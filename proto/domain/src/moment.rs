//! Times for people: relative words first, the exact time behind them. Writing the exact time is the edge's work, which
//! knows calendars; it comes in as a function.

use crate::time::Timestamp;

/// Writes a time exactly, as RFC 3339 in UTC.
pub type Exact = fn(Timestamp) -> String;

/// `3 hours ago (2026-11-20T18:00:00Z)`, or `never` for no time.
#[must_use]
pub fn describe(at: Timestamp, now: Timestamp, exact: Exact) -> String {
    if at == Timestamp(0) { "never".to_owned() } else { format!("{} ({})", relative(at, now), exact(at)) }
}

/// `3 hours ago`, `in 2 days`, `now`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let distance = at.0.abs_diff(now.0);
    let (count, unit) = match distance {
        0..60 => (distance, "second"),
        60..3_600 => (distance / 60, "minute"),
        3_600..172_800 => (distance / 3_600, "hour"),
        _ => (distance / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    match (count, at > now) {
        (0, _) => "now".to_owned(),
        (_, true) => format!("in {count} {unit}{plural}"),
        (_, false) => format!("{count} {unit}{plural} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_every_unit() {
        let now = Timestamp(1_800_000_000);
        let at = |seconds: i64| relative(Timestamp(now.0.saturating_add_signed(seconds)), now);
        assert_eq!(at(0), "now");
        assert_eq!((at(1), at(-59)), ("in 1 second".into(), "59 seconds ago".into()));
        assert_eq!((at(60), at(-3_599)), ("in 1 minute".into(), "59 minutes ago".into()));
        assert_eq!((at(3_600), at(-172_799)), ("in 1 hour".into(), "47 hours ago".into()));
        assert_eq!((at(172_800), at(-864_000)), ("in 2 days".into(), "10 days ago".into()));
    }

    #[test]
    fn no_time_is_never() {
        assert_eq!(describe(Timestamp(0), Timestamp(5), |_| String::new()), "never");
        assert_eq!(describe(Timestamp(4), Timestamp(5), |at| at.0.to_string()), "1 second ago (4)");
    }
}
