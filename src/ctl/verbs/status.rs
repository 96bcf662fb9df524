//! `status`: how the daemon is, and what it keeps.

use serde_json::Value;

use super::Answer;
use super::statistics::Counters;
use crate::api::{Dict, FromRow, MONITOR, SINCE};
use crate::ctl::exit;
use crate::ctl::failure::Failure;
use crate::ctl::json;
use crate::ctl::render::{Cell, Facts, Style};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::counted;

/// What the database is when nothing is wrong with it.
const WELL: &str = "well";

/// Asks and shows.
pub(super) async fn run(session: &Session) -> Result<Answer, Failure> {
    let properties = session.properties(MONITOR).await?;
    let monitor = session.monitor().await?;
    let statistics = session.ask("GetStatistics", monitor.get_statistics());
    let statistics = statistics.await?;
    Ok(answer(&properties, &statistics, &session.view))
}

/// What is shown of properties, under the names of the bus, and counters.
fn answer(properties: &Dict, statistics: &Dict, view: &View) -> Answer {
    let text = if view.json {
        let all = json::object(properties);
        let mut object: serde_json::Map<_, _> = properties
            .keys()
            .map(|name| (snake(name), all.get(name).cloned().unwrap_or_default()))
            .collect();
        object.insert("statistics".to_owned(), json::object(statistics));
        json::shown(&Value::Object(object))
    } else {
        text(properties, statistics, view)
    };
    let is_well = properties.text("StoreState") == Some(WELL);
    let code = if is_well { exit::OK } else { exit::NO };
    Answer { text, code }
}

/// The text.
fn text(properties: &Dict, statistics: &Dict, view: &View) -> String {
    let number = |key| properties.number(key).unwrap_or_default();
    let started = number("StartedAt");
    let store = properties.text("StoreState").unwrap_or("unknown");
    let style = if store == WELL {
        Style::Good
    } else {
        Style::Bad
    };
    let tarpit = (number("Sleeping"), number("Tarpitted"));
    let tarpit = (tarpit != (0, 0)).then(|| {
        format!(
            "{} waiting for their answer now, {} not known to have waited",
            counted(tarpit.0, "client", "clients"),
            tarpit.1
        )
    });
    Facts::new()
        .with("Version", properties.text("Version").unwrap_or("unknown"))
        .with("Mode", properties.text("Mode").unwrap_or("unknown"))
        .with(
            "Running",
            format!("since {}; {}", view.local(started), view.ago(started)),
        )
        .with("Database", Cell::new(store).styled(style))
        .with(
            "Triplets",
            format!(
                "{}: {} waiting, {} passed",
                number("Triplets"),
                number("Waiting"),
                number("Passed")
            ),
        )
        .with(
            "Clients",
            format!(
                "{} pass at once, being auto-whitelisted",
                number("AutoWhitelisted")
            ),
        )
        .with_some("Tarpit", tarpit)
        .with("Requests", requests(statistics, view))
        .render(&view.manner)
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
    use super::*;
    use crate::api::{GREYLISTED, PASSED, REQUESTS, Row, TABLE_REPLIES, TARPITTED};

    fn properties(store: &str) -> Dict {
        Row::new()
            .with("Version", "0.1.0")
            .with("StartedAt", 1_795_310_000_u64)
            .with("Mode", "targrey")
            .with("StoreState", store)
            .with("Triplets", 12_034_u64)
            .with("Waiting", 11_020_u64)
            .with("Passed", 1014_u64)
            .with("AutoWhitelisted", 37_u64)
            .with("Tarpitted", 12_u64)
            .with("Sleeping", 1_u64)
            .build()
    }

    fn statistics() -> Dict {
        Row::new()
            .with(SINCE, 1_795_310_000_u64)
            .with(REQUESTS, 4711_u64)
            .with(PASSED, 2400_u64)
            .with(GREYLISTED, 2000_u64)
            .with(TARPITTED, 300_u64)
            .with(TABLE_REPLIES, 11_u64)
            .build()
    }

    #[test]
    fn all_is_well() {
        let want = "
 Version: 0.1.0
    Mode: targrey
 Running: since Sun 2026-11-22 02:13:20 CET; 2h 19min ago
Database: well
Triplets: 12034: 11020 waiting, 1014 passed
 Clients: 37 pass at once, being auto-whitelisted
  Tarpit: 1 client waiting for their answer now, 12 not known to have waited
Requests: 4711 (2000 greylisted, 300 tarpitted, 11 replies from tables, 2400
          passed) since Sun 2026-11-22 02:13:20 CET
";
        let answer = answer(&properties("well"), &statistics(), &View::of_80_columns());
        assert_eq!(format!("\n{}", answer.text), want);
        assert_eq!(answer.code, exit::OK);
    }

    #[test]
    fn a_failing_database_is_an_exit_code() {
        let answer = answer(&properties("full"), &statistics(), &View::of_80_columns());
        assert!(
            answer.text.contains("\nDatabase: full\n"),
            "{}",
            answer.text
        );
        assert_eq!(answer.code, exit::NO);
    }

    #[test]
    fn json_has_the_properties_in_lower_case() {
        let answer = answer(&properties("well"), &statistics(), &View::of_json());
        let want = r#"{
  "auto_whitelisted": 37,
  "mode": "targrey",
  "passed": 1014,
  "sleeping": 1,
  "started_at": 1795310000,
  "statistics": {
    "greylisted": 2000,
    "passed": 2400,
    "requests": 4711,
    "since": 1795310000,
    "table_replies": 11,
    "tarpitted": 300
  },
  "store_state": "well",
  "tarpitted": 12,
  "triplets": 12034,
  "version": "0.1.0",
  "waiting": 11020
}
"#;
        assert_eq!(answer.text, want);
    }
}
