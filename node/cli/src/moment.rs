//! Times for people: relative words first, the exact time behind them.

use croft_domain::time::Timestamp;

/// `3 hours ago (2026-11-20T18:00:00Z)`, or `never` for no time.
pub fn describe(at: u64, now: Timestamp) -> String {
    if at == 0 { "never".to_owned() } else { format!("{} ({})", relative(at, now), exact(at)) }
}

/// RFC 3339, UTC.
pub fn exact(at: u64) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{at} seconds after 1970"), |time| time.to_string())
}

fn relative(at: u64, now: Timestamp) -> String {
    let distance = at.abs_diff(now.0);
    let (count, unit) = match distance {
        0..60 => (distance, "second"),
        60..3_600 => (distance / 60, "minute"),
        3_600..172_800 => (distance / 3_600, "hour"),
        _ => (distance / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    match (count, at > now.0) {
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
        let at = |seconds: i64| relative(now.0.saturating_add_signed(seconds), now);
        assert_eq!(at(0), "now");
        assert_eq!((at(1), at(-59)), ("in 1 second".into(), "59 seconds ago".into()));
        assert_eq!((at(60), at(-3_599)), ("in 1 minute".into(), "59 minutes ago".into()));
        assert_eq!((at(3_600), at(-172_799)), ("in 1 hour".into(), "47 hours ago".into()));
        assert_eq!((at(172_800), at(-864_000)), ("in 2 days".into(), "10 days ago".into()));
    }

    #[test]
    fn absurd_times_do_not_panic() {
        let now = Timestamp(0);
        assert_eq!(describe(0, now), "never");
        assert!(describe(u64::MAX, now).contains("seconds after 1970"));
        assert_eq!(exact(1_795_208_400), "2026-11-20T21:00:00Z");
    }
}
