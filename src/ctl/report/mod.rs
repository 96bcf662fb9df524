//! The report: what greylisting did in a period, and whom it made wait.
//!
//! [`Report::new`] makes it of the rows that the daemon has sent; [`text`] and [`html`] show it. They are pure functions. Each figure
//! is counted here, once, so that both say the same.

pub mod effect;
mod escaped;
mod hand;
pub mod html;
pub mod json;
pub mod mail;
pub mod names;
#[cfg(test)]
mod pictures;
mod plots;
pub mod postfix_log;
pub mod text;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::render::{local_time, span};
use crate::api::{
    ADDED, CAME_BACK_BY, CHANGES, DNS_LISTS, Dict, FromRow, LIST, PATTERN, SOURCE, SOURCE_BUS,
    STRANGERS, STRANGERS_BY, TIME,
};
use crate::types::{Span, Timestamp, counted};
use effect::{Effect, HOUR};
use names::Names;

/// Most rows of a table; the JSON has all.
pub const MOST_ROWS: usize = 20;

/// Days that the plot by day shows at least.
pub const TREND_DAYS: u64 = 30;

const DAY: u64 = 24 * HOUR;

/// The period of a report: whole hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its begin.
    pub from: u64,
    /// Its end, which is not in it.
    pub to: u64,
    /// What it is called at the beginning of a sentence.
    pub label: String,
}

/// What the daemon and the caller have said.
#[derive(Debug, Default)]
pub struct Sources {
    /// `GetHistory` by the hour: of the period and of [`TREND_DAYS`] before its end.
    pub hours: Vec<Dict>,
    /// The properties of the Monitor.
    pub properties: Dict,
    /// The names, unless they are not wanted or not to be had.
    pub names: Option<Names>,
    /// The entries of the lists, likewise.
    pub entries: Vec<Dict>,
    /// What Postfix itself blocked, by list.
    pub blocked: Vec<(String, u64)>,
}

/// A local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Its first hour with a row.
    pub time: u64,
    /// `Sun 2026-11-22`.
    pub label: String,
    /// What happened on it.
    pub effect: Effect,
    /// What changed on it.
    pub changes: BTreeMap<String, u64>,
}

/// A check that made strangers wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its word.
    pub word: String,
    /// Strangers.
    pub strangers: u64,
    /// Those of them that came back.
    pub came_back: u64,
}

/// A DNS list, with its counters in the order of [`DnsList::WORDS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsList {
    /// Its zone.
    pub zone: String,
    /// The counters.
    pub counts: [u64; Self::WORDS.len()],
}

impl DnsList {
    /// What is counted.
    pub const WORDS: [&str; 6] = ["asked", "listed", "decided", "alone", "error", "silent"];
}

/// The report.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of this period.
    pub period: Period,
    /// The effect.
    pub effect: Effect,
    /// The same of all days of [`Self::days`] whose strangers cannot come back any more.
    pub decided: Effect,
    /// Days, at least [`TREND_DAYS`] if there are rows for them.
    pub days: Vec<Day>,
    /// Strangers of the period by weekday, from Monday, and local hour.
    pub weekdays: [[u64; 24]; 7],
    /// By check, the one with the most strangers first.
    pub rules: Vec<Rule>,
    /// By DNS list, the one that decided most first.
    pub lists: Vec<DnsList>,
    /// The names.
    pub names: Option<Names>,
    /// What needs a hand, a sentence each.
    pub hand: Vec<String>,
    /// What changed, by time.
    pub changes: Vec<(u64, String)>,
    /// What Postfix itself blocked.
    pub blocked: Vec<(String, u64)>,
    zone: TimeZone,
}

impl Report {
    /// The report of a period. `now` decides who can still come back.
    #[must_use]
    pub fn new(period: Period, sources: Sources, now: u64, zone: &TimeZone) -> Self {
        let window = sources.properties.number("RetryWindow").unwrap_or_default();
        let (from, to) = (period.from, period.to);
        let inside = |row: &&Dict| {
            let time = row.number(TIME);
            time.is_some_and(|time| (from..to).contains(&time))
        };
        let rows: Vec<&Dict> = sources.hours.iter().filter(inside).collect();
        let mut effect = Effect::default();
        let mut weekdays = [[0; 24]; 7];
        for row in &rows {
            effect.add(row, window, now);
            add_to_weekday(&mut weekdays, row, zone);
        }
        let mut decided = Effect::default();
        for row in &sources.hours {
            let end = row.number(TIME).unwrap_or_default().saturating_add(HOUR);
            if end.saturating_add(window) <= now {
                decided.add(row, window, now);
            }
        }
        let days = days(&sources.hours, window, now, zone);
        Self {
            rules: rules(&rows),
            lists: lists(&rows),
            hand: hand::sentences(&sources, now),
            changes: changes(&rows, &sources, (from, to)),
            effect,
            decided,
            days,
            weekdays,
            names: sources.names,
            blocked: sources.blocked,
            zone: zone.clone(),
            period,
        }
    }

    /// Whether nothing happened: no stranger, no refusal, nothing that Postfix blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effect.strangers == 0 && self.effect.refused == 0 && self.blocked.is_empty()
    }

    /// The first sentence, and where it cannot say who stayed away, one about the days that can.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.effect.sentence(&self.period.label)];
        if self.effect.never == 0 && self.effect.waiting > 0 && self.decided.never > 0 {
            sentences.push(format!(
                "Of {} in the weeks before, whose retry window is over, {} never came back ({} %).",
                counted(self.decided.strangers, "stranger", "strangers"),
                effect::grouped(self.decided.never),
                self.decided.share_of_never()
            ));
        }
        sentences
    }

    /// A time in words.
    #[must_use]
    pub fn local(&self, time: u64) -> String {
        let time = local_time(Timestamp::from_seconds(time), &self.zone);
        time.get(..20).unwrap_or(&time).to_owned()
    }
}

/// Adds the strangers of an hour to its weekday and local hour.
fn add_to_weekday(weekdays: &mut [[u64; 24]; 7], row: &Dict, zone: &TimeZone) {
    let time = row.number(TIME).and_then(|time| i64::try_from(time).ok());
    let Some(time) = time.and_then(|time| jiff::Timestamp::from_second(time).ok()) else {
        return;
    };
    let local = time.to_zoned(zone.clone());
    let weekday = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
    let hour = usize::try_from(local.hour()).unwrap_or_default();
    if let Some(sum) = weekdays.get_mut(weekday).and_then(|day| day.get_mut(hour)) {
        *sum = sum.saturating_add(row.number(STRANGERS).unwrap_or_default());
    }
}

/// The days that rows are of, from the first with a stranger on.
fn days(hours: &[Dict], window: u64, now: u64, zone: &TimeZone) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for row in hours {
        let time = row.number(TIME).unwrap_or_default();
        let label = local_time(Timestamp::from_seconds(time), zone);
        let label = label.get(..14).unwrap_or(&label).to_owned();
        if days.last().is_none_or(|day| day.label != label) {
            days.push(Day {
                time,
                label,
                effect: Effect::default(),
                changes: BTreeMap::new(),
            });
        }
        if let Some(day) = days.last_mut() {
            day.effect.add(row, window, now);
            add_up(&mut day.changes, row, CHANGES);
        }
    }
    let first = days.iter().position(|day| day.effect.strangers > 0);
    days.split_off(first.unwrap_or(days.len()))
}

/// Adds the counters under a key of a row.
fn add_up(sums: &mut BTreeMap<String, u64>, row: &Dict, key: &str) {
    for (word, count) in row.counters(key).unwrap_or_default() {
        let sum = sums.entry(word).or_default();
        *sum = sum.saturating_add(count);
    }
}

/// The checks, the one with the most strangers first.
fn rules(rows: &[&Dict]) -> Vec<Rule> {
    let (mut strangers, mut came_back) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        add_up(&mut strangers, row, STRANGERS_BY);
        add_up(&mut came_back, row, CAME_BACK_BY);
    }
    let words = strangers.keys().chain(came_back.keys()).cloned();
    let words: std::collections::BTreeSet<String> = words.collect();
    let count = |counts: &BTreeMap<String, u64>, word: &str| counts.get(word).copied().unwrap_or(0);
    let mut rules: Vec<Rule> = words
        .into_iter()
        .map(|word| Rule {
            strangers: count(&strangers, &word),
            came_back: count(&came_back, &word),
            word,
        })
        .collect();
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.strangers, rule.came_back)));
    rules
}

/// The check of a word, for people.
#[must_use]
pub fn rule_name(word: &str) -> String {
    match word {
        "plain" => "unknown (no check)".to_owned(),
        "table" => "client access table".to_owned(),
        "rule" => "rule of an access list".to_owned(),
        "dns-lists" => "DNS lists".to_owned(),
        "spf" => "SPF".to_owned(),
        "score" => "score".to_owned(),
        "header" => "header field".to_owned(),
        "body" => "body".to_owned(),
        other => other
            .strip_prefix("s25r:")
            .map_or_else(|| other.to_owned(), |number| format!("S25R rule {number}")),
    }
}

/// The DNS lists, the one that decided most first.
fn lists(rows: &[&Dict]) -> Vec<DnsList> {
    let mut counts = BTreeMap::new();
    for row in rows {
        add_up(&mut counts, row, DNS_LISTS);
    }
    let mut lists: BTreeMap<String, [u64; DnsList::WORDS.len()]> = BTreeMap::new();
    for (word, count) in counts {
        let Some((zone, what)) = word.rsplit_once(':') else {
            continue;
        };
        let at = DnsList::WORDS.iter().position(|word| *word == what);
        let counters = lists.entry(zone.to_owned()).or_default();
        if let Some(counter) = at.and_then(|at| counters.get_mut(at)) {
            *counter = count;
        }
    }
    let lists = lists.into_iter();
    let mut lists: Vec<DnsList> = lists
        .map(|(zone, counts)| DnsList { zone, counts })
        .collect();
    lists.sort_by_key(|list| {
        let [asked, listed, decided, alone, ..] = list.counts;
        std::cmp::Reverse((decided, alone, listed, asked))
    });
    lists
}

/// What changed in a period, by time.
fn changes(rows: &[&Dict], sources: &Sources, (from, to): (u64, u64)) -> Vec<(u64, String)> {
    let mut changes = Vec::new();
    for row in rows {
        let time = row.number(TIME).unwrap_or_default();
        let counts = row.counters(CHANGES).unwrap_or_default();
        for (word, one, many) in [
            ("start", "the daemon started", "the daemon started, times:"),
            (
                "options",
                "the options changed",
                "the options changed, times:",
            ),
            (
                "reload",
                "the lists were reloaded",
                "the lists were reloaded, times:",
            ),
            (
                "pause",
                "greylisting was paused or resumed",
                "greylisting was paused or resumed, times:",
            ),
        ] {
            match counts.get(word).copied().unwrap_or_default() {
                0 => {}
                1 => changes.push((time, one.to_owned())),
                number => changes.push((time, format!("{many} {number}"))),
            }
        }
    }
    for entry in &sources.entries {
        let added = entry.number(ADDED).unwrap_or_default();
        if entry.text(SOURCE) == Some(SOURCE_BUS) && (from..to).contains(&added) {
            let text = |key| entry.text(key).unwrap_or_default();
            let (pattern, list) = (text(PATTERN), text(LIST));
            changes.push((added, format!("{pattern} was added to the {list}")));
        }
    }
    changes.sort();
    changes
}

/// A delay in words.
#[must_use]
pub fn delay(seconds: u64) -> String {
    span(Span::from_seconds(seconds))
}
