//! `statistics` and `reset-statistics`.
//!
//! The daemon stores counters by the hour. Days are added up here, since they begin at local midnight.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::Answer;
use crate::api::{
    DNS_LISTS, Dict, FromRow, GREYLISTED, LISTS, LOOKUPS, MESSAGES, PASSED, REASONS, REFUSED,
    REQUESTS, S25R, SINCE, SPF, TARPITTED, TIME,
};
use crate::ctl::args::{By, Statistics};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::render::{Chart, Style, wrapped};
use crate::ctl::report::effect::{Effect, HOUR};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::ctl::when::{When, WhenError};
use crate::types::counted;

/// Maximum hours in one call: the daemon rejects many more than it stores.
const MOST_HOURS: u64 = 400 * 24;

/// Counters of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Its begin.
    time: u64,
    pub(super) requests: u64,
    passed: u64,
    greylisted: u64,
    tarpitted: u64,
    refused: u64,
    reasons: BTreeMap<String, u64>,
    s25r: BTreeMap<String, u64>,
    lists: BTreeMap<String, u64>,
    dns_lists: BTreeMap<String, u64>,
    lookups: BTreeMap<String, u64>,
    spf: BTreeMap<String, u64>,
    messages: BTreeMap<String, u64>,
}

/// One of the counters.
type CountOf = fn(&Counters) -> u64;

/// Runs the verb.
pub(super) async fn run(session: &Session, options: &Statistics) -> Result<Answer, Failure> {
    let monitor = session.monitor().await?;
    let view = &session.view;
    let text = match (options.since, options.by) {
        (None, None) => {
            let row = session
                .ask("GetStatistics", monitor.get_statistics())
                .await?;
            let since = row.number(SINCE).unwrap_or_default();
            let effect = effect(session, since).await;
            total(&Counters::read(&row, since), effect.as_ref(), view)
        }
        (since, by) => {
            let usual = match by {
                Some(By::Day) => "30d".parse(),
                Some(By::Hour) | None => "1d".parse(),
            };
            let since: When = since.map_or(usual, Ok).map_err(ArgumentError::When)?;
            let since = since.resolve(&view.now).map_err(ArgumentError::When)?;
            if since > view.time() {
                return Err(ArgumentError::When(WhenError::Ahead).into());
            }
            let (from, to) = range(since.seconds(), view.time().seconds());
            let history = monitor.get_history(from, to, HOUR);
            let rows = session.ask("GetHistory", history).await?;
            match by {
                None => {
                    let window = monitor.retry_window().await.ok();
                    let now = view.time().seconds();
                    let effect = window.map(|window| Effect::of(&rows, window, now));
                    total(&sum(&rows, from), effect.as_ref(), view)
                }
                Some(by) => by_time(&periods(&rows, (from, to), by, view), by, view),
            }
        }
    };
    Ok(Answer::yes(text))
}

/// What became of the strangers since the hour of a time, if the daemon can say.
pub(super) async fn effect(session: &Session, since: u64) -> Option<Effect> {
    let monitor = session.monitor().await.ok()?;
    let now = session.view.time().seconds();
    let (from, to) = range(since, now);
    let history = monitor.get_history(from, to, HOUR);
    let rows = session.ask("GetHistory", history).await.ok()?;
    let window = monitor.retry_window().await.ok()?;
    Some(Effect::of(&rows, window, now))
}

/// Sets the counters to zero.
pub(super) async fn reset(session: &Session) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    session
        .ask("ResetStatistics", manager.reset_statistics())
        .await?;
    Ok(Answer::done(
        &session.view,
        "The counters were set to zero.",
    ))
}

impl Counters {
    /// No requests, from this time on.
    fn at(time: u64) -> Self {
        Self {
            time,
            ..Self::default()
        }
    }

    /// Those of a row.
    pub(super) fn read(row: &Dict, time: u64) -> Self {
        let mut counters = Self::at(time);
        counters.add(row);
        counters
    }

    /// Adds those of a row.
    fn add(&mut self, row: &Dict) {
        let number = |key| row.number(key).unwrap_or_default();
        for (sum, key) in [
            (&mut self.requests, REQUESTS),
            (&mut self.passed, PASSED),
            (&mut self.greylisted, GREYLISTED),
            (&mut self.tarpitted, TARPITTED),
            (&mut self.refused, REFUSED),
        ] {
            *sum = sum.saturating_add(number(key));
        }
        let add = |to: &mut BTreeMap<String, u64>, from: Option<HashMap<String, u64>>| {
            for (key, value) in from.unwrap_or_default() {
                let sum = to.entry(key).or_default();
                *sum = sum.saturating_add(value);
            }
        };
        add(&mut self.reasons, row.counters(REASONS));
        add(&mut self.s25r, row.counters(S25R));
        add(&mut self.lists, row.counters(LISTS));
        add(&mut self.dns_lists, row.counters(DNS_LISTS));
        add(&mut self.lookups, row.counters(LOOKUPS));
        add(&mut self.spf, row.counters(SPF));
        add(&mut self.messages, row.counters(MESSAGES));
    }

    /// How the requests ended, in a line.
    pub(super) fn ends(&self) -> String {
        let mut parts = vec![format!("{} greylisted", self.greylisted)];
        if self.tarpitted > 0 {
            parts.push(format!("{} tarpitted", self.tarpitted));
        }
        if self.refused > 0 {
            parts.push(format!("{} refused", self.refused));
        }
        parts.push(format!("{} passed", self.passed));
        parts.join(", ")
    }

    /// As an object, with the time under this key.
    fn object(&self, time: &str) -> Value {
        json!({
            time: self.time,
            REQUESTS: self.requests,
            PASSED: self.passed,
            GREYLISTED: self.greylisted,
            TARPITTED: self.tarpitted,
            REFUSED: self.refused,
            REASONS: self.reasons,
            S25R: self.s25r,
            LISTS: self.lists,
            DNS_LISTS: self.dns_lists,
            LOOKUPS: self.lookups,
            SPF: self.spf,
            MESSAGES: self.messages,
        })
    }
}

/// The number of whole hours that cover both times.
fn range(since: u64, now: u64) -> (u64, u64) {
    let to = (now / HOUR).saturating_add(1).saturating_mul(HOUR);
    let earliest = to.saturating_sub(MOST_HOURS.saturating_mul(HOUR));
    let from = (since / HOUR).saturating_mul(HOUR);
    (from.clamp(earliest, to), to)
}

/// All rows together.
fn sum(rows: &[Dict], from: u64) -> Counters {
    let mut all = Counters::at(from);
    for row in rows {
        all.add(row);
    }
    all
}

/// All hours, or all days, from one time to another, whether there is a row or not.
fn periods(rows: &[Dict], (from, to): (u64, u64), by: By, view: &View) -> Vec<Counters> {
    let rows: HashMap<u64, &Dict> = rows
        .iter()
        .filter_map(|row| Some((row.number(TIME)?, row)))
        .collect();
    let mut periods: Vec<Counters> = Vec::new();
    let mut label = String::new();
    let mut hour = from;
    while hour < to {
        let this = label_of(hour, by, view);
        if by == By::Hour || this != label || periods.is_empty() {
            periods.push(Counters::at(hour));
        }
        if let (Some(row), Some(last)) = (rows.get(&hour), periods.last_mut()) {
            last.add(row);
        }
        label = this;
        hour = hour.saturating_add(HOUR);
    }
    periods
}

/// The label of a bar.
fn label_of(time: u64, by: By, view: &View) -> String {
    // Sun 2026-11-22 04:33:17 CET
    let time = view.local(time);
    let wanted = match by {
        By::Hour => 20,
        By::Day => 14,
    };
    time.get(..wanted).unwrap_or(&time).to_owned()
}

/// A bar for each period.
fn by_time(periods: &[Counters], by: By, view: &View) -> String {
    if view.json {
        let all: Value = periods.iter().map(|period| period.object(TIME)).collect();
        return json::shown(&all);
    }
    // Periods before the first request are omitted: a new machine has no history.
    let Some(first) = periods.iter().position(|period| period.requests > 0) else {
        let since = view.local(periods.first().map_or(0, |period| period.time));
        return if view.terminal.legend {
            format!("No requests since {since}.\n")
        } else {
            String::new()
        };
    };
    let periods = periods.get(first..).unwrap_or_default();
    // Unused counters are not in the legend.
    let series: [(_, _, CountOf); 4] = [
        ("passed", Style::Good, |period| period.passed),
        ("greylisted", Style::Warn, |period| period.greylisted),
        ("tarpitted", Style::Bad, |period| period.tarpitted),
        ("refused", Style::Dim, |period| period.refused),
    ];
    let is_used = |of: CountOf| periods.iter().any(|period| of(period) > 0);
    let always = ["passed", "greylisted"];
    let series = series.map(|(name, style, of)| {
        let is_shown = always.contains(&name) || is_used(of);
        is_shown.then_some((name, style, of))
    });
    let shown = series.iter().flatten();
    let mut chart = shown.clone().fold(Chart::new(), |chart, (name, style, _)| {
        chart.with_series(name, *style)
    });
    for period in periods {
        let parts = shown.clone().map(|(name, _, of)| (*name, of(period)));
        chart.push(label_of(period.time, by, view), parts);
    }
    chart.render(&view.terminal)
}

/// The effect in a sentence, and bars of all counters.
fn total(counters: &Counters, effect: Option<&Effect>, view: &View) -> String {
    if view.json {
        let mut object = counters.object(SINCE);
        if let (Value::Object(object), Some(effect)) = (&mut object, effect) {
            let counters = effect.counters();
            object.extend(counters.map(|(key, count)| (key.to_owned(), count.into())));
        }
        return json::shown(&object);
    }
    let mut out = String::new();
    if view.terminal.legend {
        let since = view.local(counters.time);
        let requests = counted(counters.requests, "request", "requests");
        let ends = counters.ends();
        let effect = effect.map(|effect| effect.sentence(&format!("Since {since},")));
        out = effect.map_or_else(String::new, |sentence| wrapped(&sentence, "") + "\n");
        out.extend([&requests, " since ", &since, ":\n", &ends, ".\n"]);
    }
    let parts = [
        ("By reason:", &counters.reasons),
        ("By S25R rule:", &counters.s25r),
        ("By list:", &counters.lists),
        ("By DNS list:", &counters.dns_lists),
        ("Lookups:", &counters.lookups),
        ("By SPF result:", &counters.spf),
        ("Messages, at their end:", &counters.messages),
    ];
    for (heading, part) in parts {
        let mut rows: Vec<_> = part.iter().filter(|(_, count)| **count > 0).collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        if rows.is_empty() {
            continue;
        }
        if view.terminal.legend {
            out.extend(["\n", heading, "\n"]);
        }
        let mut chart = Chart::new();
        for (word, count) in rows {
            let is_rule = word.bytes().all(|byte| byte.is_ascii_digit());
            let label = if is_rule {
                format!("rule {word}")
            } else {
                word.clone()
            };
            chart.push(label, [("requests", *count)]);
        }
        out.push_str(&chart.render(&view.terminal.with_legend(false)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    /// A row with so many requests, greylisted, tarpitted, and replied to by tables.
    fn row(time: u64, counters: (u64, u64, u64, u64)) -> Dict {
        let reasons = HashMap::from([
            ("new".to_owned(), counters.1),
            (
                "client-awl".to_owned(),
                counters.0.saturating_sub(counters.1),
            ),
        ]);
        Row::new()
            .with(TIME, time)
            .with(REQUESTS, counters.0)
            .with(PASSED, counters.0 - counters.1 - counters.2 - counters.3)
            .with(GREYLISTED, counters.1)
            .with(TARPITTED, counters.2)
            .with(REFUSED, counters.3)
            .with(REASONS, reasons)
            .with(S25R, HashMap::from([("1".to_owned(), counters.1)]))
            .with(LISTS, HashMap::<String, u64>::new())
            .build()
    }

    /// The beginning of the hour that the tests are in.
    const NOW: u64 = 1_795_316_400;

    fn rows() -> Vec<Dict> {
        vec![
            row(NOW - 30 * HOUR, (500, 400, 0, 0)),
            row(NOW - 3 * HOUR, (1000, 400, 0, 0)),
            row(NOW - HOUR, (10, 0, 0, 4)),
            row(NOW, (250, 125, 100, 0)),
        ]
    }

    #[test]
    fn hours_without_requests_are_there() {
        let view = View::of_80_columns();
        let range = range(NOW - 3 * HOUR + 5, view.time().seconds());
        let periods = periods(&rows(), range, By::Hour, &view);
        let want = "
Sun 2026-11-22 01:00  ███████████████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  1000
Sun 2026-11-22 02:00                                                           0
Sun 2026-11-22 03:00  █░                                                      10
Sun 2026-11-22 04:00  █▓▓▓▓▓▓▓▒▒▒▒▒                                          250

█ passed 631  ▓ greylisted 525  ▒ tarpitted 100  ░ refused 4  total 1260
";
        let got = by_time(&periods, By::Hour, &view);
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn no_bar_is_drawn_before_the_first_request() {
        let view = View::of_80_columns();
        let range = range(NOW - 720 * HOUR, view.time().seconds());
        let drawn = |rows: &[Dict]| by_time(&periods(rows, range, By::Day, &view), By::Day, &view);
        let got = drawn(&rows()[1..]);
        assert!(got.starts_with("Sun 2026-11-22  "), "{got}");
        assert_eq!(got.lines().count(), 3, "{got}");
        let got = drawn(&[]);
        assert_eq!(got, "No requests since Fri 2026-10-23 05:00:00 CEST.\n");
    }

    #[test]
    fn days_are_local() {
        let view = View::of_80_columns();
        let range = range(NOW - 30 * HOUR, view.time().seconds());
        let periods = periods(&rows(), range, By::Day, &view);
        let days: Vec<_> = periods.iter().map(|day| (day.time, day.requests)).collect();
        let midnight = NOW - 4 * HOUR;
        let want = [
            (NOW - 30 * HOUR, 500),
            (midnight - 24 * HOUR, 0),
            (midnight, 1260),
        ];
        assert_eq!(days, want);
        let got = by_time(&periods, By::Day, &view);
        assert_eq!(
            got.lines().next().map(|line| line.split("  ").next()),
            Some(Some("Fri 2026-11-20"))
        );
    }

    #[test]
    fn a_total_has_a_chart_for_each_kind_of_counter() {
        let want = "
Since Fri 2026-11-20 22:00:00 CET, 0 strangers; 4 mails refused by lists.

1760 requests since Fri 2026-11-20 22:00:00 CET:
925 greylisted, 100 tarpitted, 4 refused, 731 passed.

By reason:
new         ███████████████████████████████████████████████████████████████  925
client-awl  ████████████████████████████████████████████████████████▉        835

By S25R rule:
rule 1  ███████████████████████████████████████████████████████████████████  925
";
        let view = View::of_80_columns();
        let effect = Effect::of(&rows(), 0, NOW + HOUR);
        let got = total(&sum(&rows(), NOW - 30 * HOUR), Some(&effect), &view);
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn no_more_hours_are_asked_for_than_there_are() {
        assert_eq!(range(NOW + 5, NOW + 7), (NOW, NOW + HOUR));
        assert_eq!(range(0, NOW), (NOW + HOUR - MOST_HOURS * HOUR, NOW + HOUR));
        assert_eq!(range(NOW * 2, NOW), (NOW + HOUR, NOW + HOUR));
    }

    #[test]
    fn json_has_all_counters() {
        let got = total(&sum(&rows()[3..], 5), None, &View::of_json());
        let want = json!({
            "since": 5, "requests": 250, "passed": 25, "greylisted": 125, "tarpitted": 100,
            "refused": 0,
            "reasons": {"new": 125, "client-awl": 125}, "s25r": {"1": 125}, "lists": {},
            "dns_lists": {},
            "lookups": {}, "spf": {}, "messages": {},
        });
        assert_eq!(got, json::shown(&want));
    }
}
