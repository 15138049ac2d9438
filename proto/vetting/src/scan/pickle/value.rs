//! What the pickle machine knows of a Python value: enough to know what would be called, and no more.

use super::super::limits::{ITEMS_MAX, TEXT_LEN_MAX, TEXTS_LEN_MAX, TUPLE_LEN_MAX};

/// A value on the stack or in the memo. Sixteen bytes, without ownership: texts and tuples lie in the [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A memo place that was never written.
    Unset,
    /// A text or bytes that cannot name anything.
    Plain,
    /// A number that is not a whole one of 64 bits.
    Number,
    /// Python's `None`.
    None,
    True,
    Int(i64),
    /// PyTorch's magic number for files before 1.6.
    TorchMagic,
    Text {
        start: u32,
        len: u16,
    },
    List,
    Dict,
    Set,
    /// A tuple whose items are not remembered.
    Tuple,
    SmallTuple {
        start: u32,
        len: u8,
    },
    /// A listed name.
    Global(u16),
    /// A name that was refused.
    Foreign,
    /// A name that a policy allows, or what it made: whatever is done with it.
    Trusted,
    /// What a listed name made.
    Object,
    /// What a listed name made, and that takes items by key.
    Mapping,
    /// What a listed name made, and that takes items one behind the other.
    Sequence,
    /// A numpy array that waits for its state.
    Array,
    /// A type of array elements.
    Dtype {
        len_bytes: u32,
        object: bool,
    },
    /// What joblib makes before it reads an array.
    ArrayWrapper,
    /// What a persistent id stands for.
    Storage,
}

/// Texts and small tuples, dropped all at once with the pickle.
#[derive(Debug, Default)]
pub(super) struct Arena {
    texts: Vec<u8>,
    items: Vec<Value>,
}

impl Arena {
    /// Keeps a text that may be a name; a longer one becomes plain data.
    pub(super) fn text(&mut self, text: &[u8]) -> Value {
        let (Ok(start), Ok(len)) = (u32::try_from(self.texts.len()), u16::try_from(text.len())) else {
            return Value::Plain;
        };
        if text.len() > TEXT_LEN_MAX || self.texts.len() + text.len() > TEXTS_LEN_MAX {
            return Value::Plain;
        }
        self.texts.extend_from_slice(text);
        Value::Text { start, len }
    }

    pub(super) fn tuple(&mut self, items: &[Value]) -> Value {
        let (Ok(start), Ok(len)) = (u32::try_from(self.items.len()), u8::try_from(items.len())) else {
            return Value::Tuple;
        };
        if len > TUPLE_LEN_MAX || self.items.len() + items.len() > ITEMS_MAX {
            return Value::Tuple;
        }
        self.items.extend_from_slice(items);
        Value::SmallTuple { start, len }
    }

    pub(super) fn text_of(&self, value: Value) -> Option<&[u8]> {
        let Value::Text { start, len } = value else { return None };
        self.texts.get(start as usize..start as usize + usize::from(len))
    }

    pub(super) fn items_of(&self, value: Value) -> Option<&[Value]> {
        let Value::SmallTuple { start, len } = value else { return None };
        self.items.get(start as usize..start as usize + usize::from(len))
    }
}
