//! Metrics for Prometheus and other collectors: what the Monitor knows, as text.
//!
//! # The format
//!
//! `OpenMetrics` 1.0, or the older text format of Prometheus 0.0.4, which the node exporter's textfile collector reads.
//! They differ in the name of a counter in its `# TYPE` and `# HELP` lines, and in the last line, `# EOF`.
//!
//! # Limits
//!
//! Labels have few values: the words of the D-Bus contract, the numbers of S25R rules, and the zones of DNS lists, of
//! which `--dnsbl-sites` has at most 64. Nothing that a client sends is a label, and every value is escaped.

pub mod http;
mod others;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::api::{
    DNS_LIST_OK, DNS_LISTS, Dict, FromRow, GREYLISTED, LISTS, LOOKUPS, LOOKUPS_CACHED,
    LOOKUPS_UNDER_WAY, MESSAGES, PASSED, REASONS, REFUSED, S25R, SPF, STORE_OK, TARPITTED,
};

/// The messages among the others whose header or body was not searched.
const UNSEARCHED: &str = "unsearched";

/// The prefix of every name.
const PREFIX: &str = "stargrey_";

/// The two text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Prometheus,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What a value does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It rises, or begins again at zero.
    Counter,
    /// It is as high as it is now.
    Gauge,
}

/// Names and values of labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text that is being written.
#[derive(Debug)]
struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    const fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
        }
    }

    /// The lines that describe a metric. Its samples come next.
    fn describe(&mut self, kind: Kind, name: &str, help: &str) {
        let (word, suffix) = match (kind, self.format) {
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Counter, Format::OpenMetrics) => ("counter", ""),
            (Kind::Counter, Format::Prometheus) => ("counter", "_total"),
        };
        self.line(format_args!(
            "# TYPE {PREFIX}{name}{suffix} {word}\n# HELP {PREFIX}{name}{suffix} {help}"
        ));
    }

    /// A value.
    fn sample(&mut self, kind: Kind, name: &str, labels: Labels<'_>, value: u64) {
        let suffix = match kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
        };
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match &*labels.join(",") {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        self.line(format_args!("{PREFIX}{name}{suffix}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.text, "{line}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }

    /// A metric without labels; nothing if the daemon does not know it.
    fn single(&mut self, kind: Kind, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.describe(kind, name, help);
            self.sample(kind, name, &[], value);
        }
    }

    /// A metric with one label; nothing if it has no values.
    fn group<K: AsRef<str>>(
        &mut self,
        kind: Kind,
        (name, label): (&str, &str),
        help: &str,
        values: impl IntoIterator<Item = (K, u64)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.describe(kind, name, help);
        }
        for (word, value) in values {
            self.sample(kind, name, &[(label, word.as_ref())], value);
        }
    }

    /// The whole text.
    fn end(mut self) -> String {
        match self.format {
            Format::OpenMetrics => self.text.push_str("# EOF\n"),
            Format::Prometheus => {}
        }
        self.text
    }
}

/// The text if the daemon does not reply.
#[must_use]
pub fn down(format: Format) -> String {
    let mut out = Exposition::new(format);
    up(&mut out, false);
    out.end()
}

/// The text for the properties of the Monitor and its statistics.
#[must_use]
pub fn text(format: Format, properties: &Dict, statistics: &Dict) -> String {
    let mut out = Exposition::new(format);
    up(&mut out, true);
    state(&mut out, properties);
    records(&mut out, properties);
    counters(&mut out, statistics);
    dns_lists(&mut out, statistics);
    others::spamd(&mut out, properties);
    others::shared(&mut out, properties);
    out.end()
}

/// Whether the daemon replies.
fn up(out: &mut Exposition, is_up: bool) {
    let help = "Whether stargreyd replies on the system bus.";
    out.single(Kind::Gauge, "up", help, Some(is_up.into()));
}

/// The state of the daemon.
fn state(out: &mut Exposition, properties: &Dict) {
    let gauge = Kind::Gauge;
    let version = properties.text("Version").unwrap_or_default();
    let group = ("build_info", "version");
    out.group(gauge, group, "The version of stargreyd.", [(version, 1)]);
    let help = "When stargreyd was started, in seconds since the epoch.";
    let started = properties.number("StartedAt");
    out.single(gauge, "start_time_seconds", help, started);
    let is_ok = properties
        .text("StoreState")
        .map(|state| (state == STORE_OK).into());
    let help = "Whether the database is available.";
    out.single(gauge, "database_up", help, is_ok);
    let help = "Whether greylisting is paused: all mail passes.";
    let paused = properties.truth("Paused").map(u64::from);
    out.single(gauge, "paused", help, paused);
    let help = "Errors in the list files.";
    let errors = properties.number("ListErrors");
    out.single(gauge, "list_errors", help, errors);
    let help = "Entries of the access lists that can never match.";
    let unreachable = properties.number("UnreachableRules");
    out.single(gauge, "unreachable_rules", help, unreachable);
    let help = "Entries of the lists.";
    let entries = sorted(properties, "Entries");
    out.group(gauge, ("list_entries", "list"), help, entries);
    let lists = properties.words("DnsLists").unwrap_or_default();
    let lists: BTreeMap<String, u64> = lists
        .into_iter()
        .map(|(zone, state)| (zone, (state == DNS_LIST_OK).into()))
        .collect();
    let help = "Whether the DNS list replies, and not with an error code.";
    out.group(gauge, ("dns_list_up", "zone"), help, lists);
    let figures = properties.counters("Lookups").unwrap_or_default();
    let figure = |word| figures.get(word).copied();
    let help = "DNS lookups under way.";
    let number = figure(LOOKUPS_UNDER_WAY);
    out.single(gauge, "dns_lookups_under_way", help, number);
    let help = "Entries of the cache of DNS lookups.";
    let number = figure(LOOKUPS_CACHED);
    out.single(gauge, "dns_cache_entries", help, number);
}

/// The number of records; nothing while the database is unavailable.
fn records(out: &mut Exposition, properties: &Dict) {
    let gauge = Kind::Gauge;
    let states = [("waiting", "Waiting"), ("passed", "Passed")];
    let triplets = states
        .into_iter()
        .filter_map(|(word, key)| Some((word, properties.number(key)?)));
    let help = "Triplets in the database.";
    out.group(gauge, ("triplets", "state"), help, triplets);
    let singles = [
        (
            "auto_whitelisted_clients",
            "AutoWhitelisted",
            "Auto-whitelisted clients.",
        ),
        (
            "sleeping_requests",
            "Sleeping",
            "Requests that are sleeping in the tarpit.",
        ),
        (
            "tarpitted_clients",
            "Tarpitted",
            "Clients that were tarpitted and have not survived.",
        ),
    ];
    for (name, key, help) in singles {
        out.single(gauge, name, help, properties.number(key));
    }
}

/// The counters since the start or the last reset.
fn counters(out: &mut Exposition, statistics: &Dict) {
    let counter = Kind::Counter;
    let ends = [PASSED, GREYLISTED, TARPITTED, REFUSED]
        .into_iter()
        .filter_map(|word| Some((word, statistics.number(word)?)));
    let help = "Requests and messages by what was replied.";
    out.group(counter, ("requests", "verdict"), help, ends);
    let groups = [
        (
            REASONS,
            ("decisions", "reason"),
            "Requests and messages by the reason of the decision.",
        ),
        (
            S25R,
            ("s25r_matches", "rule"),
            "Suspicious clients by the S25R rule that matched.",
        ),
        (
            LISTS,
            ("list_matches", "list"),
            "Decisions by the list whose entry matched.",
        ),
        (
            LOOKUPS,
            ("dns_lookups", "result"),
            "DNS lookups by what became of them.",
        ),
        (SPF, ("spf_results", "result"), "SPF results."),
        (
            MESSAGES,
            ("messages", "end"),
            "Messages decided on at their end, by what became of them.",
        ),
    ];
    for (key, group, help) in groups {
        let mut samples = sorted(statistics, key);
        // Some of the messages: not a label, so that the others add up.
        let unsearched = (key == MESSAGES).then(|| samples.remove(UNSEARCHED));
        out.group(counter, group, help, samples);
        if let Some(unsearched) = unsearched.flatten() {
            let help = "Messages of which the header or the body was not searched.";
            out.describe(counter, "messages_unsearched", help);
            out.sample(counter, "messages_unsearched", &[], unsearched);
        }
    }
}

/// The counters of the DNS lists, which have two labels.
fn dns_lists(out: &mut Exposition, statistics: &Dict) {
    let all = sorted(statistics, DNS_LISTS);
    let mut samples = all
        .iter()
        .filter_map(|(key, value)| Some((key.rsplit_once(':')?, *value)))
        .peekable();
    let (kind, name) = (Kind::Counter, "dns_list_results");
    if samples.peek().is_some() {
        out.describe(kind, name, "Decisions by DNS list and what it has said.");
    }
    for ((zone, result), value) in samples {
        let labels = [("zone", zone), ("result", result)];
        out.sample(kind, name, &labels, value);
    }
}

/// The counters under this key, by their words.
fn sorted(row: &Dict, key: &str) -> BTreeMap<String, u64> {
    row.counters(key).unwrap_or_default().into_iter().collect()
}

/// The value of a label: quotes, backslashes and line feeds are escaped.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::Row;

    fn properties() -> Row {
        Row::new()
            .with("Version", "0.1.0")
            .with("StartedAt", 1_795_310_000_u64)
            .with("StoreState", STORE_OK)
            .with("Paused", false)
            .with("ListErrors", 2_u64)
    }

    fn counters_of(pairs: &[(&str, u64)]) -> HashMap<String, u64> {
        let owned = pairs
            .iter()
            .map(|(word, count)| ((*word).to_owned(), *count));
        owned.collect()
    }

    #[test]
    fn both_formats_differ_in_the_names_of_counters_and_the_end() {
        let statistics = Row::new()
            .with(PASSED, 7_u64)
            .with(REASONS, counters_of(&[("new", 3), ("early-retry", 1)]))
            .with(DNS_LISTS, counters_of(&[("b.example:asked", 4)]))
            .build();
        let open = text(Format::OpenMetrics, &properties().build(), &statistics);
        let old = text(Format::Prometheus, &properties().build(), &statistics);
        let want = "\
# TYPE stargrey_requests counter
# HELP stargrey_requests Requests and messages by what was replied.
stargrey_requests_total{verdict=\"passed\"} 7
# TYPE stargrey_decisions counter
# HELP stargrey_decisions Requests and messages by the reason of the decision.
stargrey_decisions_total{reason=\"early-retry\"} 1
stargrey_decisions_total{reason=\"new\"} 3
# TYPE stargrey_dns_list_results counter
# HELP stargrey_dns_list_results Decisions by DNS list and what it has said.
stargrey_dns_list_results_total{zone=\"b.example\",result=\"asked\"} 4
";
        assert!(open.ends_with(&format!("{want}# EOF\n")), "{open}");
        let renamed = |word: &str, text: String| {
            let name = format!("stargrey_{word} ");
            text.replace(&name, &format!("stargrey_{word}_total "))
        };
        let want = renamed("requests", want.to_owned());
        let want = renamed("dns_list_results", renamed("decisions", want));
        assert!(old.ends_with(&want), "{old}");
        let begin = "# TYPE stargrey_up gauge\n# HELP stargrey_up Whether stargreyd replies on the system bus.\nstargrey_up 1\n";
        assert!(open.starts_with(begin) && old.starts_with(begin), "{open}");
    }

    #[test]
    fn what_the_daemon_does_not_know_is_left_out() {
        let closed = properties().with("StoreState", "the disk is full").build();
        let text = text(Format::OpenMetrics, &closed, &Dict::new());
        assert!(text.contains("\nstargrey_database_up 0\n"), "{text}");
        for absent in ["triplets", "requests", "auto_whitelisted", "dns_list"] {
            assert!(!text.contains(absent), "{text}");
        }
        assert_eq!(
            down(Format::Prometheus).lines().last(),
            Some("stargrey_up 0")
        );
    }

    #[test]
    fn no_value_of_a_label_is_more_than_a_value() {
        let zone = "a\"} 1\nstargrey_up 0\\".to_owned();
        let lists = HashMap::from([(zone, DNS_LIST_OK.to_owned())]);
        let properties = properties().with("DnsLists", lists).build();
        let text = text(Format::OpenMetrics, &properties, &Dict::new());
        let want = r#"stargrey_dns_list_up{zone="a\"} 1\nstargrey_up 0\\"} 1"#;
        assert!(text.lines().any(|line| line == want), "{text}");
        let up = text.lines().filter(|line| line.starts_with("stargrey_up"));
        assert_eq!(up.count(), 1);
    }
}
