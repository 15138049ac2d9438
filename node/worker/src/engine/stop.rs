//! Stop strings, also where they cross tokens: text that may be the beginning of one is held back.

/// Watches the text of one stream.
#[derive(Debug, Default)]
pub struct StopWatch {
    stops: Vec<String>,
    held: String,
}

/// What may be shown after a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// Text that belongs to no stop string, and cannot any more.
    pub text: String,
    /// A stop string is complete; it and what followed are gone.
    pub stopped: bool,
}

impl StopWatch {
    /// Watches for these; none of them is empty.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Takes the next text of the stream.
    pub fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return Passed { text, stopped: true };
        }
        let keep_from = self
            .held
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..])))
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(keep_from);
        Passed { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// Nothing follows: what was held back is no stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut watch = StopWatch::new(stops.iter().map(ToString::to_string).collect());
        let mut out = String::new();
        for piece in pieces {
            let passed = watch.push(piece);
            out.push_str(&passed.text);
            if passed.stopped {
                return (out, true);
            }
        }
        (out + &watch.finish(), false)
    }

    #[test]
    fn a_stop_across_pieces_is_found_and_not_shown() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".into(), true));
        assert_eq!(run(&["END"], &["one E", "N", "x"]), ("one ENx".into(), false));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(run(&["é€"], &["xé", "€"]), ("x".into(), true));
    }

    #[test]
    fn the_earliest_of_several_wins_and_the_rest_is_given_at_the_end() {
        assert_eq!(run(&["two", "one"], &["zero one two"]), ("zero ".into(), true));
        assert_eq!(run(&["stop"], &["a st"]), ("a st".into(), false));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut watch = StopWatch::new(vec!["\n\n".into()]);
        assert_eq!(watch.push("line\n"), Passed { text: "line".into(), stopped: false });
        assert_eq!(watch.push("next"), Passed { text: "\nnext".into(), stopped: false });
    }
}
