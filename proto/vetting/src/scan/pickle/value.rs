//! What the pickle machine knows of a Python value: enough to know what would be called, and no more.

use super::super::limits::{
    ITEMS_MAX, TEXT_LEN_MAX, TEXTS_LEN_MAX, TUPLE_DEPTH_MAX, TUPLE_LEN_MAX, TUPLE_UNFOLDED_MAX,
};

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
    Tuple(Extent),
    SmallTuple {
        start: u32,
        len: u8,
        extent: Extent,
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

/// How large a tuple is with all that lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Values, each as often as it stands there.
    pub(super) unfolded: u32,
    /// Tuples in tuples.
    pub(super) depth: u16,
}

impl Extent {
    fn of(items: &[Value]) -> Self {
        items.iter().fold(Self { unfolded: 1, depth: 1 }, |whole, item| match item {
            Value::Tuple(part) | Value::SmallTuple { extent: part, .. } => Self {
                unfolded: whole.unfolded.saturating_add(part.unfolded),
                depth: whole.depth.max(part.depth.saturating_add(1)),
            },
            _ => Self { unfolded: whole.unfolded.saturating_add(1), ..whole },
        })
    }

    /// Whether Python could take it for a key and come back.
    pub(super) const fn is_bounded(self) -> bool {
        self.unfolded <= TUPLE_UNFOLDED_MAX && self.depth <= TUPLE_DEPTH_MAX
    }
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

    /// A tuple of `items`, unless it unfolds beyond all bounds.
    pub(super) fn tuple(&mut self, items: &[Value]) -> Option<Value> {
        let extent = Some(Extent::of(items)).filter(|extent| extent.is_bounded())?;
        let (Ok(start), Ok(len)) = (u32::try_from(self.items.len()), u8::try_from(items.len())) else {
            return Some(Value::Tuple(extent));
        };
        if len > TUPLE_LEN_MAX || self.items.len() + items.len() > ITEMS_MAX {
            return Some(Value::Tuple(extent));
        }
        self.items.extend_from_slice(items);
        Some(Value::SmallTuple { start, len, extent })
    }

    pub(super) fn text_of(&self, value: Value) -> Option<&[u8]> {
        let Value::Text { start, len } = value else { return None };
        self.texts.get(start as usize..start as usize + usize::from(len))
    }

    pub(super) fn items_of(&self, value: Value) -> Option<&[Value]> {
        let Value::SmallTuple { start, len, .. } = value else { return None };
        self.items.get(start as usize..start as usize + usize::from(len))
    }
}
