//! What a fleet's signed policy adds to the built-in lists. It comes from the caller, as an argument: the file that is
//! judged never has a say in it.

use std::collections::BTreeSet;

use croft_domain::vetting::VettingExceptions;

/// The additions. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    architectures: BTreeSet<String>,
    /// As `module.name`.
    imports: BTreeSet<String>,
    /// As `domain::name`, or `name` for TensorFlow.
    operators: BTreeSet<String>,
}

impl From<&VettingExceptions> for Policy {
    fn from(exceptions: &VettingExceptions) -> Self {
        Self {
            architectures: exceptions.architectures.keys().cloned().collect(),
            imports: exceptions.pickle_imports.keys().cloned().collect(),
            operators: exceptions.operators.keys().cloned().collect(),
        }
    }
}

impl Policy {
    /// Allows architectures that have no shape formulas here. Every other rule still holds for them.
    #[must_use]
    pub fn with_architectures<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.architectures.extend(names.into_iter().map(Into::into));
        self
    }

    /// Allows pickles to import what is named, as `module.name`, and to call it with whatever they like.
    #[must_use]
    pub fn with_imports<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.imports.extend(names.into_iter().map(Into::into));
        self
    }

    /// Allows graphs to hold these operators: `DOMAIN::NAME` of ONNX, `NAME` of TensorFlow. What is known to reach
    /// files, the network or Python stays refused.
    #[must_use]
    pub fn with_operators<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.operators.extend(names.into_iter().map(Into::into));
        self
    }

    /// The allowed architectures.
    pub fn architectures(&self) -> impl Iterator<Item = &str> {
        self.architectures.iter().map(String::as_str)
    }

    /// The allowed imports, as `module.name`.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str)
    }

    /// The allowed operators.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.operators.iter().map(String::as_str)
    }

    pub(crate) fn allows_architecture(&self, name: &str) -> bool {
        self.architectures.contains(name)
    }

    /// A name with dots would reach other modules, and is nobody's to allow.
    pub(crate) fn allows_import(&self, module: &[u8], name: &[u8]) -> bool {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let whole = text(module).zip(text(name)).filter(|(_, name)| !name.contains('.'));
        whole.is_some_and(|(module, name)| self.imports.contains(&format!("{module}.{name}")))
    }

    pub(crate) fn allows_operator(&self, domain: &[u8], name: &[u8]) -> bool {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        text(domain).zip(text(name)).is_some_and(|(domain, name)| match domain {
            "" => self.operators.contains(name),
            domain => self.operators.contains(&format!("{domain}::{name}")),
        })
    }

    /// Whether any operator of an ONNX domain is allowed.
    pub(crate) fn allows_domain(&self, domain: &[u8]) -> bool {
        let of_it = |name: &&str| name.split_once("::").is_some_and(|(known, _)| known.as_bytes() == domain);
        self.operators().any(|name| of_it(&name))
    }
}
