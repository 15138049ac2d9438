//! The names that a pickle may import. Everything else is refused with the name printed.
//!
//! Each entry was looked at for what an attacker can make of it with arguments of his choice: none runs code, reads a
//! file, or calls what it is given beyond this list.

/// What a listed name is, as far as the machine must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A class or function that makes plain data.
    Plain,
    /// `numpy.dtype`, whose argument decides how long an array's data is.
    Dtype,
    /// A kind of PyTorch storage, with the length of an element in bytes.
    Storage(u8),
    /// joblib's stand-in for an array whose data follows in the stream.
    ArrayWrapper,
    /// A value (`torch.float32`), never called.
    Constant,
}

/// One listed name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) module: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn plain(module: &'static str, name: &'static str) -> Allowed {
    Allowed { module, name, kind: Kind::Plain }
}

const fn storage(name: &'static str, len_bytes: u8) -> Allowed {
    Allowed { module: "torch", name, kind: Kind::Storage(len_bytes) }
}

const fn constant(name: &'static str) -> Allowed {
    Allowed { module: "torch", name, kind: Kind::Constant }
}

/// The list.
pub(super) const ALLOWED: &[Allowed] = &[
    plain("collections", "OrderedDict"),
    plain("collections", "defaultdict"),
    plain("collections", "deque"),
    plain("collections", "Counter"),
    plain("numpy", "ndarray"),
    Allowed { module: "numpy", name: "dtype", kind: Kind::Dtype },
    plain("numpy.core.multiarray", "_reconstruct"),
    plain("numpy.core.multiarray", "scalar"),
    plain("numpy._core.multiarray", "_reconstruct"),
    plain("numpy._core.multiarray", "scalar"),
    // How numpy writes arrays since protocol 5.
    plain("numpy.core.numeric", "_frombuffer"),
    plain("numpy._core.numeric", "_frombuffer"),
    plain("torch._utils", "_rebuild_tensor"),
    plain("torch._utils", "_rebuild_tensor_v2"),
    plain("torch._utils", "_rebuild_parameter"),
    plain("torch", "Size"),
    plain("torch", "device"),
    storage("DoubleStorage", 8),
    storage("FloatStorage", 4),
    storage("HalfStorage", 2),
    storage("BFloat16Storage", 2),
    storage("LongStorage", 8),
    storage("IntStorage", 4),
    storage("ShortStorage", 2),
    storage("CharStorage", 1),
    storage("ByteStorage", 1),
    storage("BoolStorage", 1),
    storage("ComplexFloatStorage", 8),
    storage("ComplexDoubleStorage", 16),
    Allowed { module: "torch.storage", name: "UntypedStorage", kind: Kind::Storage(1) },
    constant("float64"),
    constant("float32"),
    constant("float16"),
    constant("bfloat16"),
    constant("int64"),
    constant("int32"),
    constant("int16"),
    constant("int8"),
    constant("uint8"),
    constant("bool"),
    // How bytes are written up to protocol 2: as text, to be encoded.
    plain("_codecs", "encode"),
    plain("datetime", "datetime"),
    plain("datetime", "date"),
    plain("datetime", "timedelta"),
    plain("decimal", "Decimal"),
    plain("builtins", "list"),
    plain("builtins", "dict"),
    plain("builtins", "set"),
    plain("builtins", "frozenset"),
    plain("builtins", "complex"),
    plain("builtins", "int"),
    plain("builtins", "float"),
    // What the same are called up to protocol 2.
    plain("__builtin__", "list"),
    plain("__builtin__", "dict"),
    plain("__builtin__", "set"),
    plain("__builtin__", "frozenset"),
    plain("__builtin__", "complex"),
    plain("__builtin__", "int"),
    plain("__builtin__", "float"),
    Allowed { module: "joblib.numpy_pickle", name: "NumpyArrayWrapper", kind: Kind::ArrayWrapper },
];

/// Where a name stands in the list.
pub(super) fn find(module: &[u8], name: &[u8]) -> Option<u16> {
    ALLOWED
        .iter()
        .position(|entry| entry.module.as_bytes() == module && entry.name.as_bytes() == name)
        .and_then(|index| u16::try_from(index).ok())
}

/// What stands there.
pub(super) fn kind(index: u16) -> Kind {
    ALLOWED.get(usize::from(index)).map_or(Kind::Constant, |entry| entry.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_no_name_on_the_list_has_dots_or_stands_twice() {
        for (index, entry) in ALLOWED.iter().enumerate() {
            assert!(!entry.name.contains('.'), "{entry:?}");
            assert_eq!(find(entry.module.as_bytes(), entry.name.as_bytes()).map(usize::from), Some(index));
        }
        assert_eq!(find(b"os", b"system"), None);
    }
}
