//! The pictures of README.md: the plots of a scripted week, each as a file.
//!
//! `make pictures` writes them to `doc/pictures`; otherwise the test compares them with what it would write. They have a
//! background, because a page that shows them may be dark where its reader's system is light.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;

use super::effect::HOUR;
use super::effect::tests::hour;
use super::escaped::Escaped;
use super::{DAY, Period, Report, Sources, html, plots};
use crate::api::{CAME_BACK_BY, CHANGES, Dict, Row, STRANGERS_BY};

/// Mon 2026-11-23, 0:00 UTC.
const MONDAY: u64 = 1_795_392_000;

/// Strangers in the busiest hour of each day: S25R is switched on in the second one, and lets half of them pass.
const BY_DAY: [u64; 7] = [90, 88, 46, 44, 41, 19, 16];

/// The share of an hour in that of the busiest one, in percent.
const BY_HOUR: [u64; 24] = [
    22, 18, 15, 14, 16, 22, 34, 52, 80, 96, 100, 94, 82, 90, 98, 93, 84, 70, 56, 46, 40, 35, 30, 26,
];

/// The hour in which S25R is switched on.
const CHANGE: u64 = 33;

/// Of a hundred strangers, those that come back within each class of delays.
const DELAYS: [(&str, u64); 5] = [
    ("300", 5),
    ("900", 9),
    ("1800", 4),
    ("3600", 2),
    ("21600", 1),
];

/// An hour of the week.
fn row(number: u64) -> Dict {
    let at = |number: u64| usize::try_from(number).unwrap();
    let strangers = BY_DAY[at(number / 24)] * BY_HOUR[at(number % 24)] / 100 + number * 7 % 5;
    // What is less than one comes in some of the hours.
    let share =
        |percent: u64, offset: u64| (strangers * percent + (number * 37 + offset) % 100) / 100;
    let came_back = DELAYS.map(|(class, percent)| (class, share(percent, percent * 10)));
    let all: u64 = came_back.iter().map(|(_, count)| count).sum();
    let mut row = hour(MONDAY + number * HOUR, strangers, &came_back, 0);
    let (s25r, lists) = (strangers * 6 / 10, strangers * 3 / 10);
    // Each check with its strangers, and those of them that came back.
    let mut checks = vec![("plain", strangers, all)];
    if number >= CHANGE {
        checks = vec![
            ("s25r:0", s25r, all - all / 8 - all / 4),
            ("dns-lists", lists, all / 8),
            ("spf", strangers - s25r - lists, all / 4),
        ];
    }
    let named = |parts: Vec<(&str, u64)>| -> HashMap<String, u64> {
        let parts = parts.into_iter();
        parts
            .map(|(word, count)| (word.to_owned(), count))
            .collect()
    };
    let begun = checks.iter().map(|(word, begun, _)| (*word, *begun));
    let back = checks.iter().map(|(word, _, back)| (*word, *back));
    row.extend(
        Row::new()
            .with(STRANGERS_BY, named(begun.collect()))
            .with(CAME_BACK_BY, named(back.collect()))
            .build(),
    );
    if number == CHANGE {
        row.extend(
            Row::new()
                .with(CHANGES, named(vec![("start", 1), ("options", 1)]))
                .build(),
        );
    }
    row
}

/// The report of the week on the Monday after it, when those of the last two days can still come back.
fn week() -> Report {
    let period = Period {
        from: MONDAY,
        to: MONDAY + 7 * DAY,
        label: "Last week".to_owned(),
    };
    let sources = Sources {
        hours: (0..7 * 24).map(row).collect(),
        properties: Row::new().with("RetryWindow", 2 * DAY).build(),
        ..Sources::default()
    };
    Report::new(period, sources, MONDAY + 7 * DAY, &TimeZone::UTC)
}

/// A plot as a file, with its title, a margin and the colours of the page.
fn picture(title: &str, plot: &str) -> String {
    const MARGIN: u64 = 12;
    const TITLE: u64 = 24;
    let (head, body) = plot.split_once('>').unwrap();
    let (_, size) = head.split_once("viewBox=\"0 0 ").unwrap();
    let (size, rest) = size.split_once('"').unwrap();
    let (width, height) = size.split_once(' ').unwrap();
    let (width, height): (u64, u64) = (width.parse().unwrap(), height.parse().unwrap());
    let (width, height) = (width + 2 * MARGIN, height + 2 * MARGIN + TITLE);
    let top = MARGIN + TITLE;
    let body = body.replace("><", ">\n<");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"-{MARGIN} -{top} {width} {height}\"{rest}>\n<style>{}{}</style>\n\
         <rect x=\"-{MARGIN}\" y=\"-{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"var(--paper)\"/>\n\
         <text y=\"-14\" style=\"font-weight: 600\">{}</text>\n{body}\n",
        html::PALETTE,
        plots::STYLE,
        Escaped(title)
    )
}

#[test]
fn the_pictures_are_those_of_the_scripted_week() {
    let report = week();
    assert!(report.effect.never > 1000 && report.effect.waiting > 100);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("doc/pictures");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let pictures = [
        ("by-day.svg", "Strangers by day", plots::by_day(&report)),
        (
            "by-check.svg",
            "Strangers by check",
            plots::by_rule(&report),
        ),
        (
            "by-delay.svg",
            "Those that came back, by delay",
            plots::by_delay(&report),
        ),
        (
            "by-hour.svg",
            "Strangers by weekday and hour",
            plots::by_weekday(&report),
        ),
    ];
    for (name, title, plot) in pictures {
        let (path, want) = (directory.join(name), picture(title, &plot));
        if std::env::var_os("STARGREY_PICTURES").is_some() {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, &want).unwrap();
        }
        let got = fs::read_to_string(&path).unwrap_or_default();
        assert!(got == want, "{name} is not what `make pictures` writes");
        assert!(want.len() < 25_000, "{name}: {} bytes", want.len());
        assert!(
            readme.contains(&format!("![{title}](doc/pictures/{name})")),
            "{name}"
        );
    }
}
