//! What numpy's own functions are given in a pickle. Numpy believes the state of a type: one that says it holds no
//! objects while it does makes numpy take bytes of the file for addresses, without any import that a list could refuse.
//!
//! Types with fields are not judged: numpy keeps the dictionary of their fields, which a pickle can change afterwards.

use super::allow::{self, Kind};
use super::array::element;
use super::value::{Arena, Value};

/// Why a state is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// It contradicts what it is given to.
    Refused(&'static str),
    /// It is of a kind that is not judged.
    Unknown(&'static str),
}

/// The flags of a type of Python objects, as numpy writes them.
const OBJECT_FLAGS: i64 = 63;

/// The flags of texts: new elements are zeroed.
const TEXT_FLAGS: i64 = 8;

/// What a call of one of numpy's functions gives, or what was expected of its arguments.
pub(super) fn made(arena: &Arena, kind: Kind, arguments: Option<Value>) -> Result<Value, &'static str> {
    let items = arguments.and_then(|value| arena.items_of(value)).unwrap_or_default();
    match (kind, items) {
        (Kind::Empty, []) if arguments.is_some() => Ok(Value::Object),
        (Kind::Empty, _) => Err("bytes are made from more than nothing"),
        (
            Kind::Bytes,
            [] | [Value::Plain | Value::Text { .. }] | [Value::Text { .. }, Value::Text { .. }],
        ) if arguments.is_some() => Ok(Value::Object),
        (Kind::Bytes, _) => Err("bytes are made from something other than bytes"),
        (Kind::Dtype, [first, ..]) => element(arena.text_of(*first).unwrap_or_default())
            .map(|(len_bytes, object)| Value::Dtype { len_bytes, object })
            .ok_or("numpy.dtype of something other than one plain type"),
        (Kind::Reconstruct, [Value::Global(class), shape, _])
            if allow::kind(*class) == Kind::Array && arena.items_of(*shape) == Some(&[Value::Int(0)]) =>
        {
            Ok(Value::Array)
        }
        (Kind::Scalar, [Value::Dtype { .. }, _]) => Ok(Value::Object),
        (Kind::Buffer, [_, Value::Dtype { object: false, .. }, shape, _]) if is_shape(arena, *shape) => {
            Ok(Value::Object)
        }
        (Kind::Reconstruct, _) => Err("numpy's _reconstruct of something other than an empty array"),
        _ => Err("a numpy function is not given what numpy gives it"),
    }
}

/// Judges the state that a type is given: version, byte order, three times nothing, length, alignment, flags.
pub(super) fn type_state(arena: &Arena, len_bytes: u32, object: bool, state: Value) -> Result<(), Lie> {
    let items = arena.items_of(state).unwrap_or_default();
    let [Value::Int(3 | 4), order, base, names, fields, len, alignment, flags, ..] = items else {
        return Err(Lie::Unknown("the state of a numpy type in a form that is not judged"));
    };
    if [base, names, fields] != [&Value::None; 3] {
        return Err(Lie::Unknown("a numpy type with fields in a pickle is not judged"));
    }
    let order_holds = matches!(arena.text_of(*order), Some([b'<' | b'>' | b'|' | b'=']));
    let len_holds = matches!(len, Value::Int(-1)) || *len == Value::Int(len_bytes.into());
    let alignment_holds = matches!(alignment, Value::Int(-1..=64));
    let flags_hold = match flags {
        Value::Int(flags) if object => *flags == OBJECT_FLAGS,
        Value::Int(flags) => matches!(*flags, 0 | TEXT_FLAGS),
        _ => false,
    };
    if order_holds && len_holds && alignment_holds && flags_hold {
        return Ok(());
    }
    Err(Lie::Refused("the state of a numpy type contradicts the type, and numpy would believe it"))
}

/// Judges the state that an array is given: version, shape, type, order, data.
pub(super) fn array_state(arena: &Arena, state: Value) -> Result<(), Lie> {
    if matches!(state, Value::Tuple(_)) {
        return Err(Lie::Unknown("more tuples than are remembered"));
    }
    let items = arena.items_of(state).unwrap_or_default();
    let [Value::Int(_), shape, kind, _, data] = items else {
        return Err(Lie::Refused(
            "the state of a numpy array should be its version, shape, type, order and data",
        ));
    };
    if matches!(shape, Value::Tuple(_)) {
        return Err(Lie::Unknown("more tuples than are remembered"));
    }
    if !is_shape(arena, *shape) {
        return Err(Lie::Refused("the shape of a numpy array should be up to 64 numbers"));
    }
    let holds = match kind {
        Value::Dtype { object: true, .. } => *data == Value::List,
        Value::Dtype { object: false, .. } => {
            matches!(data, Value::Plain | Value::Object | Value::Text { .. })
        }
        _ => return Err(Lie::Refused("the type of a numpy array should be one that numpy.dtype made")),
    };
    holds.then_some(()).ok_or(Lie::Refused("the data of a numpy array is not of its type"))
}

fn is_shape(arena: &Arena, shape: Value) -> bool {
    arena
        .items_of(shape)
        .is_some_and(|items| items.iter().all(|item| matches!(item, Value::Int(size) if *size >= 0)))
}
