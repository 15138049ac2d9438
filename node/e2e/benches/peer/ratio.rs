//! Pairs of measurements and what they say: the geometric mean of the ratios, with an interval.

/// One figure: for each pair, Croft's speed over the peer's. Above 1, Croft is faster.
pub struct Ratios {
    /// What was measured, in words and units.
    pub name: String,
    /// Lower bound of the interval that the project aims at.
    pub target: f64,
    ours: Vec<f64>,
    peers: Vec<f64>,
    is_time: bool,
}

impl Ratios {
    /// A figure where less is better, such as milliseconds.
    pub fn of_time(name: impl Into<String>, target: f64) -> Self {
        Self { name: name.into(), target, ours: Vec::new(), peers: Vec::new(), is_time: true }
    }

    /// A figure where more is better, such as tokens per second.
    pub fn of_rate(name: impl Into<String>, target: f64) -> Self {
        Self { is_time: false, ..Self::of_time(name, target) }
    }

    /// Adds a pair.
    pub fn push(&mut self, ours: f64, peers: f64) {
        self.ours.push(ours);
        self.peers.push(peers);
    }

    /// One row of the table.
    pub fn row(&self) -> String {
        let logs: Vec<f64> = self
            .ours
            .iter()
            .zip(&self.peers)
            .map(|(ours, peers)| if self.is_time { peers / ours } else { ours / peers })
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .map(f64::ln)
            .collect();
        let (mean, half) = interval(&logs);
        let (low, high) = ((mean - half).exp(), (mean + half).exp());
        format!(
            "| {} | {:.4} | {:.4} | {:.2} ({low:.2}–{high:.2}) | {:.2} | {} |",
            self.name,
            median(&self.ours),
            median(&self.peers),
            mean.exp(),
            self.target,
            if low >= self.target { "yes" } else { "no" }
        )
    }
}

/// Mean and half the width of its 95 % confidence interval (Student's t).
fn interval(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, quantile(values.len()) * (variance / count).sqrt())
}

/// The 97.5 % quantile of Student's t for `count` values, from its table; between its rows the larger one.
fn quantile(count: usize) -> f64 {
    const TABLE: [(usize, f64); 9] = [
        (2, 12.706),
        (3, 4.303),
        (4, 3.182),
        (5, 2.776),
        (7, 2.447),
        (10, 2.262),
        (15, 2.145),
        (20, 2.093),
        (30, 2.045),
    ];
    TABLE.iter().rev().find(|(from, _)| count >= *from).map_or(f64::INFINITY, |(_, t)| *t)
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
