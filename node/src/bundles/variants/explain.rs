//! Why this variant: what `croft models` says, from the same survey that decides.

use std::fmt::Write as _;

use croft_domain::memory::OverCeiling;
use croft_domain::variant::choice::Outcome;

use super::{Row, Survey};
use crate::state::measured::Measurement;

/// How one variant stands, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A recall stops it.
    Recalled,
    /// It takes more memory than a model may.
    TooLarge,
    /// It did not come up here.
    Failed,
    /// Its speed is known.
    Measured,
    /// Its speed is not known.
    Unmeasured,
}

impl Standing {
    /// As programs read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recalled => "recalled",
            Self::TooLarge => "too-large",
            Self::Failed => "failed",
            Self::Measured => "measured",
            Self::Unmeasured => "unmeasured",
        }
    }
}

impl Survey<'_> {
    /// How the variant at `row` stands.
    #[must_use]
    pub fn standing(&self, row: &Row<'_>) -> Standing {
        match row.candidate.outcome {
            _ if row.candidate.is_stopped => Standing::Recalled,
            _ if row.candidate.needs_bytes.is_some_and(|needs| needs > self.ceiling_bytes) => {
                Standing::TooLarge
            }
            Outcome::Failed => Standing::Failed,
            Outcome::Rate { .. } => Standing::Measured,
            Outcome::None => Standing::Unmeasured,
        }
    }

    /// One sentence: why the one that serves does, and why no other.
    #[must_use]
    pub fn why(&self) -> String {
        let Some(chosen) = self.choice.serve.and_then(|at| self.rows.get(at)) else {
            return self.refusal().message().to_owned();
        };
        let mut text = match (self.rate(chosen), self.choice.trial.is_some()) {
            (Some((rate, streams)), _) => {
                let mut text = format!("{}: {rate} tokens/s at {streams} streams", chosen.variant.name());
                let against: Vec<String> = self
                    .others(chosen)
                    .filter_map(|row| {
                        self.rate(row).map(|(rate, _)| format!("{rate} of {}", row.variant.name()))
                    })
                    .collect();
                if !against.is_empty() {
                    let _ = write!(text, " against {}", against.join(", "));
                }
                text
            }
            (None, true) => format!("{}: the approver's first that fits", chosen.variant.name()),
            (None, false) => format!("{}: the only one that fits", chosen.variant.name()),
        };
        for row in self.others(chosen) {
            if let Some(note) = self.note(row) {
                let _ = write!(text, "; {} {note}", row.variant.name());
            }
        }
        if self.choice.trial.is_some() {
            text.push_str("; the rest is measured when no model is used and the machine is not on battery");
        }
        text
    }

    fn others<'s>(&'s self, chosen: &'s Row<'_>) -> impl Iterator<Item = &'s Row<'s>> {
        self.rows.iter().filter(|row| row.variant.index != chosen.variant.index)
    }

    /// Whole tokens a second, and of how many streams; none where it may not run.
    fn rate(&self, row: &Row<'_>) -> Option<(u64, u32)> {
        match &row.record?.measurement {
            Measurement::Rate { millitokens_per_s, streams, .. }
                if self.standing(row) == Standing::Measured =>
            {
                Some((millitokens_per_s.saturating_add(500) / 1000, *streams))
            }
            _ => None,
        }
    }

    fn note(&self, row: &Row<'_>) -> Option<String> {
        match self.standing(row) {
            Standing::Recalled => Some("is recalled".to_owned()),
            Standing::TooLarge => {
                let over = OverCeiling { plan: row.plan?, ceiling_bytes: self.ceiling_bytes };
                Some(over.to_string())
            }
            Standing::Failed => match &row.record?.measurement {
                Measurement::Failed { reason } => Some(format!("did not come up: {reason}")),
                Measurement::Rate { .. } => None,
            },
            Standing::Measured | Standing::Unmeasured => None,
        }
    }
}
