//! The names that a pickle may import. Everything else is refused with the name printed.
//!
//! Each entry was looked at for what an attacker can make of it with arguments of his choice: none runs code, reads a
//! file, or calls what it is given beyond this list.

/// What a listed name is, as far as the machine must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A class or function that makes plain data.
    Plain,
    /// A class whose objects take items by key.
    Mapping,
    /// A class whose objects take items one behind the other.
    Sequence,
    /// `set`.
    Set,
    /// A class that is called without arguments only: a number as argument is how much memory it takes.
    Empty,
    /// A class that is made from bytes or a text, and not from a number for the same reason.
    Bytes,
    /// What makes bytes of a text.
    Encoded,
    /// `numpy.ndarray`, which is named for [`Kind::Reconstruct`] and never called.
    Array,
    /// What makes an empty numpy array that is then given its state.
    Reconstruct,
    /// What makes a number of a numpy type.
    Scalar,
    /// What makes a numpy array over given bytes.
    Buffer,
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

const fn mapping(module: &'static str, name: &'static str) -> Allowed {
    Allowed { module, name, kind: Kind::Mapping }
}

const fn sequence(module: &'static str, name: &'static str) -> Allowed {
    Allowed { module, name, kind: Kind::Sequence }
}

const fn numpy(module: &'static str, name: &'static str, kind: Kind) -> Allowed {
    Allowed { module, name, kind }
}

const fn storage(name: &'static str, len_bytes: u8) -> Allowed {
    Allowed { module: "torch", name, kind: Kind::Storage(len_bytes) }
}

const fn constant(name: &'static str) -> Allowed {
    Allowed { module: "torch", name, kind: Kind::Constant }
}

/// A type of numpy's numbers, which stands beside data to say what it was.
const fn number_type(name: &'static str) -> Allowed {
    Allowed { module: "numpy", name, kind: Kind::Constant }
}

/// The list.
pub(super) const ALLOWED: &[Allowed] = &[
    mapping("collections", "OrderedDict"),
    mapping("collections", "defaultdict"),
    sequence("collections", "deque"),
    mapping("collections", "Counter"),
    numpy("numpy", "ndarray", Kind::Array),
    numpy("numpy", "dtype", Kind::Dtype),
    numpy("numpy.core.multiarray", "_reconstruct", Kind::Reconstruct),
    numpy("numpy.core.multiarray", "scalar", Kind::Scalar),
    numpy("numpy._core.multiarray", "_reconstruct", Kind::Reconstruct),
    numpy("numpy._core.multiarray", "scalar", Kind::Scalar),
    // How numpy writes arrays since protocol 5.
    numpy("numpy.core.numeric", "_frombuffer", Kind::Buffer),
    numpy("numpy._core.numeric", "_frombuffer", Kind::Buffer),
    plain("torch._utils", "_rebuild_tensor"),
    plain("torch._utils", "_rebuild_tensor_v2"),
    // The same for types without a storage class of their own.
    plain("torch._utils", "_rebuild_tensor_v3"),
    plain("torch._utils", "_rebuild_parameter"),
    // A tensor without data.
    plain("torch._utils", "_rebuild_meta_tensor_no_storage"),
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
    constant("uint16"),
    constant("uint32"),
    constant("uint64"),
    constant("complex32"),
    constant("complex64"),
    constant("complex128"),
    constant("float8_e4m3fn"),
    constant("float8_e4m3fnuz"),
    constant("float8_e5m2"),
    constant("float8_e5m2fnuz"),
    number_type("float16"),
    number_type("float32"),
    number_type("float64"),
    number_type("int8"),
    number_type("int16"),
    number_type("int32"),
    number_type("int64"),
    number_type("uint8"),
    number_type("uint16"),
    number_type("uint32"),
    number_type("uint64"),
    number_type("bool_"),
    number_type("complex64"),
    number_type("complex128"),
    // How bytes are written up to protocol 2: as text, to be encoded.
    Allowed { module: "_codecs", name: "encode", kind: Kind::Encoded },
    plain("datetime", "datetime"),
    plain("datetime", "date"),
    plain("datetime", "time"),
    plain("datetime", "timezone"),
    plain("datetime", "timedelta"),
    plain("decimal", "Decimal"),
    sequence("builtins", "list"),
    mapping("builtins", "dict"),
    Allowed { module: "builtins", name: "set", kind: Kind::Set },
    Allowed { module: "builtins", name: "bytearray", kind: Kind::Bytes },
    plain("builtins", "slice"),
    plain("builtins", "frozenset"),
    plain("builtins", "complex"),
    plain("builtins", "int"),
    plain("builtins", "float"),
    // What the same are called up to protocol 2.
    sequence("__builtin__", "list"),
    mapping("__builtin__", "dict"),
    Allowed { module: "__builtin__", name: "set", kind: Kind::Set },
    // What empty bytes are called there.
    Allowed { module: "__builtin__", name: "bytes", kind: Kind::Empty },
    Allowed { module: "__builtin__", name: "bytearray", kind: Kind::Bytes },
    plain("__builtin__", "slice"),
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
