//! `metrics`: counters and states for a monitoring system. Never starts the daemon.

use std::io;
use std::time::Duration;

use zbus::connection;

use super::Answer;
use crate::ctl::args::Metrics;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::metrics::http::{self, Request};
use crate::ctl::metrics::{self, Format};
use crate::ctl::output::remark;
use crate::ctl::session::{Session, Timeouts};
use crate::ctl::view::View;

/// How long the daemon may take: a collector waits ten seconds by default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the verb.
///
/// # Errors
///
/// [`Failure::System`] if the request cannot be read, [`Failure::Argument`]. A daemon that does not reply is not an
/// error.
pub async fn run(
    bus: connection::Builder<'_>,
    options: &Metrics,
    view: View,
) -> Result<Answer, Failure> {
    if view.json {
        return Err(ArgumentError::NoJson.into());
    }
    if !options.http {
        let format = options.format.into();
        return Ok(Answer::yes(text(bus, format, view).await));
    }
    let request = Request::read(io::stdin().lock()).map_err(Failure::System)?;
    Ok(Answer::yes(match request {
        Request::Metrics(format) => http::found(format, &text(bus, format, view).await),
        Request::Other => http::not_found(),
        Request::Malformed => http::malformed(),
    }))
}

/// The metrics, whether there is a daemon or not.
async fn text(bus: connection::Builder<'_>, format: Format, view: View) -> String {
    let peeked = async {
        let session = Session::begin(bus, Timeouts::USUAL, view).await?;
        session.peek().await
    };
    let peeked = tokio::time::timeout(TIMEOUT, peeked).await;
    match peeked.unwrap_or(Err(Failure::Silent)) {
        Ok((properties, statistics)) => metrics::text(format, &properties, &statistics),
        // A stopped daemon is what the value says.
        Err(Failure::NoDaemon) => metrics::down(format),
        Err(failure) => {
            remark(&format!("stargreyctl: {failure}\n"));
            metrics::down(format)
        }
    }
}
