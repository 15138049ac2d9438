//! `croft-controller run`: reads arguments, serves, drains on a signal.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::server::{Plan, start};
use super::{CommandError, RunArguments};
use crate::app::Retention;
use crate::limits::{
    KEPT_MAX_S, KEPT_MIN_S, NODE_CERTIFICATE_TTL_MAX_S, REPORT_EVERY_MAX_S, REPORT_EVERY_MIN_S, YEAR_S,
};

/// How often something happens; none is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(Option<Duration>);

pub(super) fn parse_period(text: &str) -> Result<Period, String> {
    if text == "never" {
        return Ok(Period(None));
    }
    match seconds_in(text) {
        Some(seconds) if (REPORT_EVERY_MIN_S..=REPORT_EVERY_MAX_S).contains(&seconds) => {
            Ok(Period(Some(Duration::from_secs(seconds))))
        }
        _ => Err("expected a number with s, m, h or d, from 1m to 366d, or never".to_owned()),
    }
}

/// How long a node's certificate lasts, in seconds.
pub(super) fn parse_certificate_life(text: &str) -> Result<u64, String> {
    match seconds_in(text) {
        Some(seconds) if (1..=NODE_CERTIFICATE_TTL_MAX_S).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number with s, m, h or d, from 1s to 30d".to_owned()),
    }
}

/// How long bodies are kept, in seconds.
pub(super) fn parse_kept(text: &str) -> Result<u64, String> {
    match seconds_in(text) {
        Some(seconds) if (KEPT_MIN_S..=KEPT_MAX_S).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number with d or y, from 1d to 100y".to_owned()),
    }
}

fn seconds_in(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "y" => YEAR_S,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

pub(super) fn execute(arguments: RunArguments) -> Result<(), CommandError> {
    let RunArguments {
        state,
        listen,
        metrics,
        database,
        report_every,
        node_certificate,
        keep_evidence,
        keep_verdicts,
    } = arguments;
    let plan = Plan {
        state: state.open()?,
        listen,
        metrics,
        database,
        report_every: report_every.0,
        node_certificate_s: node_certificate,
        retention: Retention { evidence_s: keep_evidence, verdicts_s: keep_verdicts },
    };
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CommandError::System { operation: "start the runtime", source })?;
    runtime.block_on(serve(&plan))
}

async fn serve(plan: &Plan) -> Result<(), CommandError> {
    let listen_for = |kind| {
        signal(kind).map_err(|source| CommandError::System { operation: "listen for signals", source })
    };
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut running = start(plan).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.ended() => {}
    }
    tracing::info!("draining");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn log() {
    let filter = EnvFilter::try_from_env("CROFT_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,hyper=warn,h2=warn,rustls=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_units_and_bounds() {
        let seconds = |n| Ok(Period(Some(Duration::from_secs(n))));
        assert_eq!(parse_period("24h"), seconds(86_400));
        assert_eq!(parse_period("60s"), seconds(60));
        assert_eq!(parse_period("366d"), seconds(366 * 86_400));
        assert_eq!(parse_period("never"), Ok(Period(None)));
        assert_eq!(parse_kept("6y"), Ok(crate::limits::VERDICTS_KEPT_S));
        assert_eq!(parse_kept("90d"), Ok(crate::limits::EVIDENCE_KEPT_S));
        assert!(parse_kept("23h").is_err() && parse_kept("101y").is_err());
        for wrong in ["", "h", "59s", "367d", "24", "1w", "-1h", "1é", "99999999999999999999d"] {
            assert!(parse_period(wrong).is_err(), "{wrong}");
        }
    }
}
