//! The OpenAI API, as far as editors use it: models, chat completions and completions. Fields of llama.cpp's own server
//! are understood as well.

mod logprobs;
mod request;
mod response;

pub use request::{chat, completion};
pub use response::{OpenAiVoice, Shape, model, models};
