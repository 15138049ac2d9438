//! What llama.cpp says. It logs texts that it cannot tokenize, so nobody listens once there can be a prompt; while a
//! model loads, its first complaint is kept, because it says what is wrong with the file.
#![allow(unsafe_code)] // The C API takes a callback.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use crate::limits::COMPLAINT_LEN_MAX;

static COMPLAINT: Mutex<String> = Mutex::new(String::new());

/// Keeps the first complaint from here on.
pub fn listen() {
    // SAFETY: the callback is a function of this program and uses no user data.
    unsafe { sys::llama_log_set(Some(keep), std::ptr::null_mut()) };
}

/// Drops everything from here on; gives the complaint that was kept, shortened to printable ASCII.
pub fn silence() -> String {
    // SAFETY: as above.
    unsafe { sys::llama_log_set(Some(drop_text), std::ptr::null_mut()) };
    std::mem::take(&mut COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner))
}

unsafe extern "C" fn drop_text(_: sys::ggml_log_level, _: *const c_char, _: *mut c_void) {}

unsafe extern "C" fn keep(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level != sys::GGML_LOG_LEVEL_ERROR || text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a terminated string that lives through the call.
    let text = unsafe { CStr::from_ptr(text) };
    // Later lines only repeat that loading failed.
    let mut complaint = COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner);
    if complaint.is_empty() {
        *complaint = printable(text.to_bytes());
    }
}

fn printable(bytes: &[u8]) -> String {
    let clean = bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' });
    clean.take(COMPLAINT_LEN_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_short_and_printable() {
        assert_eq!(printable(b"unknown\x1b[2J architecture\n"), "unknown [2J architecture");
        assert_eq!(printable(&[b'x'; 1000]).len(), COMPLAINT_LEN_MAX);
    }
}
