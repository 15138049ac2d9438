//! Rule T01: the syntax tree holds only what chat templates need. What is not named here is refused.

mod expression;
mod names;

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Macro, Stmt};
use minijinja::machinery::{Span, parse};

use super::engine;
use crate::limits::TEMPLATE_DEPTH_MAX;
use crate::report::{Findings, Rule, excerpt};
use names::is_reserved;

/// What a walk over a template's tree found besides what it refused.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The template's own texts, which it is probed with.
    pub(super) triggers: BTreeSet<String>,
    /// Where it first reaches for the renderer's own objects, and how.
    pub(super) escape: Option<(u64, String)>,
}

/// Applies T01. Nothing comes back of a template that does not parse.
pub(super) fn judge(source: &str, findings: &mut Findings) -> Option<Walked> {
    let tree = match parse(source, "<template>", engine::syntax()) {
        Ok(tree) => tree,
        Err(error) => {
            findings.refuse(Rule::T01, format!("it does not parse: {}", engine::shown(&error)));
            return None;
        }
    };
    let mut walk =
        Walk { findings, macros: BTreeSet::new(), open: None, walked: Walked::default(), depth: 0 };
    walk.statement(&tree);
    Some(walk.walked)
}

struct Walk<'a, 'f> {
    findings: &'f mut Findings,
    /// Macros that stand above, which may be called from here.
    macros: BTreeSet<&'a str>,
    /// The macro that is being walked.
    open: Option<&'a str>,
    walked: Walked,
    depth: usize,
}

impl<'a> Walk<'a, '_> {
    fn refuse(&mut self, rule: Rule, span: Span, message: String) {
        self.findings.refuse_at(rule, Some(u64::from(span.start_offset)), message);
    }

    /// Refuses what leads from a template to the language that renders it.
    fn escape(&mut self, span: Span, message: String) {
        let at = u64::from(span.start_offset);
        self.walked.escape.get_or_insert_with(|| (at, message.clone()));
        self.refuse(Rule::T01, span, message);
    }

    /// Whether there is room for one level more. Refuses once if not.
    fn descend(&mut self) -> bool {
        self.depth += 1;
        if self.depth > TEMPLATE_DEPTH_MAX {
            self.findings.refuse(Rule::T01, format!("it nests deeper than {TEMPLATE_DEPTH_MAX}"));
        }
        self.depth <= TEMPLATE_DEPTH_MAX
    }

    fn statements(&mut self, statements: &[Stmt<'a>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'a>) {
        if self.descend() {
            self.statement_inside(statement);
        }
        self.depth -= 1;
    }

    fn statement_inside(&mut self, statement: &Stmt<'a>) {
        match statement {
            Stmt::Template(inner) => self.statements(&inner.children),
            Stmt::EmitExpr(inner) => self.expression(&inner.expr),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(inner) => {
                if inner.recursive {
                    self.refuse(Rule::T01, inner.span(), "a loop is recursive".to_owned());
                }
                self.expression(&inner.target);
                self.expression(&inner.iter);
                inner.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.statements(&inner.body);
                self.statements(&inner.else_body);
            }
            Stmt::IfCond(inner) => {
                self.expression(&inner.expr);
                self.statements(&inner.true_body);
                self.statements(&inner.false_body);
            }
            Stmt::WithBlock(inner) => {
                for (target, value) in &inner.assignments {
                    self.expression(target);
                    self.expression(value);
                }
                self.statements(&inner.body);
            }
            Stmt::Set(inner) => {
                self.expression(&inner.target);
                self.expression(&inner.expr);
            }
            Stmt::SetBlock(inner) => {
                self.expression(&inner.target);
                inner.filter.iter().for_each(|filter| self.expression(filter));
                self.statements(&inner.body);
            }
            Stmt::FilterBlock(inner) => {
                self.expression(&inner.filter);
                self.statements(&inner.body);
            }
            Stmt::Macro(inner) => self.definition(inner, inner.span()),
            Stmt::Do(inner) => self.call(&inner.call, inner.span()),
            Stmt::AutoEscape(inner) => self.forbidden("autoescape", inner.span()),
            Stmt::CallBlock(inner) => self.forbidden("call", inner.span()),
            Stmt::Block(inner) => self.forbidden("block", inner.span()),
            Stmt::Import(inner) => self.other_file("import", inner.span()),
            Stmt::FromImport(inner) => self.other_file("from", inner.span()),
            Stmt::Extends(inner) => self.other_file("extends", inner.span()),
            Stmt::Include(inner) => self.other_file("include", inner.span()),
        }
    }

    /// It reads another file, of whoever renders it.
    fn other_file(&mut self, statement: &str, span: Span) {
        self.escape(span, format!("statement {statement} is not allowed: it reads another file"));
    }

    fn forbidden(&mut self, statement: &str, span: Span) {
        self.refuse(Rule::T01, span, format!("statement {statement} is not allowed"));
    }

    /// A macro may call those above it, so that none can come back to itself.
    fn definition(&mut self, inner: &Macro<'a>, span: Span) {
        if self.open.is_some() || self.macros.contains(inner.name) || is_reserved(inner.name) {
            self.refuse(
                Rule::T01,
                span,
                format!("macro {} hides a name or stands in another", cut(inner.name)),
            );
            return;
        }
        self.name(inner.name, span);
        self.open = Some(inner.name);
        inner.args.iter().chain(&inner.defaults).for_each(|argument| self.expression(argument));
        self.statements(&inner.body);
        self.open = None;
        self.macros.insert(inner.name);
    }
}

fn cut(name: &str) -> String {
    excerpt(name.as_bytes())
}
