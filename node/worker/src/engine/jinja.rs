//! llama.cpp's chat code behind its C face (`shim/chat.cpp`): templates rendered with tools, answers read back.
//!
//! It runs in the sandbox like everything else of the engine and needs nothing of the system.
#![allow(unsafe_code)] // Calls into C, and frees what C gave.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

use llama_cpp_2::model::LlamaModel;
use serde::Deserialize;

#[repr(C)]
struct RawChat([u8; 0]);
#[repr(C)]
struct RawReader([u8; 0]);

unsafe extern "C" {
    fn croft_chat_hush();
    fn croft_chat_new(model: *const std::ffi::c_void, source: *const c_char) -> *mut RawChat;
    fn croft_chat_free(chat: *mut RawChat);
    fn croft_chat_takes_tools(chat: *const RawChat) -> bool;
    fn croft_chat_render(chat: *const RawChat, request: *const c_char) -> *mut c_char;
    fn croft_chat_reader_new(format: c_int, begin: *const c_char, parser: *const c_char) -> *mut RawReader;
    fn croft_chat_reader_free(reader: *mut RawReader);
    fn croft_chat_read(reader: *const RawReader, text: *const c_char, partial: bool) -> *mut c_char;
    fn croft_chat_free_text(text: *mut c_char);
}

/// A parsed template.
#[derive(Debug)]
pub struct Jinja(NonNull<RawChat>);

/// A rendered conversation, and how the answer to it looks.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rendered {
    /// The whole prompt.
    pub prompt: String,
    /// GBNF of the answer; empty: none.
    pub grammar: String,
    /// Whether the grammar begins at a trigger instead of at once.
    pub lazy: bool,
    /// What begins a lazy grammar.
    pub triggers: Vec<Trigger>,
    /// Control tokens that are part of the answer's text.
    pub preserved: Vec<String>,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// What the prompt says already of the answer.
    pub generation_prompt: String,
    format: i32,
    parser: String,
}

/// What begins a lazy grammar.
#[derive(Clone, Debug, Deserialize)]
pub struct Trigger {
    #[serde(rename = "type")]
    kind: i32,
    value: String,
    token: i32,
}

impl Trigger {
    /// A regular expression, or, as the error, a token.
    ///
    /// # Errors
    /// The token, if that is what triggers.
    pub fn pattern(&self) -> Result<String, i32> {
        match self.kind {
            0 => Err(self.token),
            1 => Ok(escaped(&self.value)),
            2 => Ok(self.value.clone()),
            _ => Ok(format!("^{}$", self.value.trim_start_matches('^').trim_end_matches('$'))),
        }
    }
}

/// Literal text as a regular expression of C++.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if ".^$|()*+?[]{}\\".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// An answer, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// What the user is to see.
    pub content: String,
    /// What the model thought before.
    pub reasoning: String,
    /// Tools that it calls.
    pub calls: Vec<Call>,
}

/// One call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Call {
    /// The function's name; empty while it is not written to its end.
    pub name: String,
    /// JSON text, perhaps not complete yet.
    pub arguments: String,
}

impl Jinja {
    /// Parses a template; none if llama.cpp cannot.
    #[must_use]
    pub fn new(model: &LlamaModel, source: &str) -> Option<Self> {
        let source = CString::new(source).ok()?;
        // SAFETY: `LlamaModel` is `repr(transparent)` over a pointer to the model (see `load`), so reading it as one
        // gives that pointer. The C side uses it during the call only; the string is terminated.
        let chat = unsafe {
            croft_chat_hush();
            let model = *(&raw const *model).cast::<*const std::ffi::c_void>();
            croft_chat_new(model, source.as_ptr())
        };
        NonNull::new(chat).map(Self)
    }

    /// Whether the template tells the model of tools.
    #[must_use]
    pub fn takes_tools(&self) -> bool {
        // SAFETY: the pointer is valid during the call, which throws nothing.
        unsafe { croft_chat_takes_tools(self.0.as_ptr()) }
    }

    /// Renders a request as the C face describes it; none if the template refuses it.
    #[must_use]
    pub fn render(&self, request: &serde_json::Value) -> Option<Rendered> {
        let request = CString::new(request.to_string()).ok()?;
        // SAFETY: both pointers are valid during the call, which throws nothing.
        let text = take(unsafe { croft_chat_render(self.0.as_ptr(), request.as_ptr()) })?;
        serde_json::from_str(&text).ok()
    }
}

impl Drop for Jinja {
    fn drop(&mut self) {
        // SAFETY: made by `croft_chat_new` and freed once.
        unsafe { croft_chat_free(self.0.as_ptr()) };
    }
}

/// Reads answers of one request.
#[derive(Debug)]
pub struct Reader(NonNull<RawReader>);

impl Reader {
    /// For answers to what was rendered.
    #[must_use]
    pub fn new(rendered: &Rendered) -> Option<Self> {
        let begin = CString::new(rendered.generation_prompt.as_str()).ok()?;
        let parser = CString::new(rendered.parser.as_str()).ok()?;
        // SAFETY: the strings are terminated and copied by the callee, which throws nothing.
        let reader = unsafe { croft_chat_reader_new(rendered.format, begin.as_ptr(), parser.as_ptr()) };
        NonNull::new(reader).map(Self)
    }

    /// The message that the text is, or, if it is `partial`, begins. None if it is no such message.
    #[must_use]
    pub fn read(&self, text: &str, partial: bool) -> Option<Message> {
        // A zero byte ends a C string; none of the formats has a place for one.
        let text = CString::new(text.replace('\0', "\u{FFFD}")).ok()?;
        // SAFETY: both pointers are valid during the call, which throws nothing.
        let read = take(unsafe { croft_chat_read(self.0.as_ptr(), text.as_ptr(), partial) })?;
        serde_json::from_str(&read).ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: made by `croft_chat_reader_new` and freed once.
        unsafe { croft_chat_reader_free(self.0.as_ptr()) };
    }
}

/// Takes a text over from C; none for a null pointer.
fn take(text: *mut c_char) -> Option<String> {
    let text = NonNull::new(text)?;
    // SAFETY: the C face gives a terminated string of its own `malloc`, which is copied, then freed once.
    unsafe {
        let copy = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
        croft_chat_free_text(text.as_ptr());
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_expressions_or_tokens() {
        let trigger = |kind, value: &str| Trigger { kind, value: value.into(), token: 5 }.pattern();
        assert_eq!(trigger(0, "x"), Err(5));
        assert_eq!(trigger(1, "<a>.("), Ok("<a>\\.\\(".into()));
        assert_eq!(trigger(2, "a.b"), Ok("a.b".into()));
        assert_eq!(trigger(3, "^a.b"), Ok("^a.b$".into()));
    }
}
