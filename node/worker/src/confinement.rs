//! The order in which this process gives up its rights, and the proof that it did.

/// What the confinement achieved, and what became of each attempt to break out.
#[derive(Clone, Debug, Default)]
pub struct SelfTest {
    /// Layers that stand.
    pub layers: Vec<String>,
    /// Attempts: a name, and the errno that refused it.
    pub attempts: Vec<(String, Option<String>)>,
}
