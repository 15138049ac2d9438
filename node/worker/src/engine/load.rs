//! The model out of open descriptors: a whole one is not opened by name, so the sandbox need not allow it.
#![allow(unsafe_code)] // llama-cpp-2 loads by path only; the C API also takes an open file.

use std::ffi::{CString, c_void};
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

/// Maps the model, in one file or in the order of its shards, and reads its vocabulary. `progress` hears percents, rising,
/// and ends the load by giving `false`.
///
/// # Errors
/// [`Fault::Model`] if llama.cpp refuses a file, or `progress` ended it.
pub fn load(
    _: &LlamaBackend,
    mut files: Vec<File>,
    extent: Extent,
    mut progress: impl FnMut(u32) -> bool,
) -> Result<LlamaModel, Fault> {
    let mut hear: &mut dyn FnMut(u32) -> bool = &mut progress;
    // SAFETY: has no preconditions.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.vocab_only = extent == Extent::Vocabulary;
    params.load_mode = sys::LLAMA_LOAD_MODE_MMAP;
    // Nothing may read from the files later: they are closed at the end, the mappings stay.
    params.lazy_mode = sys::LLAMA_LAZY_MODE_OFF;
    params.progress_callback = Some(on_progress);
    // `hear` outlives both calls below, and llama.cpp turns its own exceptions into a null pointer.
    params.progress_callback_user_data = (&raw mut hear).cast::<c_void>();
    log::listen();
    let model = match (files.pop(), files.is_empty()) {
        (Some(file), true) => whole(file, params),
        (Some(last), false) => {
            files.push(last);
            shards(&files, params)
        }
        (None, _) => Err(Fault::Internal("no model was given")),
    };
    let complaint = log::silence();
    let model = NonNull::new(model?).ok_or(Fault::Model(complaint))?;
    // SAFETY: `LlamaModel` is `repr(transparent)` over a pointer type that is `repr(transparent)` over
    // `NonNull<llama_model>`; both crates are pinned exactly, and `transmute` checks the size. It is owned once.
    Ok(unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) })
}

fn whole(mut file: File, params: sys::llama_model_params) -> Result<*mut sys::llama_model, Fault> {
    // The daemon may have read through the same open file, whose position is shared.
    file.rewind().map_err(|_| Fault::Descriptor(file.as_raw_fd()))?;
    let fd = file.into_raw_fd();
    // SAFETY: the descriptor is open and ours; the mode is a terminated string.
    let stream = unsafe { libc::fdopen(fd, c"rb".as_ptr()) };
    if stream.is_null() {
        return Err(Fault::Descriptor(fd));
    }
    // SAFETY: the stream is open, and what the callback gets back outlives the call.
    let model = unsafe { sys::llama_model_load_from_file_ptr(stream.cast::<c_void>(), params) };
    // SAFETY: the stream is open and used no more; the loader does not own it.
    unsafe { libc::fclose(stream) };
    Ok(model)
}

/// llama.cpp takes shards by name only. The names lead back to the descriptors, and the sandbox allows those files alone.
fn shards(files: &[File], params: sys::llama_model_params) -> Result<*mut sys::llama_model, Fault> {
    let name = |file: &File| CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let names: Vec<CString> = files
        .iter()
        .map(name)
        .collect::<Result<_, _>>()
        .map_err(|_| Fault::Internal("a name with a zero"))?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the pointers are to terminated strings and outlive the call, as does what the callback gets back.
    Ok(unsafe { sys::llama_model_load_from_splits(pointers.as_mut_ptr(), pointers.len(), params) })
}

unsafe extern "C" fn on_progress(fraction: f32, user_data: *mut c_void) -> bool {
    // SAFETY: `load` passes a pointer to its `hear`, which lives until the C function returns; llama.cpp calls this
    // on the thread that called it.
    let hear = unsafe { &mut *user_data.cast::<&mut dyn FnMut(u32) -> bool>() };
    // A cast of a fraction saturates.
    hear((fraction * 100.0) as u32)
}
