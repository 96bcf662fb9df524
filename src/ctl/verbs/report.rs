//! `report`: asks the daemon for what the report needs.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use super::entries::PasswordPrompt;
use super::{Answer, entries, triplets};
use crate::api::{Dict, MONITOR};
use crate::ctl::args::Report as Options;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::output::{NewFile, host_name};
use crate::ctl::report::effect::HOUR;
use crate::ctl::report::names::{Collector, Names};
use crate::ctl::report::{
    self, Period, Report, Sources, TREND_DAYS, html, mail, postfix_log, text,
};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::ctl::when::{When, WhenError};
use crate::types::Timestamp;

/// Runs the verb.
pub(super) async fn run(session: &Session, options: &Options) -> Result<Answer, Failure> {
    let view = &session.view;
    let period = period(options, view)?;
    if let Some(address) = options
        .mail
        .as_ref()
        .filter(|address| !mail::is_address(address))
    {
        return Err(ArgumentError::NoMailAddress(address.clone()).into());
    }
    let report = collect(session, options, period).await?;
    if options.html.is_some() || options.mail.is_some() {
        return deliver(&report, options);
    }
    let text = match (view.json, options.never_came_back) {
        (true, false) => json::shown(&report::json::object(&report)),
        (true, true) => json::shown(&report::json::absent_mails(&report)),
        (false, true) => text::absent_mails(&report, &view.terminal),
        (false, false) => text::text(&report, &view.terminal),
    };
    Ok(Answer::yes(text))
}

/// Writes the page, and sends the mail; says nothing.
fn deliver(report: &Report, options: &Options) -> Result<Answer, Failure> {
    let host = host_name();
    if let Some(path) = &options.html {
        let mut file = NewFile::create(path, true)?;
        file.write(&html::page(report, &host))?;
        file.finish()?;
    }
    if let Some(address) = &options.mail
        && (options.always || !report.is_empty())
    {
        let message = mail::message(report, address, &host);
        mail::send(&options.sendmail, address, message, mail::PATIENCE)?;
    }
    Ok(Answer::yes(""))
}

/// The whole hours that the options name.
fn period(options: &Options, view: &View) -> Result<Period, Failure> {
    let resolve = |when: When| {
        let time = when.resolve(&view.now).map(Timestamp::seconds);
        time.map_err(ArgumentError::When)
    };
    let now = view.time().seconds();
    let midnight = |days| resolve(When::Midnight(days));
    let (today, yesterday) = (midnight(0)?, midnight(1)?);
    let until = options.until.map(resolve).transpose()?;
    let from = match (options.since, until) {
        (Some(since), _) => resolve(since)?,
        (None, None) => yesterday,
        (None, Some(until)) => until.saturating_sub(24 * HOUR),
    };
    let to = match (until, options.since) {
        (Some(until), _) => until,
        (None, None) => today,
        (None, Some(_)) => now.saturating_add(HOUR),
    };
    let whole = |time: u64| time.saturating_sub(time.checked_rem(HOUR).unwrap_or_default());
    if from > now {
        return Err(ArgumentError::When(WhenError::Ahead).into());
    }
    if whole(from) >= to {
        return Err(ArgumentError::When(WhenError::Reversed).into());
    }
    let label = |time: u64| view.local(time).get(..20).unwrap_or_default().to_owned();
    let label = match (until, from) {
        (None, from) if from == yesterday && to == today => "Yesterday".to_owned(),
        (None, from) if from == today => "Today".to_owned(),
        (None, from) => format!("Since {},", label(whole(from))),
        (Some(until), _) => format!("From {} to {},", label(whole(from)), label(whole(until))),
    };
    Ok(Period {
        from: whole(from),
        to: whole(to),
        label,
    })
}

/// What the daemon says, and the log.
async fn collect(session: &Session, options: &Options, period: Period) -> Result<Report, Failure> {
    let view = &session.view;
    let monitor = session.monitor().await?;
    let trend = period.to.saturating_sub(TREND_DAYS * 24 * HOUR);
    let history = monitor.get_history(trend.min(period.from), period.to, HOUR);
    let hours = session.ask("GetHistory", history).await?;
    let properties = session.properties(MONITOR).await?;
    let (names, entries) = if options.no_names {
        (None, Vec::new())
    } else {
        let names = names(session, &period).await?;
        (
            Some(names),
            entries::entries(session, None, PasswordPrompt::Allowed).await?,
        )
    };
    let blocked = options.postfix_log.as_deref();
    let blocked = blocked
        .map(|path| blocked_in(path, &period, view))
        .transpose()?;
    let sources = Sources {
        hours,
        properties,
        names,
        entries,
        blocked: blocked.unwrap_or_default(),
    };
    Ok(Report::new(
        period,
        sources,
        view.time().seconds(),
        view.zone(),
    ))
}

/// The triplets of a period.
async fn names(session: &Session, period: &Period) -> Result<Names, Failure> {
    let mut collector = Collector::default();
    let add = |row| {
        collector.add(&row, (period.from, period.to));
        ControlFlow::<()>::Continue(())
    };
    triplets::each(session, &Dict::new(), add).await?;
    Ok(collector.finish())
}

/// What Postfix blocked, by its log.
fn blocked_in(path: &Path, period: &Period, view: &View) -> Result<Vec<(String, u64)>, Failure> {
    let range = (period.from, period.to);
    let counted = if path == Path::new("-") {
        postfix_log::count(io::stdin().lock(), range, &view.now)
    } else {
        File::open(path).and_then(|log| postfix_log::count(BufReader::new(log), range, &view.now))
    };
    counted.map_err(|source| Failure::Open {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ctl::args::{Arguments, Verb};

    #[test]
    fn a_period_is_whole_hours_and_is_called_what_it_is() {
        let view = View::of_80_columns();
        // Sun 2026-11-22 04:33:17 CET
        let midnight = 1_795_302_000;
        let hour = |n: u64| midnight + n * HOUR;
        let day = 24 * HOUR;
        let cases: [(&[&str], _); 6] = [
            (&[], Ok((midnight - day, midnight, "Yesterday"))),
            (&["--since=today"], Ok((midnight, hour(5), "Today"))),
            (
                &["--since=2h"],
                Ok((hour(2), hour(5), "Since Sun 2026-11-22 02:00,")),
            ),
            (
                &["--since=2026-11-20", "--until=2026-11-21 08:30"],
                Ok((
                    midnight - 2 * day,
                    midnight - day + 8 * HOUR,
                    "From Fri 2026-11-20 00:00 to Sat 2026-11-21 08:00,",
                )),
            ),
            (
                &["--since=today", "--until=yesterday"],
                Err(WhenError::Reversed),
            ),
            (&["--since=2026-11-23"], Err(WhenError::Ahead)),
        ];
        for (options, want) in cases {
            let line = ["stargreyctl", "report"].iter().chain(options);
            let Some(Verb::Report(options)) = Arguments::parse_from(line).verb else {
                panic!("{want:?}");
            };
            let got = period(&options, &view);
            match (got, want) {
                (Ok(got), Ok((from, to, label))) => {
                    let want = Period {
                        from,
                        to,
                        label: label.to_owned(),
                    };
                    assert_eq!(got, want);
                }
                (Err(got), Err(want)) => assert_eq!(got.to_string(), want.to_string()),
                (got, want) => panic!("{got:?} {want:?}"),
            }
        }
    }
}
