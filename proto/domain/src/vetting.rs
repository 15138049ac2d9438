//! What a fleet's vetting accepts beyond the lists that Croft is built with: a part of the signed fleet document, so that
//! neither a controller nor the file that is judged has a say in it. Each exception carries the reason a person gave.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{TEXT_LEN_MAX, VETTING_EXCEPTIONS_MAX, VETTING_NAME_LEN_MAX};

/// The exceptions, by name, with their reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VettingExceptions {
    /// Architectures of GGUF files that have no shape formulas here. Every other rule holds for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub architectures: BTreeMap<String, String>,
    /// What a pickle may import, as `module.name`, for files that are judged and never served.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pickle_imports: BTreeMap<String, String>,
    /// Operators that a graph may hold, `DOMAIN::NAME` of ONNX or `NAME` of TensorFlow, for files that are judged and
    /// never served.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operators: BTreeMap<String, String>,
}

impl VettingExceptions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.architectures.is_empty() && self.pickle_imports.is_empty() && self.operators.is_empty()
    }

    /// What is wrong with it, if anything.
    pub(crate) fn broken(&self) -> Option<(&'static str, &'static str)> {
        let bounded = |list: &BTreeMap<String, String>| {
            list.len() <= VETTING_EXCEPTIONS_MAX
                && list
                    .values()
                    .all(|why| (1..=TEXT_LEN_MAX).contains(&why.len()) && !why.contains(char::is_control))
        };
        if !bounded(&self.architectures) || !self.architectures.keys().all(|name| is_architecture(name)) {
            return Some(("vetting.architectures", "at most 64 names of a-z 0-9 _ -, each with a reason"));
        }
        if !bounded(&self.pickle_imports) || !self.pickle_imports.keys().all(|name| is_import(name)) {
            return Some(("vetting.pickle_imports", "at most 64 MODULE.NAME, each with a reason"));
        }
        if !bounded(&self.operators) || !self.operators.keys().all(|name| is_operator(name)) {
            return Some(("vetting.operators", "at most 64 NAME or DOMAIN::NAME, each with a reason"));
        }
        None
    }
}

/// Whether `general.architecture` could be spelled so.
fn is_architecture(name: &str) -> bool {
    (1..=VETTING_NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Whether it names something in a module, as Python spells it.
fn is_import(name: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.len() <= TEXT_LEN_MAX && name.contains('.') && name.split('.').all(is_part)
}

/// Whether it names an operator as TensorFlow does, or one in a domain as ONNX does.
fn is_operator(name: &str) -> bool {
    let is_name = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let holds = match name.split_once("::") {
        Some((domain, name)) => is_name(domain, b"._-") && is_name(name, b"_"),
        None => is_name(name, b"_>"),
    };
    holds && name.len() <= TEXT_LEN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_an_exception_names_exactly_one_thing_and_its_reason() {
        let of = |name: &str, why: &str| BTreeMap::from([(name.to_owned(), why.to_owned())]);
        let architecture = |name: &str, why: &str| VettingExceptions {
            architectures: of(name, why),
            ..VettingExceptions::default()
        };
        assert_eq!(architecture("mamba", "tried by the team").broken(), None);
        for (name, why) in [("", "x"), ("Mamba", "x"), ("ma*", "x"), ("mamba", ""), ("mamba", "a\nb")] {
            assert!(architecture(name, why).broken().is_some(), "{name:?} {why:?}");
        }
        let import = |name: &str| VettingExceptions {
            pickle_imports: of(name, "ours"),
            ..VettingExceptions::default()
        };
        assert_eq!(import("sklearn.svm._classes.SVC").broken(), None);
        for name in ["os", "os.", ".system", "os.*", "a b.c", "a.1b"] {
            assert!(import(name).broken().is_some(), "{name}");
        }
        let operator =
            |name: &str| VettingExceptions { operators: of(name, "ours"), ..VettingExceptions::default() };
        for name in ["Addons>Gelu", "com.example::Rotate", "my-ops_2.x::Op_1"] {
            assert_eq!(operator(name).broken(), None, "{name}");
        }
        for name in ["", "::Op", "com.example::", "a b", "com.*::Op", "com.example::a::b", "Op*"] {
            assert!(operator(name).broken().is_some(), "{name}");
        }
    }
}
