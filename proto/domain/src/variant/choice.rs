//! Which variant a machine serves, and which one it tries next. Pure: what fits, what is here and what was measured are
//! arguments.
//!
//! What is fastest wins, unless one that the approver likes better is nearly as fast. A variant that was never measured is
//! fetched and measured once; one whose figure is older than the program or the processor is measured anew only while
//! it is the one that serves. Figures decide among approved variants and nothing else.

/// How much faster a variant must be to be taken instead of one that the approver likes better, in percent: less than
/// what quantizations differ by where it matters, more than what two runs differ by.
pub const GAIN_PERCENT: u64 = 10;

/// One variant, as the choice sees it. Its place in the list is its place in the approver's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// A recall names its bytes.
    pub is_stopped: bool,
    /// What it takes in memory, in bytes; none where the manifest does not say, and then loading finds out.
    pub needs_bytes: Option<u64>,
    /// Its bytes are in the store.
    pub is_here: bool,
    /// What measuring gave.
    pub outcome: Outcome,
}

/// What measuring a variant gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It was not measured yet.
    #[default]
    None,
    /// It runs so fast.
    Rate {
        /// Tokens in a thousand seconds, of all streams together.
        millitokens_per_s: u64,
        /// With this program, on this processor, with these settings.
        is_current: bool,
    },
    /// It did not come up with this program on this machine.
    Failed,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Which one serves, by its place; none if none may or none fits.
    pub serve: Option<usize>,
    /// Which one is to be fetched if it is not here, and then measured if its figure is not current.
    pub trial: Option<usize>,
}

/// Decides.
#[must_use]
pub fn choose(candidates: &[Candidate], ceiling_bytes: u64) -> Choice {
    let may = |candidate: &Candidate| {
        !candidate.is_stopped && candidate.needs_bytes.is_none_or(|needs| needs <= ceiling_bytes)
    };
    let able: Vec<(usize, &Candidate)> = candidates.iter().enumerate().filter(|(_, one)| may(one)).collect();
    let here: Vec<(usize, &Candidate)> = able.iter().copied().filter(|(_, one)| one.is_here).collect();
    let best_here = best(&able).filter(|at| here.iter().any(|(index, _)| index == at));
    let serve = best_here.or_else(|| best(&here)).or_else(|| best(&able));
    // With one there is nothing to compare.
    let trial = serve.filter(|_| able.len() > 1).and_then(|serve| next_trial(&able, serve));
    Choice { serve, trial }
}

/// The fastest, or one before it in the approver's order that is nearly as fast; without figures the first that did not
/// fail, and if all did, the first.
fn best(able: &[(usize, &Candidate)]) -> Option<usize> {
    let rated: Vec<(usize, u64)> =
        able.iter().filter_map(|(index, one)| one.rate().map(|rate| (*index, rate))).collect();
    if let Some(fastest) = rated.iter().map(|(_, rate)| *rate).max() {
        let near = |rate: u64| u128::from(rate) * u128::from(100 + GAIN_PERCENT) >= u128::from(fastest) * 100;
        return rated.into_iter().find(|(_, rate)| near(*rate)).map(|(index, _)| index);
    }
    let sound = able.iter().find(|(_, one)| one.outcome != Outcome::Failed);
    sound.or_else(|| able.first()).map(|(index, _)| *index)
}

fn next_trial(able: &[(usize, &Candidate)], serve: usize) -> Option<usize> {
    let unknown = |(_, one): &&(usize, &Candidate)| one.outcome == Outcome::None;
    let index = |(index, _): &(usize, &Candidate)| *index;
    // What is here costs no download.
    let first = able.iter().filter(unknown).find(|(_, one)| one.is_here);
    if let Some(found) = first.or_else(|| able.iter().find(unknown)) {
        return Some(index(found));
    }
    let is_outdated = |one: &Candidate| matches!(one.outcome, Outcome::Rate { is_current: false, .. });
    if able.iter().any(|(at, one)| *at == serve && is_outdated(one)) {
        return Some(serve);
    }
    best(able).filter(|at| *at != serve)
}

impl Candidate {
    const fn rate(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Rate { millitokens_per_s, .. } => Some(millitokens_per_s),
            Outcome::None | Outcome::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rate(millitokens_per_s: u64) -> Outcome {
        Outcome::Rate { millitokens_per_s, is_current: true }
    }

    fn candidate(needs: u64, is_here: bool, outcome: Outcome) -> Candidate {
        Candidate { is_stopped: false, needs_bytes: Some(needs), is_here, outcome }
    }

    fn chosen(serve: usize, trial: Option<usize>) -> Choice {
        Choice { serve: Some(serve), trial }
    }

    #[test]
    fn the_first_that_fits_serves_until_all_are_measured_and_then_the_fastest() {
        let mut all = [(9, false), (5, false), (4, false)].map(|(n, h)| candidate(n, h, Outcome::None));
        assert_eq!(choose(&all, 8), chosen(1, Some(1)), "the first does not fit");
        all[1].is_here = true;
        assert_eq!(choose(&all, 8), chosen(1, Some(1)), "what is here is measured first");
        all[1].outcome = rate(44_000);
        assert_eq!(choose(&all, 8), chosen(1, Some(2)));
        all[2].is_here = true;
        assert_eq!(choose(&all, 8), chosen(1, Some(2)), "an unmeasured one does not displace the other");
        all[2].outcome = rate(61_000);
        assert_eq!(choose(&all, 8), chosen(2, None));
        all[1].is_here = false;
        assert_eq!(choose(&all, 8), chosen(2, None), "the loser's bytes may go");
    }

    #[test]
    fn one_that_the_approver_likes_better_stays_if_it_is_nearly_as_fast() {
        let all = [candidate(5, true, rate(56_000)), candidate(4, true, rate(61_000))];
        assert_eq!(choose(&all, 8), chosen(0, None));
        let all = [candidate(5, true, rate(55_000)), candidate(4, true, rate(61_000))];
        assert_eq!(choose(&all, 8), chosen(1, None));
    }

    #[test]
    fn after_an_update_only_what_serves_is_measured_again_and_others_if_it_lost_its_lead() {
        let old = |millitokens_per_s| Outcome::Rate { millitokens_per_s, is_current: false };
        let mut all = [candidate(5, false, old(44_000)), candidate(4, true, old(61_000))];
        assert_eq!(choose(&all, 8), chosen(1, Some(1)));
        all[1].outcome = rate(60_000);
        assert_eq!(choose(&all, 8), chosen(1, None), "nothing is fetched");
        all[1].outcome = rate(20_000);
        assert_eq!(choose(&all, 8), chosen(1, Some(0)), "it serves until the other is here");
        all[0].is_here = true;
        assert_eq!(choose(&all, 8), chosen(0, Some(0)));
        all[0].outcome = rate(46_000);
        assert_eq!(choose(&all, 8), chosen(0, None));
    }

    #[test]
    fn p2_a_recall_of_one_variant_leaves_the_others() {
        let mut all = [candidate(5, true, rate(44_000)), candidate(4, true, rate(61_000))];
        all[1].is_stopped = true;
        assert_eq!(choose(&all, 8), chosen(0, None));
        all[0].is_stopped = true;
        assert_eq!(choose(&all, 8), Choice::default());
    }

    #[test]
    fn what_failed_is_the_last_resort() {
        let all = [candidate(5, true, Outcome::Failed), candidate(4, false, Outcome::None)];
        assert_eq!(choose(&all, 8), chosen(0, Some(1)), "it serves, if it can, while the other comes");
        let all = [candidate(5, true, Outcome::Failed), candidate(4, true, Outcome::None)];
        assert_eq!(choose(&all, 8), chosen(1, Some(1)));
        let all = [candidate(5, true, Outcome::Failed)];
        assert_eq!(choose(&all, 8), chosen(0, None));
    }
}
