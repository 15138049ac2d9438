//! The machine itself: one pickle from its first opcode to its STOP.

use super::super::Scan;
use super::super::limits::{MEMO_MAX, OPCODES_MAX, STACK_MAX, STORAGES_MAX};
use super::super::source::{Source, Stop};
use super::allow::{self, Kind};
use super::value::{Arena, Value};
use super::{Outcome, Persistent, Storages, array, numpy, opcode};
use crate::report::{Rule, excerpt};

pub(super) struct Machine<'m> {
    pub(super) scan: &'m mut Scan,
    pub(super) arena: Arena,
    storages: &'m mut Storages,
    persistent: Persistent,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<usize>,
    memo: Vec<Value>,
    memo_count: usize,
    frame_end: Option<u64>,
    /// The items that the last opcode put into a dictionary.
    pub(super) state: Vec<(Value, Value)>,
    pub(super) state_is_fresh: bool,
    pub(super) nesting: u32,
    pub(super) arrays: bool,
    at: u64,
}

/// Runs one pickle.
pub(super) fn run(
    scan: &mut Scan,
    source: &mut Source<'_>,
    persistent: Persistent,
    storages: &mut Storages,
    nesting: u32,
) -> Result<Outcome, Stop> {
    let mut machine = Machine {
        scan,
        arena: Arena::default(),
        storages,
        persistent,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memo_count: 0,
        frame_end: None,
        state: Vec::new(),
        state_is_fresh: false,
        nesting,
        arrays: false,
        at: source.offset(),
    };
    let begin = source.offset();
    for _ in 0..OPCODES_MAX {
        machine.at = source.offset();
        machine.check_frame()?;
        let Some(code) = source.next()? else {
            return Err(machine.fatal(Rule::K08, "the data ends before the pickle does (no STOP)"));
        };
        let was_fresh = std::mem::take(&mut machine.state_is_fresh);
        match code {
            b'.' => return machine.finish(source),
            0x80 => machine.protocol(source, begin)?,
            b'b' => machine.build(source, was_fresh)?,
            b'N' | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' | 0x88 | 0x89 => {
                machine.number(code, source)?;
            }
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => {
                machine.text(code, source)?;
            }
            b'c' | 0x93 | b'i' | 0x82..=0x84 => machine.import(code, source)?,
            b'R' | 0x81 | 0x92 | b'o' => machine.call(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => machine.memo(code, source)?,
            b'P' | b'Q' => machine.persistent_id(code, source)?,
            0x95 => machine.frame(source)?,
            0x97 | 0x98 => return Err(machine.stop(Rule::K01, "out-of-band buffers are not in a file")),
            _ => machine.collection(code)?,
        }
        if machine.stack.len() > STACK_MAX || machine.marks.len() > STACK_MAX {
            return Err(machine.stop(Rule::K07, format!("more than {STACK_MAX} values on the stack")));
        }
    }
    Err(machine.stop(Rule::K07, format!("more than {OPCODES_MAX} opcodes")))
}

impl Machine<'_> {
    pub(super) fn stop(&self, rule: Rule, message: impl Into<String>) -> Stop {
        Stop::refused(rule, self.at, message)
    }

    /// What ends every reader's work.
    pub(super) fn fatal(&self, rule: Rule, message: impl Into<String>) -> Stop {
        Stop::fatal(rule, self.at, message)
    }

    fn lie(&self, lie: numpy::Lie) -> Stop {
        match lie {
            numpy::Lie::Refused(expected) => Stop::refused(Rule::K12, self.at, expected),
            numpy::Lie::Unknown(what) => Stop::unknown(Rule::K12, self.at, what),
        }
    }

    pub(super) fn note(&mut self, rule: Rule, message: impl Into<String>) {
        self.scan.refuse(rule, self.at, message);
    }

    fn finish(mut self, source: &Source<'_>) -> Result<Outcome, Stop> {
        if self.frame_end.is_some_and(|end| end != source.offset()) {
            return Err(self.stop(Rule::K10, "the frame should end with the pickle"));
        }
        let top = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            return Err(self.stop(Rule::K08, "values are left on the stack at the end"));
        }
        Ok(Outcome { torch_magic: top == Value::TorchMagic, arrays: self.arrays })
    }

    fn protocol(&mut self, source: &mut Source<'_>, begin: u64) -> Result<(), Stop> {
        let [version] = source.array(Rule::K01, "the protocol")?;
        if version > 5 || self.at != begin {
            return Err(self.stop(Rule::K01, "a protocol up to 5 should stand at the beginning only"));
        }
        Ok(())
    }

    fn frame(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        let len = u64::from_le_bytes(source.array(Rule::K10, "the length of a frame")?);
        if self.frame_end.is_some() {
            return Err(self.stop(Rule::K10, "a frame within a frame"));
        }
        if source.remaining().is_some_and(|left| len > left) {
            return Err(self.stop(Rule::K10, format!("a frame claims {len} bytes, fewer are left")));
        }
        self.frame_end = Some(source.offset().saturating_add(len));
        Ok(())
    }

    fn check_frame(&mut self) -> Result<(), Stop> {
        match self.frame_end {
            Some(end) if self.at == end => self.frame_end = None,
            Some(end) if self.at > end => {
                return Err(self.stop(Rule::K10, "an opcode reaches beyond its frame"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Array data lies outside of frames.
    pub(super) fn outside_of_frames(&mut self, source: &Source<'_>) -> Result<(), Stop> {
        self.at = source.offset();
        self.check_frame()?;
        if self.frame_end.is_some() {
            return Err(self.stop(Rule::K11, "an array's data should not lie in a frame"));
        }
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Result<Value, Stop> {
        let fence = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= fence {
            return Err(self.fatal(Rule::K01, "the stack is empty here"));
        }
        self.stack.pop().ok_or_else(|| self.fatal(Rule::K01, "the stack is empty here"))
    }

    pub(super) fn top(&self) -> Result<Value, Stop> {
        let fence = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(fence..).and_then(<[Value]>::last).copied();
        top.ok_or_else(|| self.fatal(Rule::K01, "the stack is empty here"))
    }

    /// Everything above the last mark.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>, Stop> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.fatal(Rule::K01, "there is no mark on the stack"));
        };
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn import(&mut self, code: u8, source: &mut Source<'_>) -> Result<(), Stop> {
        if matches!(code, 0x82..=0x84) {
            return Err(self.stop(Rule::K03, "an extension code; what it names depends on the reader"));
        }
        let (module, name) = if code == 0x93 {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.arena.text_of(module), self.arena.text_of(name)) {
                (Some(module), Some(name)) => (module.to_vec(), name.to_vec()),
                _ => return Err(self.stop(Rule::K04, "STACK_GLOBAL should find two plain texts")),
            }
        } else {
            (opcode::line(source)?, opcode::line(source)?)
        };
        if !is_importable(&module) {
            let shown = format!("{}.{}", excerpt(&module), excerpt(&name));
            return Err(self.fatal(Rule::K02, format!("imports {shown}, which no module is called")));
        }
        let value = self.resolve(&module, &name);
        if code == b'i' {
            self.scan.calls += 1;
            self.pop_mark()?;
            let made = self.made_by(value, None);
            self.push(made);
        } else {
            self.push(value);
        }
        Ok(())
    }

    fn resolve(&mut self, module: &[u8], name: &[u8]) -> Value {
        if let Some(index) = allow::find(module, name) {
            return Value::Global(index);
        }
        if self.scan.policy.allows_import(module, name) {
            return Value::Trusted;
        }
        if self.scan.findings.is_full() {
            return Value::Foreign;
        }
        let shown = format!("{}.{}", excerpt(module), excerpt(name));
        if name.contains(&b'.') {
            self.note(Rule::K04, format!("imports {shown}: a name with dots reaches other modules"));
        } else {
            self.note(Rule::K02, format!("imports {shown}, which is not on the list"));
        }
        Value::Foreign
    }

    fn call(&mut self, code: u8) -> Result<(), Stop> {
        self.scan.calls += 1;
        let (callee, arguments) = match code {
            b'o' => {
                let items = self.pop_mark()?;
                let Some(callee) = items.first().copied() else {
                    return Err(self.stop(Rule::K01, "OBJ should find a class"));
                };
                (callee, None)
            }
            0x92 => {
                self.pop()?;
                let arguments = self.pop()?;
                (self.pop()?, Some(arguments))
            }
            _ => {
                let arguments = self.pop()?;
                (self.pop()?, Some(arguments))
            }
        };
        if arguments.is_some_and(|value| !matches!(value, Value::Tuple(_) | Value::SmallTuple { .. })) {
            return Err(self.stop(Rule::K05, "a call's arguments should be a tuple"));
        }
        let made = self.made_by(callee, arguments);
        self.push(made);
        Ok(())
    }

    /// What a call gives, if it may be made.
    fn made_by(&mut self, callee: Value, arguments: Option<Value>) -> Value {
        match callee {
            Value::Global(index) => match allow::kind(index) {
                Kind::Plain => Value::Object,
                Kind::Encoded => Value::Plain,
                Kind::Mapping => Value::Mapping,
                Kind::Sequence => Value::Sequence,
                Kind::Set => Value::Set,
                Kind::ArrayWrapper => Value::ArrayWrapper,
                kind @ (Kind::Dtype
                | Kind::Reconstruct
                | Kind::Scalar
                | Kind::Buffer
                | Kind::Empty
                | Kind::Bytes) => match numpy::made(&self.arena, kind, arguments) {
                    Ok(value) => value,
                    Err(expected) => {
                        self.note(Rule::K05, expected);
                        Value::Foreign
                    }
                },
                Kind::Storage(_) | Kind::Constant | Kind::Array => {
                    self.note(Rule::K05, "calls a name that is a value here, not a function");
                    Value::Object
                }
            },
            // The import was judged already.
            Value::Foreign | Value::Trusted => callee,
            _ => {
                self.note(Rule::K05, "calls something that is not a listed name");
                Value::Foreign
            }
        }
    }

    fn build(&mut self, source: &mut Source<'_>, state_is_fresh: bool) -> Result<(), Stop> {
        let state = self.pop()?;
        match self.top()? {
            Value::Foreign | Value::Trusted => {}
            // Attributes beside the items, as PyTorch gives them to its dictionaries.
            Value::Mapping if matches!(state, Value::Dict | Value::Mapping) => {}
            Value::Dtype { len_bytes, object } => {
                numpy::type_state(&self.arena, len_bytes, object, state).map_err(|lie| self.lie(lie))?;
            }
            Value::Array => numpy::array_state(&self.arena, state).map_err(|lie| self.lie(lie))?,
            Value::ArrayWrapper if state_is_fresh => {
                array::read(self, source)?;
                self.pop()?;
                self.push(Value::Object);
            }
            Value::ArrayWrapper => {
                return Err(self.stop(Rule::K11, "an array's description should be a dictionary of its own"));
            }
            _ => self.note(Rule::K05, "gives state to something that no listed name made"),
        }
        Ok(())
    }

    fn memo(&mut self, code: u8, source: &mut Source<'_>) -> Result<(), Stop> {
        let what = "a memo index";
        let index = match code {
            b'p' | b'g' => opcode::decimal(source, what)?,
            b'q' | b'h' => source.array::<1>(Rule::K01, what)?[0].into(),
            b'r' | b'j' => u32::from_le_bytes(source.array(Rule::K01, what)?).into(),
            _ => self.memo_count as u64,
        };
        let Some(index) = usize::try_from(index).ok().filter(|index| *index < MEMO_MAX) else {
            return Err(self.stop(Rule::K07, format!("memo index {index} is above {MEMO_MAX}")));
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let value = self.memo.get(index).copied().unwrap_or(Value::Unset);
            if value == Value::Unset {
                return Err(self.fatal(Rule::K06, format!("memo {index} was never written in this pickle")));
            }
            self.push(value);
            return Ok(());
        }
        let value = self.top()?;
        if self.memo.len() <= index {
            self.memo.resize(index + 1, Value::Unset);
        }
        if let Some(place) = self.memo.get_mut(index) {
            self.memo_count += usize::from(*place == Value::Unset);
            *place = value;
        }
        Ok(())
    }

    fn persistent_id(&mut self, code: u8, source: &mut Source<'_>) -> Result<(), Stop> {
        let id = if code == b'P' {
            opcode::line(source)?;
            Value::Plain
        } else {
            self.pop()?
        };
        self.push(Value::Storage);
        if self.persistent == Persistent::Refused {
            self.note(Rule::K09, "a persistent id means nothing outside of a PyTorch file");
            return Ok(());
        }
        let items = self.arena.items_of(id).unwrap_or_default();
        let [kind, Value::Global(class), key, _, Value::Int(count), ..] = items else {
            return Err(self.stop(Rule::K09, "a persistent id should describe a storage"));
        };
        let (Some(b"storage"), Some(key), Kind::Storage(element), Ok(count)) =
            (self.arena.text_of(*kind), self.arena.text_of(*key), allow::kind(*class), u64::try_from(*count))
        else {
            return Err(self.stop(Rule::K09, "a persistent id should describe a storage"));
        };
        let (key, len) = (key.to_vec(), count.saturating_mul(element.into()));
        if self.storages.len() >= STORAGES_MAX {
            return Err(self.stop(Rule::K07, format!("more than {STORAGES_MAX} storages")));
        }
        if self.storages.insert(key, len).is_some_and(|before| before != len) {
            return Err(self.stop(Rule::Z09, "a storage is described with two lengths"));
        }
        Ok(())
    }
}

/// Whether a module can be called so: no file that a module is read from has other ASCII characters in its name, unless
/// somebody gave it that name for this.
fn is_importable(module: &[u8]) -> bool {
    module.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | 0x80..))
}
