//! `check-postfix`: whether Postfix calls the policy service or the milter. Uses postconf, the options of the unit and the
//! sockets, not D-Bus.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Answer;
use crate::config::{Options, UnitOptions};
use crate::ctl::args::CheckPostfix;
use crate::ctl::exit;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::postfix::{Reach, Settings, probe, probe_milter, report, report_milter};

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
    let (endpoint, socket) = (&options.endpoint, &options.milter);
    let queue = settings.queue_directory();
    let policy = report(&settings, endpoint);
    let milter = report_milter(&settings, socket, sleep());
    let (mut findings, mut is_answered) = (Vec::new(), false);
    // A host that has the milter needs no policy service.
    if policy.is_named || !milter.is_reached {
        findings.extend(policy.findings);
        let probed = probe(endpoint, queue);
        is_answered = probed.is_ok();
        findings.push(match probed {
            Ok(action) => format!("{endpoint}: reply to a test request: {action}"),
            Err(fault) => format!("{endpoint}: {fault}"),
        });
    }
    findings.extend(milter.findings);
    let answers = milter.is_reached.then(|| {
        let probed = probe_milter(socket, queue);
        let answers = probed.is_ok();
        findings.push(match probed {
            Ok(version) => format!("{socket}: speaks version {version} of the milter protocol"),
            Err(fault) => format!("{socket}: {fault}"),
        });
        answers
    });
    let (sentence, code) = verdict((policy.reach, is_answered), answers);
    let text = if is_json {
        json::shown(&json!({
            "reached": reached(policy.reach),
            "answers": is_answered,
            "milter_reached": milter.is_reached,
            "milter_answers": answers.unwrap_or_default(),
            "findings": findings,
        }))
    } else {
        format!("{}\n{sentence}\n", findings.join("\n"))
    };
    Ok(Answer { text, code })
}

/// The last line, and the exit code: of whether the policy service is called and replies, and of whether the milter
/// replies if it is called.
const fn verdict(policy: (Reach, bool), milter: Option<bool>) -> (&'static str, u8) {
    match (policy, milter) {
        (_, Some(false)) => (
            "Postfix calls the milter, but does not get a reply.",
            exit::NO,
        ),
        ((Reach::No, _), Some(true)) => ("Postfix calls the milter.", exit::OK),
        ((Reach::Yes | Reach::Perhaps, false), _) => (
            "Postfix calls the policy service, but does not get a reply.",
            exit::NO,
        ),
        ((Reach::Yes, true), Some(true)) => {
            ("Postfix calls the policy service and the milter.", exit::OK)
        }
        ((Reach::Perhaps, true), Some(true)) => (
            "Postfix calls the milter, and the policy service if an access table says so.",
            exit::OK,
        ),
        ((Reach::Yes, true), None) => ("Postfix calls the policy service.", exit::OK),
        ((Reach::Perhaps, true), None) => (
            "Postfix calls the policy service if an access table says so.",
            exit::OK,
        ),
        ((Reach::No, _), None) => ("Postfix does not call the policy service.", exit::NO),
    }
}

/// How long the daemon sleeps in the tarpit by the options of its unit, in seconds; 0 without one. What is wrong with the
/// options is for `stargreyd --check` to say.
fn sleep() -> u64 {
    let program = OsString::from("stargreyd");
    let words = [program].into_iter().chain(UnitOptions::read().options);
    let options = Options::parse_line(words).ok();
    options.map_or(0, |options| options.tarpit_seconds())
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
