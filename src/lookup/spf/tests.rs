//! What hostile records do, and what counts as a pass.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::*;

/// Records of a test: lines of a name, a kind and a value. `*.` stands for any labels, `SILENT` for no answer.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<(String, Option<(Kind, Data)>)>,
    asked: AtomicUsize,
}

impl Table {
    pub(super) fn new(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, rest) = line.split_once(' ').unwrap();
            table.add(name, rest.trim());
        }
        table
    }

    /// Adds a record: `TXT v=spf1 -all`.
    fn add(&mut self, name: &str, record: &str) {
        let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
        if record == "SILENT" {
            self.rows.push((name, None));
            return;
        }
        let (kind, value) = record.split_once(' ').unwrap();
        let name_of = |value: &str| Data::Name(format!("{}.", value.trim_end_matches('.')));
        let record = match kind {
            "A" => (Kind::A, Data::Address(value.parse().unwrap())),
            "AAAA" => (Kind::Aaaa, Data::Address(value.parse().unwrap())),
            "MX" => (Kind::Mx, name_of(value)),
            "PTR" => (Kind::Ptr, name_of(value)),
            "TXT" => (Kind::Txt, Data::Text(value.to_owned())),
            _ => panic!("{kind} is no kind of record"),
        };
        self.rows.push((name, Some(record)));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Names for Table {
    fn find<'a>(&'a self, name: &'a str, kind: Kind) -> Waiting<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let is_of = |known: &str| match known.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => name == known,
        };
        let rows = self.rows.iter().filter(|(known, _)| is_of(known));
        let rows: Vec<_> = rows.map(|(_, row)| row.clone()).collect();
        Box::pin(async move {
            if rows.contains(&None) {
                return std::future::pending().await;
            }
            let data = rows.into_iter().flatten();
            let data = data.filter_map(|(of_kind, data)| (of_kind == kind).then_some(data));
            Ok(Records {
                data: data.collect(),
                lifetime: Duration::from_secs(600),
            })
        })
    }
}

/// Draws an address of another half of the address space each time.
#[expect(clippy::unnecessary_wraps, reason = "it stands for what may fail")]
pub(super) fn random() -> Option<u128> {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
    Some(u128::from(drawn % 2 * 0x8000_0000 + 0x3333_3300 + drawn / 2 % 256) << 96)
}

fn question(client: &str, sender: &str) -> SpfQuestion {
    let client = ClientIp::parse(client.as_bytes()).unwrap();
    SpfQuestion::new(client, b"mx.example.org", sender.as_bytes()).unwrap()
}

/// What is found for a client and `a@example.com`; `None`: no answer.
async fn found(evaluator: &Evaluator, table: &Table, client: &str) -> Option<SpfResult> {
    let question = question(client, "a@example.com");
    let answer = evaluator.evaluate(&question, table).await;
    match answer.finding {
        Finding::Spf(SpfFinding::Passed(domain)) => {
            assert_eq!(domain.as_str(), "example.com");
            Some(SpfResult::Pass)
        }
        Finding::Spf(SpfFinding::NotPassed(result)) => Some(result),
        Finding::NoAnswer => None,
        other @ (Finding::Addresses(_)
        | Finding::Text(_)
        | Finding::SenderMx(_)
        | Finding::Score(_)
        | Finding::BodyText(_)
        | Finding::Absent) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_near_a_mail_server_of_the_domain_or_not_or_nobody_knows() {
    let many = (0..11).map(|n| format!("example.com MX m{n}.example.net\n"));
    let many: String = many.collect();
    let one = "example.com TXT v=spf1 +all\nexample.com MX a.example.net\n\
               a.example.net A 192.0.2.7\na.example.net AAAA 2001:db8::7";
    let cases = [
        (one, "192.0.2.7", 32, Some(true)),
        (one, "192.0.2.8", 32, Some(false)),
        (one, "192.0.2.200", 24, Some(true)),
        (one, "192.0.3.7", 24, Some(false)),
        (one, "2001:db8::8", 64, Some(true)),
        (one, "2001:db8::8", 128, Some(false)),
        (one, "192.0.2.7", 128, Some(true)),
        // Its own record means nothing here.
        ("example.com TXT v=spf1 +all", "192.0.2.7", 24, Some(false)),
        (&many, "192.0.2.7", 24, None),
        ("example.com SILENT", "192.0.2.7", 24, None),
        (
            "example.com MX a.example.net\na.example.net SILENT",
            "192.0.2.7",
            24,
            None,
        ),
    ];
    tokio::time::pause();
    for (table, client, bits, want) in cases {
        let table = Table::new(table);
        let evaluator = Evaluator::new(random);
        let question = question(client, "@example.com");
        let answer = evaluator.is_near_mx(&question, bits, &table).await;
        let got = match answer.finding {
            Finding::SenderMx(is_near) => Some(is_near),
            Finding::NoAnswer => None,
            other @ (Finding::Addresses(_)
            | Finding::Text(_)
            | Finding::Spf(_)
            | Finding::Score(_)
            | Finding::BodyText(_)
            | Finding::Absent) => panic!("{other:?}"),
        };
        assert_eq!(got, want, "{client} {bits}");
        assert!(table.asked() <= MOST_QUESTIONS, "{client}");
    }
}

#[tokio::test]
async fn a_pass_counts_if_strangers_do_not_pass() {
    use SpfResult::{Fail, None, Pass, PassAny, Permerror, Softfail};
    let cases = [
        (
            "one address",
            "example.com TXT v=spf1 ip4:192.0.2.7 -all",
            Pass,
        ),
        ("none", "example.com TXT v=spf1 ip4:192.0.2.8 -all", Fail),
        ("softly none", "example.com TXT v=spf1 ~all", Softfail),
        ("no record", "example.com TXT hello", None),
        (
            "two records",
            "example.com TXT v=spf1 +all\nexample.com TXT v=spf1 -all",
            Permerror,
        ),
        ("everybody", "example.com TXT v=spf1 +all", PassAny),
        (
            "everybody elsewhere",
            "example.com TXT v=spf1 include:b.example.net -all\nb.example.net TXT v=spf1 all",
            PassAny,
        ),
        (
            "everybody, redirected",
            "example.com TXT v=spf1 redirect=b.example.net\nb.example.net TXT v=spf1 ?all",
            SpfResult::Neutral,
        ),
        (
            "two halves",
            "example.com TXT v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all",
            PassAny,
        ),
        (
            "a wildcard",
            "example.com TXT v=spf1 exists:%{i}.wild.example.net -all\n*.wild.example.net A 127.0.0.2",
            PassAny,
        ),
        (
            "a wildcard of one",
            "example.com TXT v=spf1 exists:%{i}.l.example.net -all\n192.0.2.7.l.example.net A 127.0.0.2",
            Pass,
        ),
        (
            "the sender's other half",
            "example.com TXT v=spf1 exists:%{l}.l.example.net -all\na.l.example.net A 127.0.0.2",
            PassAny,
        ),
        (
            "an MX",
            "example.com TXT v=spf1 mx -all\nexample.com MX m.example.net\nm.example.net A 192.0.2.7",
            Pass,
        ),
        (
            "a host's name",
            "example.com TXT v=spf1 ptr -all\n7.2.0.192.in-addr.arpa PTR m.example.com\nm.example.com A 192.0.2.7",
            Pass,
        ),
    ];
    for (name, records, want) in cases {
        let (evaluator, table) = (Evaluator::new(random), Table::new(records));
        let got = found(&evaluator, &table, "192.0.2.7").await;
        assert_eq!(got, Some(want), "{name}");
    }
    let halves = "example.com TXT v=spf1 ip6:2000::/4 ip6:3000::/4 -all";
    let one = "example.com TXT v=spf1 ip6:2001:db8::/32 -all";
    for (records, want) in [(halves, PassAny), (one, Pass)] {
        let (evaluator, table) = (Evaluator::new(random), Table::new(records));
        let got = found(&evaluator, &table, "2001:db8::7").await;
        assert_eq!(got, Some(want), "{records}");
    }
}

#[tokio::test]
async fn a_prefix_of_no_bits_lets_nobody_pass_and_harms_nobody() {
    for (client, mechanism) in [
        ("192.0.2.7", "ip4:192.0.2.7/0"),
        ("192.0.2.7", "ip4:198.51.100.7/0"),
        ("192.0.2.7", "a/0"),
        ("192.0.2.7", "mx/0"),
        ("2001:db8::7", "ip6:2001:db8::8/0"),
        ("2001:db8::7", "a//0"),
        ("2001:db8::7", "mx//0"),
    ] {
        let records = format!(
            "example.com TXT v=spf1 {mechanism} -all\nexample.com MX example.com\n\
             example.com A 198.51.100.7\nexample.com AAAA 2001:db8:1::7"
        );
        let (evaluator, table) = (Evaluator::new(random), Table::new(&records));
        let got = found(&evaluator, &table, client).await;
        let is_own = mechanism.starts_with("ip4:192.0.2.7");
        let want = if is_own {
            SpfResult::Pass
        } else {
            SpfResult::Fail
        };
        assert_eq!(got, Some(want), "{mechanism}");
    }
}

#[tokio::test]
async fn what_was_found_for_a_domain_is_kept_for_an_hour() {
    tokio::time::pause();
    let evaluator = Evaluator::new(random);
    let one = Table::new("example.com TXT v=spf1 ip4:192.0.2.0/24 exists:%{i}.l.example.net -all");
    assert_eq!(
        found(&evaluator, &one, "192.0.2.7").await,
        Some(SpfResult::Pass)
    );
    assert_eq!(one.asked(), 3, "the record, and a name for each stranger");
    assert_eq!(
        found(&evaluator, &one, "192.0.2.8").await,
        Some(SpfResult::Pass)
    );
    assert_eq!(one.asked(), 4, "the record again");
    let all = Table::new("example.com TXT v=spf1 +all");
    tokio::time::advance(KEPT.saturating_sub(Duration::from_secs(1))).await;
    assert_eq!(
        found(&evaluator, &all, "192.0.2.9").await,
        Some(SpfResult::Pass)
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        found(&evaluator, &all, "192.0.2.9").await,
        Some(SpfResult::PassAny)
    );
    assert_eq!(
        found(&evaluator, &one, "192.0.2.9").await,
        Some(SpfResult::PassAny)
    );
}

#[tokio::test]
async fn without_random_numbers_nothing_passes() {
    let record = Table::new("example.com TXT v=spf1 ip4:192.0.2.7 -all");
    for random in [|| None, || Some(0_u128)] {
        let evaluator = Evaluator::new(random);
        assert_eq!(found(&evaluator, &record, "192.0.2.7").await, None);
        let other = found(&evaluator, &record, "192.0.2.8").await;
        assert_eq!(other, Some(SpfResult::Fail));
    }
}

/// Text of many parts, each made of its number.
fn many(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count)
        .map(part)
        .fold(String::new(), |all, one| all + &one)
}

/// Ten MX of ten hosts each.
fn hosts() -> String {
    let of_one = |n| {
        many(10, |host| {
            format!("m{n}.example.net MX h{n}x{host}.example.net\n")
        })
    };
    many(10, of_one) + "*.example.net A 198.51.100.7"
}

/// A record of 64 KB.
fn big(term: &str) -> String {
    let terms = term.repeat(65_000 / term.len());
    format!("example.com TXT v=spf1 {terms} -all")
}

/// Hostile records: their name, what is found for a client that none of them names, and after how many questions at
/// most.
type Hostile = (&'static str, String, Option<SpfResult>, usize);

/// Those with a great deal in them.
fn great() -> Vec<Hostile> {
    use SpfResult::{Fail, Permerror};
    let mx = many(10, |n| format!("mx:m{n}.example.net "));
    let mxs = format!("example.com TXT v=spf1 {mx}-all\n") + &hosts();
    let includes = many(10, |n| format!("include:i{n}.example.net "));
    let nested = format!("example.com TXT v=spf1 {includes}-all\n")
        + &many(10, |n| format!("i{n}.example.net TXT v=spf1 {mx}-all\n"))
        + &hosts();
    let chain = "example.com TXT v=spf1 include:i0.example.net -all\n".to_owned()
        + &many(20, |n| {
            format!(
                "i{n}.example.net TXT v=spf1 include:i{}.example.net -all\n",
                n + 1
            )
        });
    let pointers = many(100, |n| {
        format!("\n7.2.0.192.in-addr.arpa PTR p{n}.h.example.net")
    }) + "\n*.h.example.net A 198.51.100.7";
    let names = "example.com TXT v=spf1 exists:%{p}%{p}%{p}.example.net -all".to_owned();
    let macros = |term| big(term).replace("v=spf1 ", "v=spf1 exists:");
    vec![
        ("a chain", chain, Some(Permerror), 11),
        ("ten MX of ten hosts", mxs, None, 30),
        ("ten of that", nested, None, 30),
        ("names of the client", names + &pointers, Some(Fail), 13),
        ("64 KB of networks", big("ip4:198.51.100.7 "), Some(Fail), 1),
        ("64 KB of nothing", big("x"), Some(Permerror), 1),
        (
            "64 KB of one name",
            big("a:example.net "),
            Some(Permerror),
            2,
        ),
        ("64 KB of macros", macros("%{s}%{h}"), Some(Fail), 2),
        (
            "64 KB of names of the client",
            macros("%{p}") + &pointers,
            None,
            12,
        ),
        (
            "64 KB of explanation",
            big("ip4:198.51.100.7 ") + " exp=example.com",
            Some(Fail),
            2,
        ),
    ]
}

/// Short ones.
fn odd() -> Vec<Hostile> {
    use SpfResult::{Fail, None as Nothing, Permerror};
    let text = |term: &str| format!("example.com TXT v=spf1 {term} -all");
    let label = "a".repeat(200);
    vec![
        ("itself", text("include:example.com"), Some(Permerror), 1),
        (
            "by redirect",
            "example.com TXT v=spf1 redirect=example.com".to_owned(),
            Some(Permerror),
            1,
        ),
        (
            "voids",
            text("a:a.example.net a:b.example.net a:c.example.net"),
            Some(Permerror),
            4,
        ),
        (
            "no text",
            "example.com TXT \u{fffd}\u{fffd}".to_owned(),
            Some(Nothing),
            1,
        ),
        (
            "many macros",
            text("exists:%{s99r+-/=_.}.%{S}.%{h}.%{v}%{d}.%{o9}.example.net"),
            Some(Fail),
            2,
        ),
        (
            "a limit beyond all",
            text("exists:%{s1024}.example.net"),
            Some(Permerror),
            1,
        ),
        (
            "a limit of nothing",
            text("exists:%{s0}.example.net"),
            Some(Permerror),
            1,
        ),
        (
            "a long label",
            text(&format!("a:{label}.example.net")),
            Some(Fail),
            1,
        ),
        (
            "an odd name",
            text("a:foo:bar/baz.example.net"),
            Some(Fail),
            2,
        ),
        (
            "no ASCII",
            text("a:b\u{fc}cher.example.net"),
            Some(Permerror),
            1,
        ),
        ("silence", "example.com SILENT".to_owned(), None, 1),
    ]
}

#[tokio::test]
async fn hostile_records_end_within_the_limits() {
    tokio::time::pause();
    for (name, records, want, most) in great().into_iter().chain(odd()) {
        let (evaluator, table) = (Evaluator::new(random), Table::new(&records));
        let got = found(&evaluator, &table, "192.0.2.7").await;
        assert_eq!(got, want, "{name}");
        assert!(table.asked() <= most, "{name}: {} questions", table.asked());
    }
}

#[tokio::test]
async fn a_record_that_lets_anybody_pass_by_ipv6_alone_is_a_pass_by_ipv4() {
    let records = "example.com TXT v=spf1 ip4:192.0.2.0/24 ip6:0::/1 ip6:8000::/1 -all";
    for clients in [["192.0.2.7", "2001:db8::7"], ["2001:db8::7", "192.0.2.7"]] {
        let (evaluator, table) = (Evaluator::new(random), Table::new(records));
        for client in clients {
            let want = if client.contains(':') {
                SpfResult::PassAny
            } else {
                SpfResult::Pass
            };
            assert_eq!(
                found(&evaluator, &table, client).await,
                Some(want),
                "{clients:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_domain_is_silent_only_if_its_own_record_has_no_reply() {
    tokio::time::pause();
    let cases = [
        ("its record", "example.com SILENT", true),
        (
            "the client's reverse zone",
            "example.com TXT v=spf1 ptr -all\n7.2.0.192.in-addr.arpa SILENT",
            false,
        ),
        (
            "a name in the record",
            "example.com TXT v=spf1 a:mx.example.net -all\nmx.example.net SILENT",
            false,
        ),
    ];
    for (what, records, is_silent) in cases {
        let (evaluator, table) = (Evaluator::new(random), Table::new(records));
        let asked = question("192.0.2.7", "a@example.com");
        let answer = evaluator.evaluate(&asked, &table).await;
        let got = (answer.finding, answer.is_silent);
        assert_eq!(got, (Finding::NoAnswer, is_silent), "{what}");
    }
}
