//! Bodies, in and out, within bounds. What is read here is a prompt: it is handed on and never formatted.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use croft_domain::code::Code;
use futures_util::Stream;
use http::StatusCode;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};

use super::errors::Refusal;
use super::limits::{BODIES_LEN_MAX, BODY_LEN_MAX, BODY_TIMEOUT, DISCARD_TIMEOUT};

type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>;

/// A response body: whole, or written as it comes into being.
pub type Body = Either<Full<Bytes>, StreamBody<FrameStream>>;

/// A whole body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// A body that is written as it comes into being.
pub fn stream(frames: impl Stream<Item = Bytes> + 'static) -> Body {
    use futures_util::StreamExt as _;
    Either::Right(StreamBody::new(Box::pin(frames.map(|bytes| Ok(Frame::data(bytes))))))
}

/// The memory that all bodies share.
#[derive(Clone, Default)]
pub struct Budget(Rc<Cell<usize>>);

/// A part of the [`Budget`], given back when dropped.
pub struct Reservation {
    budget: Budget,
    len: usize,
}

impl Budget {
    /// An empty reservation.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), len: 0 }
    }
}

impl Reservation {
    fn grow(&mut self, len: usize) -> Result<(), Refusal> {
        let held = self.budget.0.get() + len;
        if held > BODIES_LEN_MAX {
            return Err(Refusal::new(
                Code::QueueFull,
                "too many large requests at once; try again in a moment",
            ));
        }
        self.budget.0.set(held);
        self.len += len;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get().saturating_sub(self.len));
    }
}

fn too_long() -> Refusal {
    Refusal::new(Code::RequestInvalid, format!("the body is longer than {BODY_LEN_MAX} bytes"))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
        .with_hint("shorten the prompt")
}

/// Reads a body to its end.
///
/// # Errors
/// A refusal if it is longer than [`BODY_LEN_MAX`], slower than [`BODY_TIMEOUT`], broken off, or beyond the budget.
pub async fn read(incoming: &mut Incoming, reservation: &mut Reservation) -> Result<Bytes, Refusal> {
    if incoming.size_hint().lower() > BODY_LEN_MAX as u64 {
        return Err(too_long());
    }
    let collect = async {
        let mut out = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| Refusal::new(Code::RequestInvalid, "the body breaks off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if out.len() + data.len() > BODY_LEN_MAX {
                return Err(too_long());
            }
            reservation.grow(data.len())?;
            out.extend_from_slice(&data);
        }
        Ok(out.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, collect).await.unwrap_or_else(|_| {
        Err(Refusal::new(Code::RequestInvalid, "the body did not arrive in time")
            .with_status(StatusCode::REQUEST_TIMEOUT))
    })
}

/// Reads on without keeping anything, within bounds, so that a refusal is read before the connection ends.
pub async fn discard(incoming: &mut Incoming) {
    let all = async {
        let mut len = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            len += frame.data_ref().map_or(0, Bytes::len);
            if len > BODY_LEN_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let budget = Budget::default();
        let mut first = budget.reservation();
        assert!(first.grow(BODIES_LEN_MAX).is_ok());
        let mut second = budget.reservation();
        assert_eq!(second.grow(1).map_err(|refusal| refusal.code), Err(Code::QueueFull));
        drop(first);
        assert!(second.grow(1).is_ok());
    }
}
