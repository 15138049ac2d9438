//! The likeliest token, in one pass over the numbers that the model gives: a chain of samplers first writes a record for each
//! token, which takes as long as a hundredth of a small model's step. The choice is the chain's own, ties included. Pure.

use llama_cpp_2::token::LlamaToken;

/// Numbers that are compared side by side.
const LANES: usize = 16;

/// Takes the likeliest token, after some were added to.
#[derive(Clone, Debug, Default)]
pub struct Greedy {
    /// Index and what is added, ascending, each index once.
    biases: Vec<(usize, f32)>,
}

impl Greedy {
    /// With these added to the logits; what is named twice is added twice. Tokens that no model has are passed over.
    #[must_use]
    pub fn new(biases: &[(LlamaToken, f32)]) -> Self {
        let mut sorted: Vec<(usize, f32)> = biases
            .iter()
            .filter_map(|(token, bias)| usize::try_from(token.0).ok().map(|index| (index, *bias)))
            .collect();
        sorted.sort_by_key(|(index, _)| *index);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self { biases: sorted }
    }

    /// The first of the likeliest. None if no number is one.
    #[must_use]
    pub fn choose(&self, logits: &[f32]) -> Option<LlamaToken> {
        let mut best: Option<(usize, f32)> = None;
        let mut offer = |index: usize, logit: f32| {
            if !logit.is_nan() && best.is_none_or(|(_, most)| logit > most) {
                best = Some((index, logit));
            }
        };
        let mut from = 0;
        for (index, bias) in &self.biases {
            let Some(logit) = logits.get(*index) else { break };
            if let Some((at, most)) = largest(&logits[from..*index]) {
                offer(from + at, most);
            }
            offer(*index, logit + bias);
            from = index + 1;
        }
        if let Some((at, most)) = largest(&logits[from..]) {
            offer(from + at, most);
        }
        best.and_then(|(index, _)| i32::try_from(index).ok()).map(LlamaToken)
    }
}

/// The first of the largest numbers and where it stands.
fn largest(values: &[f32]) -> Option<(usize, f32)> {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *value);
        }
    }
    let most = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger);
    values.iter().position(|value| *value == most).map(|at| (at, most))
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::sampling::LlamaSampler;
    use llama_cpp_2::token::data::LlamaTokenData;
    use llama_cpp_2::token::data_array::LlamaTokenDataArray;
    use llama_cpp_2::token::logit_bias::LlamaLogitBias;

    use super::*;

    /// What llama.cpp's own samplers choose.
    fn chain(logits: &[f32], biases: &[(LlamaToken, f32)]) -> Option<LlamaToken> {
        let len = i32::try_from(logits.len()).expect("few");
        let biases: Vec<_> = biases.iter().map(|(t, bias)| LlamaLogitBias::new(*t, *bias)).collect();
        let samplers = [LlamaSampler::logit_bias(len, &biases), LlamaSampler::greedy()];
        let data = (0..).zip(logits).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
        let mut candidates = LlamaTokenDataArray::from_iter(data, false);
        LlamaSampler::chain(samplers, true).apply(&mut candidates);
        candidates.selected_token()
    }

    #[test]
    fn the_choice_is_the_chains_own() {
        let mut state = 5_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..500 {
            // Few different numbers, so that there are many ties.
            let len = usize::try_from(1 + random(90)).expect("small");
            let logits: Vec<f32> = (0..len).map(|_| random(5) as f32 - 3.0).collect();
            let biases: Vec<_> = (0..random(6))
                .map(|_| {
                    let token = LlamaToken(i32::try_from(random(len as u64)).expect("small"));
                    let bias =
                        [f32::NEG_INFINITY, -1.0, 0.5, 2.0][usize::try_from(random(4)).expect("small")];
                    (token, bias)
                })
                .collect();
            let chosen = Greedy::new(&biases).choose(&logits);
            assert_eq!(chosen, chain(&logits, &biases), "{round}: {logits:?} {biases:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_chosen() {
        let greedy = Greedy::new(&[(LlamaToken(1), f32::NEG_INFINITY), (LlamaToken(99), 5.0)]);
        assert_eq!(greedy.choose(&[f32::NAN, 7.0, 3.0]), Some(LlamaToken(2)));
        assert_eq!(greedy.choose(&[]), None);
        assert_eq!(Greedy::default().choose(&[f32::NAN; 40]), None);
    }
}
