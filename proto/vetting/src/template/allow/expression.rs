//! Expressions: which names, keys, calls and filters they may hold.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Filter};
use minijinja::value::{Value, ValueKind};

use super::super::engine;
use super::names::{ESCAPES, FILTERS, FUNCTIONS, TESTS};
use super::{Walk, cut};
use crate::limits::{TEMPLATE_REPEAT_MAX, TEMPLATE_TRIGGER_LEN_MAX, TEMPLATE_TRIGGERS_MAX};
use crate::report::Rule;

impl<'a> Walk<'a, '_> {
    pub(super) fn expression(&mut self, expression: &Expr<'a>) {
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
                    self.escape(span, format!("name {} is not allowed", inner.id));
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
            Expr::Filter(inner) => self.filter(inner, span),
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
                    self.escape(span, "a key is put together from texts".to_owned());
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

    fn filter(&mut self, inner: &Filter<'a>, span: Span) {
        if ESCAPES.contains(&inner.name) {
            self.escape(span, format!("filter {} is not allowed", inner.name));
        } else if !FILTERS.contains(&inner.name) {
            self.refuse(Rule::T01, span, format!("filter {} is not allowed", cut(inner.name)));
        }
        self.filter_arguments(inner.name, &inner.args, span);
        inner.expr.iter().for_each(|value| self.expression(value));
        self.arguments(&inner.args, span);
    }

    pub(super) fn call(&mut self, call: &Call<'a>, span: Span) {
        match &call.expr {
            Expr::Var(function) if FUNCTIONS.contains(&function.id) || self.macros.contains(function.id) => {}
            Expr::Var(function) => {
                self.refuse(Rule::T01, span, format!("function {} is not allowed", cut(function.id)));
            }
            Expr::GetAttr(method) => {
                if ESCAPES.contains(&method.name) {
                    self.escape(span, format!("method {} is not allowed", method.name));
                } else if !engine::METHODS.contains(&method.name) {
                    self.refuse(Rule::T01, span, format!("method {} is not allowed", cut(method.name)));
                }
                self.expression(&method.expr);
            }
            _ => self.escape(span, "something without a name is called".to_owned()),
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
                self.escape(span, format!("attribute {} is not allowed", cut(text)));
            }
        }
    }

    pub(super) fn name(&mut self, name: &str, span: Span) {
        if name.starts_with('_') {
            self.escape(span, format!("name {} is not allowed", cut(name)));
        }
    }

    fn constant(&mut self, value: &Value, span: Span) {
        if value.kind() != ValueKind::String {
            return;
        }
        let Some(text) = value.as_str() else { return };
        // Python's own names, wherever they stand.
        if text.starts_with("__") {
            self.escape(span, format!("text {} is not allowed", cut(text)));
        }
        if self.walked.triggers.len() < TEMPLATE_TRIGGERS_MAX
            && (1..=TEMPLATE_TRIGGER_LEN_MAX).contains(&text.trim().len())
        {
            self.walked.triggers.insert(text.trim().to_owned());
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
        if matches!(operator, BinOpKind::Concat | BinOpKind::Add) && (is_piece(left) || is_piece(right)) {
            self.escape(span, "puts together a name of the renderer's own".to_owned());
        }
        if !holds {
            let message = format!("a product of other than constants, or of more than {TEMPLATE_REPEAT_MAX}");
            if bounded(left).and(bounded(right)).is_some() {
                let at = u64::from(span.start_offset);
                self.walked.escape.get_or_insert_with(|| (at, message.clone()));
            }
            self.refuse(Rule::T02, span, message);
        }
    }
}

/// Whether it is a part of a name like `__class__`, which nobody needs to put together.
fn is_piece(expression: &Expr<'_>) -> bool {
    let Expr::Const(constant) = expression else { return false };
    let names =
        ["class", "globals", "builtins", "subclasses", "mro", "init", "import", "base", "getattribute"];
    constant.value.as_str().is_some_and(|text| {
        (text.starts_with('_') || text.ends_with('_')) && names.contains(&text.trim_matches('_'))
    })
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
