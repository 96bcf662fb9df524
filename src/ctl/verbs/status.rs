//! `status`: the state of the daemon and its record counts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::statistics::{self, Counters};
use super::{Answer, milter_state, shared_state, spamd_state};
use crate::api::{
    DNS_LIST_ERROR, DNS_LIST_OK, DNS_LIST_SILENT, Dict, FromRow, LOOKUPS, LOOKUPS_CACHED,
    LOOKUPS_UNDER_WAY, MONITOR, SINCE, STORE_OK,
};
use crate::ctl::exit;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::render::{Cell, KeyValues, Style, span};
use crate::ctl::report::effect::Effect;
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::{Span, counted};

/// The text for a value that the daemon does not know or does not send.
const UNKNOWN: &str = "unknown";

/// Days of which the effect is shown.
const EFFECT_DAYS: u64 = 7;

/// Runs the verb.
pub(super) async fn run(session: &Session) -> Result<Answer, Failure> {
    let properties = session.properties(MONITOR).await?;
    let monitor = session.monitor().await?;
    let statistics = session.ask("GetStatistics", monitor.get_statistics());
    let statistics = statistics.await?;
    let since = session.view.time().before(Span::from_days(EFFECT_DAYS));
    let effect = statistics::effect(session, since.seconds()).await;
    Ok(answer(
        &properties,
        &statistics,
        effect.as_ref(),
        &session.view,
    ))
}

/// The properties to show, under their D-Bus names, and the counters.
fn answer(properties: &Dict, statistics: &Dict, effect: Option<&Effect>, view: &View) -> Answer {
    let text = if view.json {
        let all = json::object(properties);
        let mut object: serde_json::Map<_, _> = properties
            .keys()
            .map(|name| (snake(name), all.get(name).cloned().unwrap_or_default()))
            .collect();
        object.insert("statistics".to_owned(), json::object(statistics));
        json::shown(&Value::Object(object))
    } else {
        text(properties, statistics, effect, view)
    };
    let is_ok = properties.text("StoreState") == Some(STORE_OK)
        && shared_state::is_ok(properties)
        && list_errors(properties) == 0
        && unreachable_rules(properties) == 0
        && milter_state::is_ok(properties)
        && spamd_state::is_ok(properties)
        && dns_lists(properties)
            .values()
            .all(|state| state == DNS_LIST_OK);
    let code = if is_ok { exit::OK } else { exit::NO };
    Answer { text, code }
}

/// The text. A value that the daemon does not know, as the number of records while the database is unavailable, is
/// shown as unknown.
fn text(properties: &Dict, statistics: &Dict, effect: Option<&Effect>, view: &View) -> String {
    let store = properties.text("StoreState").unwrap_or(UNKNOWN);
    let store = Cell::new(store).styled(style(store == STORE_OK));
    let clients = known(properties, "AutoWhitelisted");
    KeyValues::new()
        .with("Version", properties.text("Version").unwrap_or(UNKNOWN))
        .with("Mode", mode(properties))
        .with("Running", running(properties, view))
        .with("Database", store)
        .with_some("Shared", shared_state::shown(properties))
        .with_some("Paused", paused(properties, view))
        .with("Lists", lists(properties))
        .with_some("DNS lists", shown_dns_lists(properties))
        .with_some("spamd", spamd_state::shown(properties))
        .with_some("Milter", milter_state::shown(properties))
        .with_some("Lookups", lookups(properties, statistics))
        .with("Triplets", triplets(properties))
        .with("Clients", format!("{clients} auto-whitelisted"))
        .with_some("Tarpit", tarpit(properties))
        .with("Requests", requests(statistics, view))
        .with_some(
            "Effect",
            effect.and_then(|effect| effect.brief(EFFECT_DAYS)),
        )
        .render(&view.terminal)
}

/// The style of a good or a bad state.
const fn style(is_right: bool) -> Style {
    if is_right { Style::Good } else { Style::Bad }
}

/// A number, if it is known.
fn known(properties: &Dict, key: &str) -> String {
    let number = properties.number(key);
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

/// Errors in the list files.
fn list_errors(properties: &Dict) -> u64 {
    properties.number("ListErrors").unwrap_or_default()
}

/// Entries of the access lists that can never match.
fn unreachable_rules(properties: &Dict) -> u64 {
    properties.number("UnreachableRules").unwrap_or_default()
}

/// How suspicious clients are treated, and which clients are suspicious.
fn mode(properties: &Dict) -> String {
    let mode = properties.text("Mode").unwrap_or(UNKNOWN);
    let length = |key| properties.number(key).map(Span::from_seconds).map(span);
    let s25r = properties.truth("S25r").unwrap_or_default();
    let s25r = s25r.then(|| match properties.text("S25rRules") {
        Some("extended") => "S25R extended".to_owned(),
        Some(_) | None => "S25R".to_owned(),
    });
    let settings: Vec<String> = [
        s25r,
        length("Delay").map(|delay| format!("delay {delay}")),
        length("Tarpit")
            .filter(|_| properties.number("Tarpit") > Some(0))
            .map(|tarpit| format!("tarpit {tarpit}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if settings.is_empty() {
        mode.to_owned()
    } else {
        format!("{mode} ({})", settings.join(", "))
    }
}

/// When the daemon started; never later than now, even if this call started it.
fn running(properties: &Dict, view: &View) -> String {
    let Some(started) = properties.number("StartedAt") else {
        return UNKNOWN.to_owned();
    };
    let ago = view.ago(started.min(view.time().seconds()));
    format!("since {}; {ago}", view.local(started))
}

/// The number of entries and of errors.
fn lists(properties: &Dict) -> Cell {
    let entries = properties.counters("Entries").map(|entries| {
        let sum = entries.values().copied().fold(0, u64::saturating_add);
        counted(sum, "entry", "entries")
    });
    let entries = entries.unwrap_or_else(|| UNKNOWN.to_owned());
    let (errors, unreachable) = (list_errors(properties), unreachable_rules(properties));
    if errors == 0 && unreachable == 0 {
        return Cell::new(entries);
    }
    let mut text = entries;
    if errors > 0 {
        text = format!("{text}; {}", counted(errors, "error", "errors"));
    }
    if unreachable > 0 {
        let rules = counted(
            unreachable,
            "entry that never matches",
            "entries that never match",
        );
        text = format!("{text}; {rules}");
    }
    let text = format!("{text}, see `journalctl -u stargrey`");
    Cell::new(text).styled(style(false))
}

/// The DNS lists, and how they reply.
fn dns_lists(properties: &Dict) -> BTreeMap<String, String> {
    properties
        .words("DnsLists")
        .unwrap_or_default()
        .into_iter()
        .collect()
}

/// How many DNS lists there are, if there are any, and which of them do not reply.
fn shown_dns_lists(properties: &Dict) -> Option<Cell> {
    let lists = dns_lists(properties);
    let ill = lists.iter().filter(|(_, state)| *state != DNS_LIST_OK);
    let ill: Vec<String> = ill
        .map(|(zone, state)| match state.as_str() {
            DNS_LIST_SILENT => format!("{zone} does not reply"),
            DNS_LIST_ERROR => format!("{zone} replies with an error code"),
            other => format!("{zone}: {other}"),
        })
        .collect();
    match (lists.len(), ill.is_empty()) {
        (0, _) => None,
        (number, true) => Some(Cell::new(format!("{number}, all reply"))),
        (number, false) => {
            let text = format!("{number}; {}", ill.join(", "));
            Some(Cell::new(text).styled(style(false)))
        }
    }
}

/// What DNS has cost, if anything was looked up.
fn lookups(properties: &Dict, statistics: &Dict) -> Option<String> {
    let counters = statistics.counters(LOOKUPS)?;
    let count = |word: &str| counters.get(word).copied().unwrap_or_default();
    let (sent, cached, not_sent) = (count("sent"), count("cached"), count("not_sent"));
    if sent == 0 && cached == 0 && not_sent == 0 {
        return None;
    }
    let figures = properties.counters("Lookups").unwrap_or_default();
    let figure = |word: &str| figures.get(word).copied().unwrap_or_default();
    let mut parts = vec![
        format!("{sent} sent ({} unanswered)", count("unanswered")),
        format!(
            "{cached} found in the cache ({} entries)",
            figure(LOOKUPS_CACHED)
        ),
    ];
    let others = [
        (not_sent, "not sent"),
        (figure(LOOKUPS_UNDER_WAY), "under way"),
    ];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    parts.extend(others.map(|(count, what)| format!("{count} {what}")));
    Some(parts.join(", "))
}

/// The triplets, by their states.
fn triplets(properties: &Dict) -> String {
    let Some(all) = properties.number("Triplets") else {
        return UNKNOWN.to_owned();
    };
    let (waiting, passed) = (known(properties, "Waiting"), known(properties, "Passed"));
    format!("{all} ({waiting} waiting, {passed} passed)")
}

/// Until when greylisting is paused, if it is.
fn paused(properties: &Dict, view: &View) -> Option<Cell> {
    let is_paused = properties.truth("Paused").unwrap_or_default();
    is_paused.then(|| {
        let until = match properties.number("PausedUntil").unwrap_or_default() {
            0 => "until it is resumed".to_owned(),
            end => format!("until {}", view.local(end)),
        };
        Cell::new(format!("{until}; all mail passes")).styled(style(false))
    })
}

/// The tarpit, if it is or was in use.
fn tarpit(properties: &Dict) -> Option<String> {
    let is_some = |key| properties.number(key) > Some(0);
    let is_used = ["Tarpit", "Sleeping", "Tarpitted"].into_iter().any(is_some);
    is_used.then(|| {
        format!(
            "{} sleeping, {} tarpitted and not (yet) survived",
            known(properties, "Sleeping"),
            known(properties, "Tarpitted")
        )
    })
}

/// The counters in a line.
fn requests(statistics: &Dict, view: &View) -> String {
    let since = statistics.number(SINCE).unwrap_or_default();
    let counters = Counters::read(statistics, since);
    let since = view.local(since);
    format!("{} ({}) since {since}", counters.requests, counters.ends())
}

/// `StartedAt` as `started_at`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::{GREYLISTED, PASSED, REFUSED, REQUESTS, Row, TARPITTED};

    fn row(store: &str) -> Row {
        Row::new()
            .with("Version", "0.1.0")
            .with("StartedAt", 1_795_310_000_u64)
            .with("Mode", "targrey")
            .with("S25r", true)
            .with("Delay", 300_u64)
            .with("Tarpit", 65_u64)
            .with("StoreState", store)
            .with("ListErrors", 0_u64)
            .with(
                "Entries",
                HashMap::from([
                    ("client-whitelist".to_owned(), 164_u64),
                    ("sender-whitelist".to_owned(), 2),
                ]),
            )
            .with("Sleeping", 1_u64)
    }

    fn properties(store: &str) -> Dict {
        row(store)
            .with("Triplets", 12_034_u64)
            .with("Waiting", 11_020_u64)
            .with("Passed", 1014_u64)
            .with("AutoWhitelisted", 37_u64)
            .with("Tarpitted", 12_u64)
            .build()
    }

    fn statistics() -> Dict {
        Row::new()
            .with(SINCE, 1_795_310_000_u64)
            .with(REQUESTS, 4711_u64)
            .with(PASSED, 2400_u64)
            .with(GREYLISTED, 2000_u64)
            .with(TARPITTED, 300_u64)
            .with(REFUSED, 11_u64)
            .build()
    }

    #[test]
    fn the_mode_says_which_rules_of_s25r_apply() {
        for (rules, want) in [
            ("classic", "greylist (S25R, delay 5min)"),
            ("extended", "greylist (S25R extended, delay 5min)"),
        ] {
            let row = Row::new().with("Mode", "greylist").with("S25r", true);
            let properties = row.with("S25rRules", rules).with("Delay", 300_u64).build();
            assert_eq!(mode(&properties), want);
        }
    }

    #[test]
    fn all_is_ok() {
        let want = "
 Version: 0.1.0
    Mode: targrey (S25R, delay 5min, tarpit 1min 5s)
 Running: since Sun 2026-11-22 02:13:20 CET; 2h 19min ago
Database: ok
   Lists: 166 entries
Triplets: 12034 (11020 waiting, 1014 passed)
 Clients: 37 auto-whitelisted
  Tarpit: 1 sleeping, 12 tarpitted and not (yet) survived
Requests: 4711 (2000 greylisted, 300 tarpitted, 11 refused, 2400 passed) since
          Sun 2026-11-22 02:13:20 CET
  Effect: 9 strangers in 7 days, 9 never came back (100 %), 0 did
";
        let hour = crate::ctl::report::effect::tests::hour(0, 9, &[], 0);
        let effect = Effect::of(&[hour], 0, 3600);
        let answer = answer(
            &properties("ok"),
            &statistics(),
            Some(&effect),
            &View::of_80_columns(),
        );
        assert_eq!(format!("\n{}", answer.text), want);
        assert_eq!(answer.code, exit::OK);
    }

    #[test]
    fn a_pause_is_shown_with_its_end() {
        let cases = [
            (0, "until it is resumed; all mail passes"),
            (
                1_795_318_200,
                "until Sun 2026-11-22 04:30:00 CET; all mail passes",
            ),
        ];
        for (end, want) in cases {
            let mut properties = properties(STORE_OK);
            let paused = Row::new().with("Paused", true).with("PausedUntil", end);
            properties.extend(paused.build());
            let answer = answer(&properties, &statistics(), None, &View::of_80_columns());
            let line = format!("\n  Paused: {want}\n");
            assert!(answer.text.contains(&line), "{}", answer.text);
        }
    }

    #[test]
    fn a_failing_database_is_an_exit_code() {
        let answer = answer(
            &properties("full"),
            &statistics(),
            None,
            &View::of_80_columns(),
        );
        assert!(
            answer.text.contains("\nDatabase: full\n"),
            "{}",
            answer.text
        );
        assert_eq!(answer.code, exit::NO);
    }

    #[test]
    fn an_error_in_a_list_is_an_exit_code_as_a_failing_database_is() {
        let properties = row("ok").with("ListErrors", 2_u64).build();
        let answer = answer(&properties, &statistics(), None, &View::of_80_columns());
        let want = "\n   Lists: 166 entries; 2 errors, see `journalctl -u stargrey`\n";
        assert!(answer.text.contains(want), "{}", answer.text);
        assert_eq!(answer.code, exit::NO);
    }

    #[test]
    fn what_is_not_known_is_not_nothing() {
        let closed = answer(
            &row("closed").build(),
            &statistics(),
            None,
            &View::of_80_columns(),
        );
        for want in [
            "\nTriplets: unknown\n",
            "\n Clients: unknown auto-whitelisted\n",
            "\n  Tarpit: 1 sleeping, unknown tarpitted and not (yet) survived\n",
        ] {
            assert!(closed.text.contains(want), "{}", closed.text);
        }
        let silent = answer(&Dict::new(), &Dict::new(), None, &View::of_80_columns());
        for want in [
            "    Mode: unknown\n",
            " Running: unknown\n",
            "   Lists: unknown\n",
        ] {
            assert!(silent.text.contains(want), "{}", silent.text);
        }
    }

    #[test]
    fn a_daemon_that_the_call_has_started_runs_since_just_now() {
        let view = View::of_80_columns();
        let ahead = Row::new()
            .with("StartedAt", view.time().seconds() + 1)
            .build();
        let text = running(&ahead, &view);
        assert!(text.ends_with("; just now"), "{text}");
    }

    #[test]
    fn dns_lists_that_do_not_reply_are_named_and_are_not_ok() {
        let lists = |states: &str| {
            let pairs = states
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            let owned = pairs.map(|(zone, state)| (zone.to_owned(), state.to_owned()));
            let owned: HashMap<_, _> = owned.collect();
            row("ok").with("DnsLists", owned).build()
        };
        let ill = "3; a.example does not reply, c.example replies with an error code";
        let cases = [
            ("", None, exit::OK),
            ("a.example=ok b.example=ok", Some("2, all reply"), exit::OK),
            (
                "a.example=silent b.example=ok c.example=error",
                Some(ill),
                exit::NO,
            ),
        ];
        for (states, want, code) in cases {
            let answer = answer(&lists(states), &statistics(), None, &View::of_80_columns());
            let mut lines = answer.text.lines().map(str::trim_start);
            let line = lines.find_map(|line| line.strip_prefix("DNS lists: "));
            assert_eq!((line, answer.code), (want, code), "{states}");
        }
    }

    #[test]
    fn json_has_the_properties_in_lower_case() {
        let answer = answer(&properties("ok"), &statistics(), None, &View::of_json());
        let want = r#"{
  "auto_whitelisted": 37,
  "delay": 300,
  "entries": {
    "client-whitelist": 164,
    "sender-whitelist": 2
  },
  "list_errors": 0,
  "mode": "targrey",
  "passed": 1014,
  "s25r": true,
  "sleeping": 1,
  "started_at": 1795310000,
  "statistics": {
    "greylisted": 2000,
    "passed": 2400,
    "refused": 11,
    "requests": 4711,
    "since": 1795310000,
    "tarpitted": 300
  },
  "store_state": "ok",
  "tarpit": 65,
  "tarpitted": 12,
  "triplets": 12034,
  "version": "0.1.0",
  "waiting": 11020
}
"#;
        assert_eq!(answer.text, want);
    }
}
