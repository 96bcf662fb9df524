//! The report as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::effect::Effect;
use super::names::SenderDomain;
use super::{DnsList, Report};

/// The mails that have not come back.
#[must_use]
pub fn absent_mails(report: &Report) -> Value {
    let rows = report.names.iter().flat_map(|names| &names.absent_mails);
    rows.map(|row| {
        json!({
            "client": row.client, "sender": row.sender, "recipient": row.recipient,
            "first": row.first, "tries": row.tries,
        })
    })
    .collect()
}

/// The report.
#[must_use]
pub fn object(report: &Report) -> Value {
    let days = report.days.iter().map(|day| {
        let mut object = effect(&day.effect);
        object.extend(pairs([
            ("time", day.time.into()),
            ("changes", json!(day.changes)),
        ]));
        Value::Object(object)
    });
    let lists = report.lists.iter().map(|list| {
        let counts = DnsList::WORDS.into_iter().zip(list.counts);
        let counts: BTreeMap<&str, u64> = counts.collect();
        json!({ "zone": list.zone, "counts": counts })
    });
    let rules = report.rules.iter().map(|rule| {
        json!({ "why": rule.word, "strangers": rule.strangers, "came_back": rule.came_back })
    });
    let changes = report.changes.iter();
    let changes = changes.map(|(time, text)| json!({ "time": time, "text": text }));
    let blocked = report.blocked.iter();
    let blocked: BTreeMap<&String, u64> = blocked.map(|(list, count)| (list, *count)).collect();
    let mut object = effect(&report.effect);
    object.extend(pairs([
        ("since", report.period.from.into()),
        ("until", report.period.to.into()),
        ("days", days.collect()),
        ("rules", rules.collect()),
        ("dns_lists", lists.collect()),
        ("needs_a_hand", json!(report.hand)),
        ("changes", changes.collect()),
        ("postfix_blocked", json!(blocked)),
    ]));
    if let Some(names) = &report.names {
        let absent = names.absent.iter().map(|row| {
            json!({
                "client": row.client, "client_name": row.name, "mails": row.mails,
                "tries": row.tries, "why": row.causes,
            })
        });
        object.extend(pairs([
            ("senders", names.came_back.iter().map(sender).collect()),
            ("absent", absent.collect()),
        ]));
    }
    Value::Object(object)
}

/// Keys and values.
fn pairs<const N: usize>(pairs: [(&str, Value); N]) -> impl Iterator<Item = (String, Value)> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
}

fn effect(effect: &Effect) -> Map<String, Value> {
    let delays = effect.delays().map(|(most, count)| {
        let most = most.map_or_else(|| "more".to_owned(), |most| most.to_string());
        (most, Value::from(count))
    });
    let delays: Map<String, Value> = delays.collect();
    let counters = effect.counters();
    let counters = counters.map(|(key, count)| (key.to_owned(), Value::from(count)));
    counters
        .chain(pairs([("delays", Value::Object(delays))]))
        .collect()
}

fn sender(row: &SenderDomain) -> Value {
    json!({
        "domain": row.domain, "mails": row.mails, "median": row.median, "longest": row.longest,
        "clients": row.clients, "pool": row.is_pool, "allow": row.allow,
    })
}
