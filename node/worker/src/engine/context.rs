//! Contexts of llama.cpp with what llama-cpp-2 leaves out: a way to stop a step that is under way, and no buffer for
//! more logits than are ever asked for.
#![allow(unsafe_code)] // The wrapper hides its one field.

use std::ffi::c_void;
use std::num::NonZeroU32;

use croft_domain::memory::KvType;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::pulse::Pulse;

/// How large a context is.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Cells of the cache, in tokens.
    pub tokens: u32,
    /// Most tokens in one step.
    pub batch: u32,
    /// Sequences.
    pub sequences: u32,
    /// Most tokens of a step whose logits are asked for; 0: of every one.
    pub outputs: u32,
    /// Threads that compute.
    pub threads: i32,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Vectors instead of logits, pooled like this.
    pub pooling: Option<LlamaPoolingType>,
}

/// Makes a context. `pulse` is asked between the operations of every step, and must outlive the context.
///
/// # Errors
/// What llama.cpp says, usually that there is no memory.
pub fn make<'m>(
    backend: &'m LlamaBackend,
    model: &'m LlamaModel,
    extent: Extent,
    pulse: &'m Pulse,
) -> Result<LlamaContext<'m>, llama_cpp_2::LlamaContextLoadError> {
    let kv = match extent.kv {
        KvType::F16 => KvCacheType::F16,
        KvType::Q8 => KvCacheType::Q8_0,
    };
    let mut params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(extent.tokens))
        .with_n_batch(extent.batch)
        .with_n_ubatch(extent.batch)
        .with_n_seq_max(extent.sequences)
        // In one pool, every stream looks past the cells of all others: with long idle ones, a token takes twice the time.
        .with_kv_unified(extent.pooling.is_some())
        .with_n_threads(extent.threads)
        .with_n_threads_batch(extent.threads)
        .with_type_k(kv)
        .with_type_v(kv)
        .with_no_perf(true);
    if extent.kv != KvType::F16 {
        // Values can be stored in blocks only where attention reads them in order.
        params = params.with_flash_attention_policy(sys::LLAMA_FLASH_ATTN_TYPE_ENABLED);
    }
    if let Some(pooling) = extent.pooling {
        params = params.with_embeddings(true).with_pooling_type(pooling);
    }
    let raw = raw(&mut params);
    raw.n_outputs_max = extent.outputs;
    raw.abort_callback = Some(on_operation);
    raw.abort_callback_data = std::ptr::from_ref(pulse).cast_mut().cast::<c_void>();
    model.new_context(backend, params)
}

const _: () = assert!(
    size_of::<LlamaContextParams>() == size_of::<sys::llama_context_params>()
        && align_of::<LlamaContextParams>() == align_of::<sys::llama_context_params>()
);

fn raw(params: &mut LlamaContextParams) -> &mut sys::llama_context_params {
    // SAFETY: the wrapper's only field is the C structure (both crates are pinned exactly), size and alignment are
    // checked above, and the borrow of the one is the borrow of the other.
    unsafe { &mut *std::ptr::from_mut(params).cast::<sys::llama_context_params>() }
}

unsafe extern "C" fn on_operation(data: *mut c_void) -> bool {
    // SAFETY: `make` passes a reference to a pulse that outlives the context; llama.cpp calls this only inside a call
    // on that context, and a pulse may be used from any thread.
    let pulse = unsafe { &*data.cast::<Pulse>() };
    pulse.beat()
}
