//! The OpenAI API, as far as editors use it: models, chat completions, completions and embeddings. Fields of llama.cpp's own server
//! are understood as well.

mod embeddings;
mod logprobs;
mod request;
mod response;

pub use embeddings::{embeddings, vectors};
pub use request::{chat, completion};
pub use response::{OpenAiVoice, Shape, model, models, timings};
