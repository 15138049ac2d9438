//! Before parsing: how much there is between marks. The engine's parser, and whatever walks or drops its tree, goes
//! as deep as an expression or a chain of branches nests, and these counts bound that.

use minijinja::machinery::{Token, tokenize};

use super::engine;
use crate::limits::{TEMPLATE_BRANCHES_MAX, TEMPLATE_TAG_TOKENS_MAX, TEMPLATE_TAGS_MAX};
use crate::report::{Findings, Rule};

/// Whether the template may be parsed.
pub(super) fn judge(source: &str, findings: &mut Findings) -> bool {
    let (mut tags, mut within, mut branches) = (0_usize, 0_usize, 0_usize);
    for token in tokenize(source, false, engine::syntax()) {
        let (token, span) = match token {
            Ok(token) => token,
            Err(error) => {
                findings.refuse(Rule::T01, format!("it does not parse: {}", engine::shown(&error)));
                return false;
            }
        };
        match token {
            Token::VariableStart | Token::BlockStart => {
                tags += 1;
                within = 0;
            }
            Token::Ident("if" | "elif") => {
                branches += 1;
                within += 1;
            }
            _ => within += 1,
        }
        let bounds = [
            (tags, TEMPLATE_TAGS_MAX, "marks"),
            (within, TEMPLATE_TAG_TOKENS_MAX, "tokens within one mark"),
            (branches, TEMPLATE_BRANCHES_MAX, "branches"),
        ];
        if let Some((_, max, what)) = bounds.into_iter().find(|(count, max, _)| count > max) {
            let at = Some(u64::from(span.start_offset));
            findings.refuse_at(Rule::T01, at, format!("more than {max} {what}"));
            return false;
        }
    }
    true
}
