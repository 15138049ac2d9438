//! Rule T01: the syntax tree holds only what chat templates need. What is not named here is refused.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Macro, Stmt};
use minijinja::machinery::{Span, parse};
use minijinja::value::{Value, ValueKind};

use super::engine;
use crate::limits::{
    TEMPLATE_DEPTH_MAX, TEMPLATE_REPEAT_MAX, TEMPLATE_TRIGGER_LEN_MAX, TEMPLATE_TRIGGERS_MAX,
};
use crate::report::{Findings, Rule, excerpt};

const FILTERS: &[&str] = &[
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sort",
    "string",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];

const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "endingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

const FUNCTIONS: &[&str] = &["dict", "namespace", "raise_exception", "range", "strftime_now"];

/// Applies T01. Gives the template's own texts, which it is probed with, unless it was refused.
pub(super) fn judge(source: &str, findings: &mut Findings) -> Option<BTreeSet<String>> {
    let tree = match parse(source, "<template>", engine::syntax()) {
        Ok(tree) => tree,
        Err(error) => {
            findings.refuse(Rule::T01, format!("it does not parse: {}", engine::shown(&error)));
            return None;
        }
    };
    let mut walk =
        Walk { findings, macros: BTreeSet::new(), open: None, triggers: BTreeSet::new(), depth: 0 };
    walk.statement(&tree);
    let triggers = walk.triggers;
    (!findings.refused()).then_some(triggers)
}

struct Walk<'a, 'f> {
    findings: &'f mut Findings,
    /// Macros that stand above, which may be called from here.
    macros: BTreeSet<&'a str>,
    /// The macro that is being walked.
    open: Option<&'a str>,
    triggers: BTreeSet<String>,
    depth: usize,
}

impl<'a> Walk<'a, '_> {
    fn refuse(&mut self, rule: Rule, span: Span, message: String) {
        self.findings.refuse_at(rule, Some(u64::from(span.start_offset)), message);
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
            Stmt::Import(inner) => self.forbidden("import", inner.span()),
            Stmt::FromImport(inner) => self.forbidden("from", inner.span()),
            Stmt::Extends(inner) => self.forbidden("extends", inner.span()),
            Stmt::Include(inner) => self.forbidden("include", inner.span()),
        }
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

    fn expression(&mut self, expression: &Expr<'a>) {
        if self.descend() {
            self.expression_inside(expression);
        }
        self.depth -= 1;
    }

    fn expression_inside(&mut self, expression: &Expr<'a>) {
        let span = expression.span();
        match expression {
            Expr::Var(inner) => {
                self.name(inner.id, span);
                if matches!(inner.id, "self" | "super" | "caller") {
                    self.refuse(Rule::T01, span, format!("name {} is not allowed", inner.id));
                }
                // Only ever called, never passed on, so that who calls whom can be seen.
                if self.macros.contains(inner.id) || self.open == Some(inner.id) {
                    self.refuse(
                        Rule::T01,
                        span,
                        format!("macro {} is used without being called", cut(inner.id)),
                    );
                }
            }
            Expr::Const(inner) => self.constant(&inner.value, span),
            Expr::Slice(inner) => {
                self.expression(&inner.expr);
                for bound in [&inner.start, &inner.stop, &inner.step].into_iter().flatten() {
                    self.expression(bound);
                }
            }
            Expr::UnaryOp(inner) => self.expression(&inner.expr),
            Expr::BinOp(inner) => {
                self.operator(inner.op, &inner.left, &inner.right, span);
                self.expression(&inner.left);
                self.expression(&inner.right);
            }
            Expr::Compare(inner) => {
                self.expression(&inner.expr);
                inner.ops.iter().for_each(|operation| self.expression(&operation.expr));
            }
            Expr::IfExpr(inner) => {
                self.expression(&inner.test_expr);
                self.expression(&inner.true_expr);
                inner.false_expr.iter().for_each(|other| self.expression(other));
            }
            Expr::Filter(inner) => {
                if !FILTERS.contains(&inner.name) {
                    self.refuse(Rule::T01, span, format!("filter {} is not allowed", cut(inner.name)));
                }
                self.filter_arguments(inner.name, &inner.args, span);
                inner.expr.iter().for_each(|value| self.expression(value));
                self.arguments(&inner.args, span);
            }
            Expr::Test(inner) => {
                if !TESTS.contains(&inner.name) {
                    self.refuse(Rule::T01, span, format!("test {} is not allowed", cut(inner.name)));
                }
                self.expression(&inner.expr);
                self.arguments(&inner.args, span);
            }
            Expr::GetAttr(inner) => {
                self.name(inner.name, span);
                self.expression(&inner.expr);
            }
            Expr::GetItem(inner) => {
                if builds_text(&inner.subscript_expr) {
                    self.refuse(Rule::T01, span, "a key is put together from texts".to_owned());
                }
                self.expression(&inner.expr);
                self.expression(&inner.subscript_expr);
            }
            Expr::Call(inner) => self.call(inner, span),
            Expr::List(inner) => inner.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(inner) => inner.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(inner) => {
                inner.keys.iter().chain(&inner.values).for_each(|item| self.expression(item));
            }
        }
    }

    fn call(&mut self, call: &Call<'a>, span: Span) {
        match &call.expr {
            Expr::Var(function) if FUNCTIONS.contains(&function.id) || self.macros.contains(function.id) => {}
            Expr::Var(function) => {
                self.refuse(Rule::T01, span, format!("function {} is not allowed", cut(function.id)));
            }
            Expr::GetAttr(method) => {
                if !engine::METHODS.contains(&method.name) {
                    self.refuse(Rule::T01, span, format!("method {} is not allowed", cut(method.name)));
                }
                self.expression(&method.expr);
            }
            _ => self.refuse(Rule::T01, span, "something without a name is called".to_owned()),
        }
        self.arguments(&call.args, span);
    }

    fn arguments(&mut self, arguments: &[CallArg<'a>], span: Span) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value) => self.expression(value),
                CallArg::Kwarg(name, value) => {
                    self.name(name, span);
                    self.expression(value);
                }
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    self.refuse(Rule::T01, span, "arguments are unpacked".to_owned());
                }
            }
        }
    }

    /// Filters that look up an attribute, a filter or a test by a text must have it written out.
    fn filter_arguments(&mut self, filter: &str, arguments: &[CallArg<'a>], span: Span) {
        if !matches!(filter, "map" | "select" | "reject" | "selectattr" | "rejectattr" | "sort" | "unique") {
            return;
        }
        for (index, argument) in arguments.iter().enumerate() {
            let (name, value) = match argument {
                CallArg::Pos(value) => (None, value),
                CallArg::Kwarg(name, value) => (Some(*name), value),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => continue,
            };
            let is_lookup = matches!(name, Some("attribute")) || (name.is_none() && index < 2);
            let Expr::Const(constant) = value else {
                if is_lookup && index == 0 {
                    self.refuse(Rule::T01, span, format!("filter {filter} looks up what is not written out"));
                }
                continue;
            };
            let Some(text) = constant.value.as_str() else { continue };
            let by_name = match (filter, index, name) {
                ("map", 0, None) => Some(FILTERS),
                ("select" | "reject", 0, None) | ("selectattr" | "rejectattr", 1, None) => Some(TESTS),
                _ => None,
            };
            if by_name.is_some_and(|names| !names.contains(&text)) {
                self.refuse(Rule::T01, span, format!("{filter} by {} is not allowed", cut(text)));
            }
            if is_lookup && text.split('.').any(|part| part.starts_with('_')) {
                self.refuse(Rule::T01, span, format!("attribute {} is not allowed", cut(text)));
            }
        }
    }

    fn name(&mut self, name: &str, span: Span) {
        if name.starts_with('_') {
            self.refuse(Rule::T01, span, format!("name {} is not allowed", cut(name)));
        }
    }

    fn constant(&mut self, value: &Value, span: Span) {
        if value.kind() != ValueKind::String {
            return;
        }
        let Some(text) = value.as_str() else { return };
        // Python's own names, wherever they stand.
        if text.starts_with("__") {
            self.refuse(Rule::T01, span, format!("text {} is not allowed", cut(text)));
        }
        if self.triggers.len() < TEMPLATE_TRIGGERS_MAX
            && (1..=TEMPLATE_TRIGGER_LEN_MAX).contains(&text.trim().len())
        {
            self.triggers.insert(text.trim().to_owned());
        }
    }

    fn operator(&mut self, operator: BinOpKind, left: &Expr<'a>, right: &Expr<'a>, span: Span) {
        let bounded = |expression: &Expr<'_>| match expression {
            Expr::Const(constant) => constant
                .value
                .as_str()
                .map(|text| text.len() as u64)
                .or_else(|| constant.value.as_i64()?.try_into().ok()),
            _ => None,
        };
        let holds = match operator {
            BinOpKind::Pow => false,
            BinOpKind::Mul => bounded(left)
                .zip(bounded(right))
                .is_some_and(|(left, right)| left.saturating_mul(right) <= TEMPLATE_REPEAT_MAX),
            _ => true,
        };
        if !holds {
            let message = format!("a product of other than constants, or of more than {TEMPLATE_REPEAT_MAX}");
            self.refuse(Rule::T02, span, message);
        }
    }
}

/// Whether a key is concatenated, from a text that is written here or by a call.
fn builds_text(key: &Expr<'_>) -> bool {
    match key {
        Expr::BinOp(inner) => {
            matches!(inner.op, BinOpKind::Concat)
                || builds_or_is_text(&inner.left)
                || builds_or_is_text(&inner.right)
        }
        Expr::Const(constant) => constant.value.as_str().is_some_and(|text| text.starts_with('_')),
        Expr::IfExpr(inner) => {
            builds_text(&inner.true_expr) || inner.false_expr.as_ref().is_some_and(builds_text)
        }
        Expr::Filter(inner) => !matches!(inner.name, "length" | "count" | "int" | "first" | "last"),
        Expr::Call(_) | Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) => true,
        _ => false,
    }
}

fn builds_or_is_text(part: &Expr<'_>) -> bool {
    match part {
        Expr::Const(constant) => constant.value.as_str().is_some(),
        other => builds_text(other),
    }
}

fn is_reserved(name: &str) -> bool {
    FUNCTIONS.contains(&name) || matches!(name, "messages" | "loop" | "caller" | "self")
}

fn cut(name: &str) -> String {
    excerpt(name.as_bytes())
}
