//! Pickles that import nothing but numpy's own and attack through what numpy believes: the state of a type, and through
//! items put into objects that are no collections.

use super::write::{global, join, unicode};
use super::{Sample, sample};

/// `numpy.dtype(name, False, True)`.
fn dtype(name: &str) -> Vec<u8> {
    join(&[&global("numpy", "dtype"), b"(", &unicode(name), b"\x89\x88tR"])
}

/// The type with the usual state but for its length, alignment and flags.
fn dtype_with(name: &str, len: i32, alignment: u8, flags: u8) -> Vec<u8> {
    let state = join(&[
        b"(K\x03",
        &unicode("|"),
        b"NNNJ",
        &len.to_le_bytes(),
        &[b'K', alignment, b'K', flags],
        b"tb",
    ]);
    join(&[&dtype(name), &state])
}

/// An empty array that is given a state.
fn array(shape: &[u8], kind: &[u8], data: &[u8]) -> Vec<u8> {
    let reconstruct = global("numpy.core.multiarray", "_reconstruct");
    let empty = join(&[&reconstruct, b"(", &global("numpy", "ndarray"), b"K\0\x85", &unicode("b"), b"tR"]);
    join(&[b"\x80\x02", &empty, b"(K\x01", shape, kind, b"\x89", data, b"tb."])
}

fn from_buffer(kind: &[u8]) -> Vec<u8> {
    let call = global("numpy.core.numeric", "_frombuffer");
    join(&[b"\x80\x04", &call, b"(C\x08AAAAAAAA", kind, b"K\x01\x85", &unicode("C"), b"tR."])
}

/// A type of one field, of `inner` at `offset`, that claims to hold no objects.
fn with_field(inner: &str, offset: &[u8]) -> Vec<u8> {
    let (name, inner) = (unicode("a"), dtype(inner));
    let fields = join(&[b"}", &name, &inner, offset, b"\x86s"]);
    join(&[&dtype("V8"), b"(K\x03", &unicode("|"), b"N", &name, b"\x85", &fields, b"K\x08K\x01K\0tb"])
}

pub fn hostile() -> Vec<Sample> {
    let t = "numpy state in a pickle";
    let eight = unicode("AAAAAAAA");
    let mut all = vec![
        sample(
            t,
            "objects without their flags, as an array",
            array(b"K\x01\x85", &dtype_with("O8", -1, 255, 0), &eight),
        ),
        sample(t, "objects without their flags, over a buffer", from_buffer(&dtype_with("O8", -1, 255, 0))),
        sample(
            t,
            "objects without one of their flags",
            array(b"K\x01\x85", &dtype_with("O8", -1, 255, 62), &eight),
        ),
        sample(
            t,
            "numbers with the flags of objects",
            array(b"K\x01\x85", &dtype_with("i8", -1, 255, 63), b"]"),
        ),
        sample(t, "a text longer than its type", from_buffer(&dtype_with("S8", 1 << 20, 1, 0))),
        sample(t, "an object in a field", from_buffer(&with_field("O8", b"K\0"))),
        sample(t, "a field far behind the end", from_buffer(&with_field("S8", b"J\0\0\0\x10"))),
        sample(t, "objects as bytes", array(b"K\x01\x85", &dtype("O8"), &eight)),
        sample(t, "a shape below zero", array(b"J\xff\xff\xff\xff\x85", &dtype("i8"), &eight)),
        sample(t, "a type that is a text", array(b"K\x01\x85", &unicode("O8"), &eight)),
        sample(t, "a type of several", from_buffer(&dtype("O8,O8"))),
        sample(
            t,
            "state twice",
            from_buffer(&join(&[
                &dtype("O8"),
                b"2",
                b"(K\x03",
                &unicode("|"),
                b"NNNJ\xff\xff\xff\xffK\x01K\0tb0",
            ])),
        ),
        sample(
            t,
            "another class reconstructed",
            join(&[
                b"\x80\x02",
                &global("numpy.core.multiarray", "_reconstruct"),
                b"(",
                &global("builtins", "list"),
                b"K\0\x85",
                &unicode("b"),
                b"tR.",
            ]),
        ),
        sample(
            t,
            "an array of any size",
            join(&[
                b"\x80\x02",
                &global("numpy", "ndarray"),
                b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86\x85R.",
            ]),
        ),
    ];
    all.extend(items());
    all
}

fn items() -> Vec<Sample> {
    let t = "items for what is no collection";
    let made = |module: &str, name: &str, what: &[u8]| {
        join(&[b"\x80\x02", &global(module, name), b")R", what, b"."])
    };
    let tensor = global("torch._utils", "_rebuild_tensor");
    vec![
        sample(t, "a key of a tensor", join(&[b"\x80\x02", &tensor, b"(NK\0))tRK\0K\0s."])),
        sample(t, "a key of a number", made("builtins", "int", b"K\0K\0s")),
        sample(t, "an item of a dictionary", made("collections", "OrderedDict", b"K\0a")),
        sample(t, "a key of a list", made("collections", "deque", b"K\0K\0s")),
        sample(t, "state of a set", made("builtins", "frozenset", b"K\x01K\x02\x86b")),
        sample(t, "state of a date", made("datetime", "date", b"}b")),
        sample(t, "state of a dictionary that is a tuple", made("collections", "OrderedDict", b"N}\x86b")),
        sample(
            t,
            "bytes of a length",
            join(&[b"\x80\x02", &global("__builtin__", "bytes"), b"J\xff\xff\xff\x7f\x85R."]),
        ),
    ]
}
