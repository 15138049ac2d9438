//! How long a client wants a model to stay loaded: a number of seconds, or a duration as Go writes it.

use serde_json::Value;

/// For ever, which is what a negative number asks for.
const FOR_EVER_S: u64 = u64::MAX;

/// Seconds of `300`, `"5m"`, `"1h30m"`, `"-1"`; none for anything else. Parts of a second count as none.
pub fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_f64().map(whole),
        Value::String(text) => text.parse().map_or_else(|_| of_go(text), |number: f64| Some(whole(number))),
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and negative was handled.
fn whole(seconds: f64) -> u64 {
    if seconds < 0.0 { FOR_EVER_S } else { seconds as u64 }
}

fn of_go(text: &str) -> Option<u64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let units = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(units);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    Some(if negative { FOR_EVER_S } else { whole(sum) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_as_clients_write_them() {
        for (value, expected) in [
            (json!(1800), Some(1800)),
            (json!(0), Some(0)),
            (json!(-1), Some(FOR_EVER_S)),
            (json!(1.9), Some(1)),
            (json!("300"), Some(300)),
            (json!("-1"), Some(FOR_EVER_S)),
            (json!("5m"), Some(300)),
            (json!("1h30m"), Some(5400)),
            (json!("1.5h"), Some(5400)),
            (json!("500ms"), Some(0)),
            (json!("-1m"), Some(FOR_EVER_S)),
            (json!(1e300), Some(u64::MAX)),
            (json!(""), None),
            (json!("soon"), None),
            (json!("5"), Some(5)),
            (json!("5x"), None),
            (json!("m"), None),
            (json!("-"), None),
            (json!(true), None),
        ] {
            assert_eq!(seconds(&value), expected, "{value}");
        }
    }
}
