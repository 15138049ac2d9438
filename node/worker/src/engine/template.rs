//! The approved chat template. The one inside the GGUF is never read.
//!
//! llama.cpp renders it with placeholders where contents belong, so what a user typed cannot meet the template's
//! logic, and the literal parts, which alone may hold control tokens, are known from the contents for good.

use std::fs::File;
use std::io::Read as _;

use croft_domain::code::Code;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};

use crate::engine::request::{Refusal, Role};
use crate::fault::Fault;
use crate::limits::TEMPLATE_LEN_MAX;

/// A rendered conversation, cut where contents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text of the template; control tokens in it are meant.
    Literal(String),
    /// The content of the message of this index.
    Content(usize),
}

/// The approved template.
#[derive(Debug)]
pub struct Template {
    source: LlamaChatTemplate,
    mark: String,
}

impl Template {
    /// Reads the template that the daemon passed.
    ///
    /// # Errors
    /// [`Fault::Template`] if it is too long, empty, or not text.
    pub fn read(file: &File) -> Result<Self, Fault> {
        let mut text = String::new();
        file.take(TEMPLATE_LEN_MAX + 1).read_to_string(&mut text).map_err(|_| Fault::Template)?;
        Self::parse(&text)
    }

    /// Takes a template's text.
    ///
    /// # Errors
    /// [`Fault::Template`] as above.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() as u64 > TEMPLATE_LEN_MAX {
            return Err(Fault::Template);
        }
        // Only placeholders meet the template, so a mark that the template lacks is unique.
        let mut mark = String::from("@croft-content-");
        while text.contains(&mark) {
            mark.push('-');
        }
        Ok(Self { source: LlamaChatTemplate::new(text).map_err(|_| Fault::Template)?, mark })
    }

    /// Lays a conversation out, ready for the model's turn. `model` only lends the function.
    ///
    /// # Errors
    /// A refusal if llama.cpp cannot render this template, or the template leaves a message out.
    pub fn lay_out(&self, model: &LlamaModel, roles: &[Role]) -> Result<Vec<Part>, Refusal> {
        let unsupported = |message| Refusal { code: Code::RequestUnsupported, message };
        let messages: Result<Vec<_>, _> = roles
            .iter()
            .enumerate()
            .map(|(index, role)| LlamaChatMessage::new(role.as_str().to_owned(), self.placeholder(index)))
            .collect();
        let rendered = messages
            .ok()
            .and_then(|messages| model.apply_chat_template(&self.source, &messages, true).ok())
            .ok_or(unsupported("the approved chat template is not one that this runtime renders"))?;
        self.cut(&rendered, roles.len())
            .ok_or(unsupported("the approved chat template has no place for one of the messages"))
    }

    fn placeholder(&self, index: usize) -> String {
        format!("{}{index}@", self.mark)
    }

    /// Each content must appear exactly once; the order is the template's own.
    fn cut(&self, rendered: &str, count: usize) -> Option<Vec<Part>> {
        let mut parts = Vec::with_capacity(2 * count + 1);
        let mut seen = vec![false; count];
        let mut rest = rendered;
        while let Some((literal, after)) = rest.split_once(&self.mark) {
            let (number, after) = after.split_once('@')?;
            let index: usize = number.parse().ok()?;
            if std::mem::replace(seen.get_mut(index)?, true) {
                return None;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Content(index));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        seen.into_iter().all(|seen| seen).then_some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_content_has_its_place_once() {
        let template = Template::parse("{{ messages }}").expect("text");
        let (one, two) = (template.placeholder(0), template.placeholder(1));
        let literal = |text: &str| Part::Literal(text.into());
        assert_eq!(
            template.cut(&format!("<s>{one}</s>{two}!"), 2),
            Some(vec![literal("<s>"), Part::Content(0), literal("</s>"), Part::Content(1), literal("!")])
        );
        assert_eq!(template.cut(&format!("<s>{one}"), 2), None, "left out");
        assert_eq!(template.cut(&format!("{one}{one}{two}"), 2), None, "twice");
        assert_eq!(template.cut("@croft-content-9@", 1), None, "out of range");
    }

    #[test]
    fn the_mark_is_one_that_the_template_lacks() {
        let template = Template::parse("a @croft-content- b @croft-content-- c").expect("text");
        assert_eq!(template.mark, "@croft-content---");
        assert!(Template::parse("").is_err());
        assert!(Template::parse("nul\0").is_err());
        assert!(Template::parse(&"x".repeat(TEMPLATE_LEN_MAX as usize + 1)).is_err());
    }
}
