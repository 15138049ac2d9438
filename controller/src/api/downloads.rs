//! Bytes by HTTPS GET, without a certificate: signed metadata and blobs prove themselves.
//!
//! Names are looked up or parsed, never joined to a path. One range at a time (RFC 9110, section 14), so that a fetch
//! can go on where it broke off.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use croft_domain::digest::Sha256Digest;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::limits;

/// A file of the published set.
pub(super) async fn trust(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.mirror.current().and_then(|published| published.file(&name)) {
        // Only the timestamp's name stays while its content changes.
        Some(bytes) => {
            let cache = if name == "timestamp.json" { "no-store" } else { "public, max-age=86400" };
            ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, cache)], bytes)
                .into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A blob, or one range of it.
pub(super) async fn blob(
    State(app): State<Arc<App>>,
    Path(hex): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(digest) = format!("sha256:{hex}").parse::<Sha256Digest>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let opened = app.blobs.get(digest);
    let blob = match opened {
        Ok(Some(blob)) => blob,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot read a blob");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let etag = format!("\"{hex}\"");
    if header_is(&headers, header::IF_NONE_MATCH, &etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // A range of another representation would be wrong bytes; there is only one, but the client may not know it.
    let may_range = !headers.contains_key(header::IF_RANGE) || header_is(&headers, header::IF_RANGE, &etag);
    let wanted = headers.get(header::RANGE).filter(|_| may_range).map(|value| range(value, blob.len_bytes));
    let (status, bytes) = match wanted {
        None | Some(Wanted::All) => (StatusCode::OK, 0..blob.len_bytes),
        Some(Wanted::Part(part)) => (StatusCode::PARTIAL_CONTENT, part),
        Some(Wanted::Unsatisfiable) => {
            let length = format!("bytes */{}", blob.len_bytes);
            return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, length)]).into_response();
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, etag)
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(header::CONTENT_LENGTH, bytes.end - bytes.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, blob.len_bytes);
        response = response.header(header::CONTENT_RANGE, part);
    }
    let mut file = tokio::fs::File::from_std(blob.file);
    if file.seek(std::io::SeekFrom::Start(bytes.start)).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    app.metrics.blob_bytes.inc_by(bytes.end - bytes.start);
    let body = ReaderStream::with_capacity(file.take(bytes.end - bytes.start), limits::DOWNLOAD_PART_LEN);
    response
        .body(Body::from_stream(body))
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn header_is(headers: &HeaderMap, name: header::HeaderName, expected: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Unsatisfiable,
}

// What is not one plain byte range is answered with everything, as RFC 9110 allows.
fn range(value: &HeaderValue, len: u64) -> Wanted {
    let spec = value.to_str().ok().and_then(|text| text.strip_prefix("bytes="));
    let Some((first, last)) = spec.filter(|spec| !spec.contains(',')).and_then(|spec| spec.split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    match (first.is_empty(), last.is_empty(), number(first), number(last)) {
        (false, true, Some(Some(start)), _) if start < len => Wanted::Part(start..len),
        (false, false, Some(Some(start)), Some(Some(end))) if start <= end && start < len => {
            Wanted::Part(start..end.saturating_add(1).min(len))
        }
        (true, false, _, Some(Some(suffix))) if suffix > 0 && len > 0 => {
            Wanted::Part(len.saturating_sub(suffix)..len)
        }
        (false, false, Some(Some(start)), Some(Some(end))) if start > end => Wanted::All,
        (_, _, Some(_), Some(_)) if !(first.is_empty() && last.is_empty()) => Wanted::Unsatisfiable,
        _ => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let of = |text: &'static str| range(&HeaderValue::from_static(text), 10);
        assert_eq!(of("bytes=0-3"), Wanted::Part(0..4));
        assert_eq!(of("bytes=4-"), Wanted::Part(4..10));
        assert_eq!(of("bytes=4-99"), Wanted::Part(4..10));
        assert_eq!(of("bytes=9-9"), Wanted::Part(9..10));
        assert_eq!(of("bytes=-3"), Wanted::Part(7..10));
        assert_eq!(of("bytes=-99"), Wanted::Part(0..10));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of(beyond), Wanted::Unsatisfiable, "{beyond}");
        }
        for odd in ["bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=-", "bytes=+1-2"] {
            assert_eq!(of(odd), Wanted::All, "{odd}");
        }
    }
}
