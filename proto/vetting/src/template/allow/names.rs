//! What a chat template may name: filters, tests, functions.

/// Filters that change a text or a list and nothing else.
pub(super) const FILTERS: &[&str] = &[
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

/// Tests of values.
pub(super) const TESTS: &[&str] = &[
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

/// Functions that every renderer of chat templates offers.
pub(super) const FUNCTIONS: &[&str] = &["dict", "namespace", "raise_exception", "range", "strftime_now"];

/// Filters and methods by which templates have reached Python's own objects.
pub(super) const ESCAPES: &[&str] = &["attr", "format", "format_map", "mro"];

/// Whether a macro of that name would hide one that every template has.
pub(super) fn is_reserved(name: &str) -> bool {
    FUNCTIONS.contains(&name) || matches!(name, "messages" | "loop" | "caller" | "self")
}
