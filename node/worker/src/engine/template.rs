//! The approved chat template, which decides where control tokens stand, and nobody else.
//!
//! A conversation is rendered twice. Once every content is a placeholder: that says which control tokens the template
//! writes, and where each content goes. Once the contents are themselves, except that the text of a control token in
//! them is a placeholder: that is what the template makes of this conversation, trimmed and cut as its author meant.
//! If both have the same control tokens in the same order, the second is used; else something that was typed became
//! one, or made the template write one, and the first is.

use std::fs::File;
use std::io::Read as _;

use llama_cpp_2::model::LlamaModel;

use crate::engine::jinja::{Jinja, Rendered};
use crate::engine::request::Refusal;
use crate::engine::talk::{Role, Talk};
use crate::engine::text::Vocabulary;
use crate::fault::Fault;
use crate::limits::TEMPLATE_LEN_MAX;

/// A rendered conversation, cut where a caller's text goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text in which control tokens are meant.
    Literal(String),
    /// Text in which none is meant.
    Content(String),
}

/// The approved template's text.
#[derive(Debug)]
pub struct Template(String);

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

    /// The text itself.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0
    }

    /// Takes a template's text.
    ///
    /// # Errors
    /// [`Fault::Template`] as above.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() as u64 > TEMPLATE_LEN_MAX || text.contains('\0') {
            return Err(Fault::Template);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A template that is ready to render.
#[derive(Debug)]
pub struct Layout {
    source: String,
    /// None: llama.cpp does not understand it.
    jinja: Option<Jinja>,
    /// Whether its answers have a form that must be read.
    thinks: bool,
}

impl Layout {
    /// Parses the template for this model.
    #[must_use]
    pub fn new(model: &LlamaModel, template: Template) -> Self {
        let source = template.0;
        let jinja = Jinja::new(model, &source);
        Self { thinks: source.contains("<think>"), source, jinja }
    }

    /// Whether answers may begin with thoughts.
    #[must_use]
    pub fn thinks(&self) -> bool {
        self.thinks
    }

    /// Lays a conversation out, ready for the model's turn.
    ///
    /// # Errors
    /// A refusal if the template cannot be rendered, or leaves a message out.
    pub fn lay_out(
        &self,
        vocabulary: &Vocabulary<'_>,
        talk: &Talk,
    ) -> Result<(Vec<Part>, Rendered), Refusal> {
        let jinja = self.jinja.as_ref().ok_or(UNKNOWN)?;
        if talk.callable() && !jinja.takes_tools() {
            return Err(NO_TOOLS);
        }
        let mark = self.fresh_mark(talk);
        // The forms of answers are worked out only where they are needed, since that takes longer than all the rest.
        let plain = !talk.callable() && !self.thinks;
        let mut meant = Marked::new(&mark);
        let asked = talk.request(plain, &mut |_, text| meant.escape(vocabulary, text));
        let mut rendered = jinja.render(&asked);
        if rendered.is_none() && !talk.callable() && !plain {
            // Its answers cannot be read, but they can be shown as they are.
            rendered = jinja.render(&talk.request(true, &mut |_, text| meant.escape(vocabulary, text)));
        }
        let rendered = rendered.ok_or(UNRENDERED)?;
        let natural = meant.cut(&rendered.prompt).ok_or(UNRENDERED)?;
        let mut held = Marked::new(&mark);
        let asked = talk.request(true, &mut |content, text| match content {
            Some(_) => held.hold(text),
            None => held.escape(vocabulary, text),
        });
        let strict = jinja.render(&asked).and_then(|strict| held.cut(&strict.prompt));
        let strict = strict.filter(|parts| held.complete(talk, parts)).ok_or(NO_PLACE)?;
        let same = vocabulary.controls(&natural) == vocabulary.controls(&strict);
        Ok((if same { natural } else { strict }, rendered))
    }

    /// A mark that neither the template nor the caller wrote.
    fn fresh_mark(&self, talk: &Talk) -> String {
        let mut longest = 0;
        let mut look = |text: &str| {
            for (at, _) in text.match_indices(MARK) {
                let rest = &text[at + MARK.len()..];
                longest = longest.max(1 + rest.len() - rest.trim_start_matches('-').len());
            }
        };
        look(&self.source);
        let _ = talk.request(true, &mut |_, text| {
            look(text);
            String::new()
        });
        format!("{MARK}{}", "-".repeat(longest))
    }
}

const MARK: &str = "@croft-content-";
const UNKNOWN: Refusal =
    Refusal::unsupported("the approved chat template is not one that this runtime renders");
const NO_TOOLS: Refusal = Refusal::unsupported("tools: the approved chat template of this model knows none");
const UNRENDERED: Refusal = Refusal::unsupported("the approved chat template refuses this conversation");
const NO_PLACE: Refusal =
    Refusal::unsupported("the approved chat template has no place for one of the messages");

/// Texts that placeholders stand for.
#[derive(Debug)]
struct Marked<'a> {
    mark: &'a str,
    texts: Vec<String>,
    /// Which of them are a whole content.
    contents: Vec<usize>,
}

impl<'a> Marked<'a> {
    fn new(mark: &'a str) -> Self {
        Self { mark, texts: Vec::new(), contents: Vec::new() }
    }

    fn placeholder(&mut self, text: &str) -> String {
        self.texts.push(text.to_owned());
        format!("{}{}@", self.mark, self.texts.len() - 1)
    }

    /// A placeholder for all of it. The space around it shows whether the template trims.
    fn hold(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.contents.push(self.texts.len());
        let placeholder = self.placeholder(text);
        format!("{SPACE}{placeholder}{SPACE}")
    }

    /// Placeholders for the control tokens in it.
    fn escape(&mut self, vocabulary: &Vocabulary<'_>, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, len)) = vocabulary.special(rest) {
            out.push_str(&rest[..at]);
            out.push_str(&self.placeholder(&rest[at..at + len]));
            rest = &rest[at + len..];
        }
        out.push_str(rest);
        out
    }

    /// Puts the texts back.
    fn cut(&self, rendered: &str) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut rest = rendered;
        while let Some((literal, after)) = rest.split_once(self.mark) {
            let (number, after) = after.split_once('@')?;
            let index: usize = number.parse().ok()?;
            let mut text = self.texts.get(index)?.as_str();
            let (mut literal, mut after) = (literal, after);
            if self.contents.contains(&index) {
                match literal.strip_suffix(SPACE) {
                    Some(kept) => literal = kept,
                    None => text = text.trim_start(),
                }
                match after.strip_prefix(SPACE) {
                    Some(kept) => after = kept,
                    None => text = text.trim_end(),
                }
            }
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Content(text.to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Literal(text) | Part::Content(text) if text.is_empty()));
        Some(parts)
    }

    /// Whether every content that must be there is there. What a model said beside its calls may be left out.
    fn complete(&self, talk: &Talk, parts: &[Part]) -> bool {
        talk.turns.iter().all(|turn| {
            let text = turn.content.trim();
            let optional = text.is_empty() || (turn.role == Role::Assistant && !turn.calls.is_empty());
            optional || parts.iter().any(|part| matches!(part, Part::Content(shown) if shown.trim() == text))
        })
    }
}

const SPACE: &str = " \n ";

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.into())
    }

    fn content(text: &str) -> Part {
        Part::Content(text.into())
    }

    #[test]
    fn contents_come_back_trimmed_as_the_template_does() {
        let mut marked = Marked::new(MARK);
        let (one, two) = (marked.hold(" a "), marked.hold(" b "));
        assert_eq!(
            marked.cut(&format!("<s>{one}</s>{}!", two.trim())),
            Some(vec![literal("<s>"), content(" a "), literal("</s>"), content("b"), literal("!")])
        );
        assert_eq!(marked.cut(&format!("{MARK}9@")), None, "out of range");
        assert_eq!(marked.cut(MARK), None, "cut off");
        assert_eq!(marked.hold(""), "");
    }

    #[test]
    fn texts_are_bounded() {
        assert!(Template::parse("").is_err());
        assert!(Template::parse("nul\0").is_err());
        assert!(Template::parse(&"x".repeat(TEMPLATE_LEN_MAX as usize + 1)).is_err());
    }
}
