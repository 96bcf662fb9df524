//! The report: what a scripted week has done, counted by the script and by the daemon.

mod page;
mod week;

use serde_json::{Value, json};

use crate::bus::OnBus;
use crate::metrics::until;
use week::{HOUR, Script, Week, now};

/// The value at a path of a JSON object.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

#[test]
fn every_figure_of_a_week_is_what_the_script_has_counted() {
    let mut week = Week::start();
    week.play();
    let (from, to) = week.period();
    let period = [format!("--since=@{from}"), format!("--until=@{to}")];
    let options = ["report", &period[0], &period[1]];
    let (code, report) = week.on.ctl_json(&options);
    assert_eq!(code, 0);
    let script = week.counted(now());
    for (key, want) in [
        ("strangers", script.strangers),
        ("came_back", script.came_back),
        ("never", script.never),
        ("waiting", script.waiting),
        ("refused", script.refused),
        ("survived", 0),
    ] {
        assert_eq!(report[key], want, "{key}");
    }
    parts_are_the_scripts(&report, &script);
    assert!(script.never > 100 && script.waiting > 10, "{script:?}");
    sentences_are_the_scripts(&week, &script, &period);
    periods_are_parts(&week, &script, &period);
}

/// Delays, checks, days and sender domains.
fn parts_are_the_scripts(report: &Value, script: &Script) {
    assert_eq!(report["delays"], json!(script.delays));
    let rules = report["rules"].as_array().unwrap();
    let rules = rules.iter().map(|rule| {
        let count = |key: &str| rule[key].as_u64().unwrap();
        let why = rule["why"].as_str().unwrap().to_owned();
        (why, (count("strangers"), count("came_back")))
    });
    assert_eq!(rules.collect::<Vec<_>>(), script.rules);
    let list = at(report, "/dns_lists/0");
    assert_eq!(list["zone"], "bad.example");
    for word in ["listed", "decided", "alone"] {
        assert_eq!(list["counts"][word], script.listed_clients, "{word}");
    }
    let days = report["days"].as_array().unwrap();
    let sum = |key: &str| {
        days.iter()
            .map(|day| day[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum("strangers"), script.strangers, "by day");
    assert_eq!(sum("came_back"), script.came_back, "by day");
    let starts = days
        .iter()
        .filter_map(|day| at(day, "/changes/start").as_u64());
    assert_eq!(starts.sum::<u64>(), script.starts);

    let senders = report["senders"].as_array().unwrap();
    let senders = senders.iter().map(|row| {
        let count = |key: &str| row[key].as_u64().unwrap();
        let domain = row["domain"].as_str().unwrap().to_owned();
        (
            domain,
            (
                count("mails"),
                count("median"),
                row["pool"].as_bool().unwrap(),
            ),
        )
    });
    assert_eq!(
        senders.collect::<std::collections::BTreeMap<_, _>>(),
        script.senders
    );
}

/// The sentence, status' line, and what everybody may see.
fn sentences_are_the_scripts(week: &Week, script: &Script, period: &[String; 2]) {
    let sentence = format!(
        "{} strangers: {} never came back",
        week::grouped(script.strangers),
        week::grouped(script.never)
    );
    let (_, text) = week.on.ctl(&["report", &period[0], &period[1]]);
    assert!(text.replace('\n', " ").contains(&sentence), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let (_, statistics) = week.on.ctl(&["statistics", &period[0]]);
    assert!(
        statistics.replace('\n', " ").contains(&sentence),
        "{statistics}"
    );
    let (_, status) = week.on.ctl(&["status"]);
    assert!(status.contains("Effect: "), "{status}");
    let plain = week
        .on
        .ctl_json(&["report", "--no-names", &period[0], &period[1]])
        .1;
    assert_eq!(plain["strangers"], script.strangers);
    assert_eq!(plain["senders"], Value::Null);
}

#[test]
fn a_start_with_other_options_is_a_mark() {
    let mut on = OnBus::start(&[]);
    // The options are noted beside the first requests, and what is counted is written when the daemon ends.
    let texts = until("a start with other options is noted", || {
        for options in [&["--delay=600"][..], &[]] {
            on.daemon.set_options(options);
            on.stop_and_start_again();
        }
        let (_, report) = on.ctl_json(&["report", "--since=2h"]);
        let changes = report["changes"].as_array().unwrap();
        let texts: Vec<String> = changes
            .iter()
            .map(|change| change["text"].to_string())
            .collect();
        let is_there = texts
            .iter()
            .any(|text| text.contains("the options changed"));
        is_there.then_some(texts)
    });
    assert!(
        texts.iter().any(|text| text.contains("the daemon started")),
        "{texts:?}"
    );
}

/// Two parts of the week, and the mails of its end that have not come back.
fn periods_are_parts(week: &Week, script: &Script, period: &[String; 2]) {
    let (from, to) = week.period();
    // Nobody is counted twice: a day of it is that day.
    let noon = from + 36 * HOUR;
    let parts = [(from, noon), (noon, to)].map(|(since, until)| {
        let options = [format!("--since=@{since}"), format!("--until=@{until}")];
        week.on
            .ctl_json(&["report", "--no-names", &options[0], &options[1]])
            .1
    });
    let sum: u64 = parts
        .iter()
        .map(|part| part["strangers"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, script.strangers);

    // Those that are listed as absent are the last two days' that have not come back and were not forgotten.
    let recent = format!("--since=@{}", week.recent());
    let (_, absent) = week
        .on
        .ctl_json(&["report", "--never-came-back", &recent, &period[1]]);
    assert_eq!(absent.as_array().unwrap().len() as u64, script.listed);
}
