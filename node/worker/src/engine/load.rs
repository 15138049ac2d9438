//! The model out of an open descriptor: nothing is opened by name, so the sandbox need not allow it.
#![allow(unsafe_code)] // llama-cpp-2 loads by path only; the C API also takes an open file.

use std::ffi::c_void;
use std::fs::File;
use std::io::Seek as _;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::ptr::NonNull;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::log;
use crate::fault::Fault;

/// How much of a model is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// What it knows of text: a file without weights would do.
    Vocabulary,
}

/// Maps the model and reads its vocabulary. `progress` hears percents, rising, and ends the load by giving `false`.
///
/// # Errors
/// [`Fault::Model`] if llama.cpp refuses the file, or `progress` ended it.
pub fn load(
    _: &LlamaBackend,
    mut file: File,
    extent: Extent,
    mut progress: impl FnMut(u32) -> bool,
) -> Result<LlamaModel, Fault> {
    // The daemon may have read through the same open file, whose position is shared.
    file.rewind().map_err(|_| Fault::Descriptor(file.as_raw_fd()))?;
    let fd = file.into_raw_fd();
    // SAFETY: the descriptor is open and ours; the mode is a terminated string.
    let stream = unsafe { libc::fdopen(fd, c"rb".as_ptr()) };
    if stream.is_null() {
        return Err(Fault::Descriptor(fd));
    }
    let mut hear: &mut dyn FnMut(u32) -> bool = &mut progress;
    // SAFETY: has no preconditions.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.vocab_only = extent == Extent::Vocabulary;
    params.load_mode = sys::LLAMA_LOAD_MODE_MMAP;
    // Nothing may read from the file later: it is closed below, the mapping stays.
    params.lazy_mode = sys::LLAMA_LAZY_MODE_OFF;
    params.progress_callback = Some(on_progress);
    params.progress_callback_user_data = (&raw mut hear).cast::<c_void>();
    log::listen();
    // SAFETY: the stream is open, and `hear`, which the callback gets back, outlives the call. llama.cpp turns its
    // own exceptions into a null pointer.
    let model = unsafe { sys::llama_model_load_from_file_ptr(stream.cast::<c_void>(), params) };
    let complaint = log::silence();
    // SAFETY: the stream is open and used no more; the loader does not own it.
    unsafe { libc::fclose(stream) };
    let model = NonNull::new(model).ok_or(Fault::Model(complaint))?;
    // SAFETY: `LlamaModel` is `repr(transparent)` over a pointer type that is `repr(transparent)` over
    // `NonNull<llama_model>`; both crates are pinned exactly, and `transmute` checks the size. It is owned once.
    Ok(unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) })
}

unsafe extern "C" fn on_progress(fraction: f32, user_data: *mut c_void) -> bool {
    // SAFETY: `load` passes a pointer to its `hear`, which lives until the C function returns; llama.cpp calls this
    // on the thread that called it.
    let hear = unsafe { &mut *user_data.cast::<&mut dyn FnMut(u32) -> bool>() };
    // A cast of a fraction saturates.
    hear((fraction * 100.0) as u32)
}
