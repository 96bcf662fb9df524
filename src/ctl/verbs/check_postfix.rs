//! `check-postfix`: whether Postfix calls the policy service. Uses postconf and the socket, not D-Bus.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Answer;
use crate::ctl::args::CheckPostfix;
use crate::ctl::exit;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::postfix::{Reach, Settings, probe, report};

/// Its path on every distribution; the `PATH` of an administrator may lack the directory.
const POSTCONF: &str = "/usr/sbin/postconf";

/// Checks and reports.
///
/// # Errors
///
/// [`Failure::Postconf`] when postconf cannot be run.
pub fn run(options: &CheckPostfix, is_json: bool) -> Result<Answer, Failure> {
    let config = options.config_dir.as_deref();
    let settings = Settings::read(
        &postconf(config, "-x")?,
        &postconf(config, "-F")?,
        &postconf(config, "-Px")?,
    );
    let endpoint = &options.endpoint;
    let mut report = report(&settings, endpoint);
    let probed = probe(endpoint, settings.queue_directory());
    let is_answered = probed.is_ok();
    report.findings.push(match probed {
        Ok(action) => format!("{endpoint}: reply to a test request: {action}"),
        Err(fault) => format!("{endpoint}: {fault}"),
    });
    let (sentence, code) = match report.reach {
        Reach::Yes if is_answered => ("Postfix calls the policy service.", exit::OK),
        Reach::Perhaps if is_answered => (
            "Postfix calls the policy service if an access table says so.",
            exit::OK,
        ),
        Reach::Yes | Reach::Perhaps => (
            "Postfix calls the policy service, but does not get a reply.",
            exit::NO,
        ),
        Reach::No => ("Postfix does not call the policy service.", exit::NO),
    };
    let text = if is_json {
        json::shown(&json!({
            "reached": reached(report.reach),
            "answers": is_answered,
            "findings": report.findings,
        }))
    } else {
        format!("{}\n{sentence}\n", report.findings.join("\n"))
    };
    Ok(Answer { text, code })
}

/// The word for it.
const fn reached(reach: Reach) -> &'static str {
    match reach {
        Reach::No => "no",
        Reach::Perhaps => "perhaps",
        Reach::Yes => "yes",
    }
}

/// The output of postconf.
fn postconf(config: Option<&Path>, option: &str) -> Result<String, Failure> {
    let program = if Path::new(POSTCONF).exists() {
        POSTCONF
    } else {
        "postconf"
    };
    let mut command = Command::new(program);
    if let Some(config) = config {
        command.arg("-c").arg(config);
    }
    let output = command.arg(option).output();
    let output = output.map_err(|error| Failure::Postconf(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Postconf(said.trim_end().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
