//! Tables of networks, of keys and of Perl's expressions, asked of postmap and of stargrey.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use stargrey::config::tables::{self, TableFile};

use crate::postgrey::random::Random;

use super::asked::{Desk, shown};
use super::{hosts, written};

/// How many tables are made of a kind.
const TABLES: u64 = 120;

/// Addresses that tables are made of, and asked for.
const ADDRESSES: &[&str] = &[
    "192.0.2.1",
    "192.0.2.0",
    "192.0.2.128",
    "192.0.3.0",
    "192.0.0.0",
    "0.0.0.0",
    "255.255.255.255",
    "198.51.100.7",
    "2001:db8::",
    "2001:db8::1",
    "2001:DB8:0:1::",
    "2001:db8:0:1:0:0:0:5",
    "::",
    "::1",
    "::ffff:192.0.2.1",
    "fe80::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Texts that are no address, or none that is meant.
const BAD_ADDRESSES: &[&str] = &[
    "192.0.2",
    "192.0.2.256",
    "192.0.02.1",
    "2001:db8",
    "x",
    "1.2.3.4.5",
    ":::",
    "/8",
    "mx.example",
];

const KEYS: &[&str] = &[
    "example.com",
    "EXAMPLE.com",
    "mx.example.com",
    ".example.com",
    "com",
    "192.0.2.1",
    "192.0.2",
    "192",
    "2001:db8",
    "2001:db8:",
    "2001:DB8::1",
    "unknown",
    "a\\ b",
    "\"a b\"",
    "\"a",
    "key:",
    "a\"b\"",
    "!x",
    "if",
    "endif",
    "/x/",
];

const LENGTHS: &[&str] = &[
    "", "", "", "/32", "/24", "/16", "/25", "/0", "/1", "/128", "/64", "/48", "/33", "/129", "/",
    "/x", "/024",
];

const SPACE: &[&str] = &[" ", "  ", "\t", " \t"];

fn network(random: &mut Random) -> String {
    let address = if random.percent(8) {
        random.pick(BAD_ADDRESSES)
    } else {
        random.pick(ADDRESSES)
    };
    let length = random.pick(LENGTHS);
    match random.below(12) {
        0 => format!("[{address}]{length}"),
        1 => format!("[{address}{length}]"),
        2 if random.percent(30) => format!("[{address}{length}"),
        3 if random.percent(30) => format!("[{address}]x"),
        _ => format!("{address}{length}"),
    }
}

/// A table of networks; the result of every line is its number.
fn networks(random: &mut Random) -> String {
    let mut table = String::new();
    for number in 1..=1 + random.below(9) {
        let negation = random.pick(&["", "", "", "", "!", "! ", "!!", "! !"]);
        let network = network(random);
        let space = random.pick(SPACE);
        let line = match random.below(14) {
            0..=2 => format!("{}{space}{negation}{network}", random.pick(&["if", "IF"])),
            3..=5 => (*random.pick(&["endif", "ENDIF ", "endif x"])).to_owned(),
            6 if random.percent(30) => format!("{negation}{network}"),
            7 => format!("{negation}{network}\n  OK $1 {number}"),
            8 if random.percent(30) => format!("  {network} OK {number}"),
            9 if random.percent(30) => "if".to_owned(),
            _ => format!("{negation}{network}{space}OK {number} $1 $"),
        };
        writeln!(table, "{line}").unwrap();
    }
    table
}

/// A table of keys.
fn keys(random: &mut Random) -> String {
    let mut table = String::new();
    for number in 1..=1 + random.below(9) {
        let (key, space) = (random.pick(KEYS), random.pick(SPACE));
        let line = match random.below(12) {
            0 if random.percent(40) => (*key).to_owned(),
            1 => format!("{key}\n\tOK {number}"),
            2 => format!("# {key} OK {number}"),
            _ => format!("{key}{space}REJECT {number} $1 ${{x}}"),
        };
        writeln!(table, "{line}").unwrap();
    }
    table
}

#[test]
fn tables_of_networks_yield_what_postmap_finds() {
    let desk = Desk::of("cidr");
    let mut random = Random::seeded(1);
    let mut asked: Vec<String> = ADDRESSES
        .iter()
        .chain(BAD_ADDRESSES)
        .map(ToString::to_string)
        .collect();
    for address in [
        "192.0.2.77",
        "192.0.2.200",
        "192.1.2.3",
        "10.0.0.1",
        "2001:db8::77",
        "2001:db9::1",
        "8000::",
    ] {
        asked.push(address.to_owned());
    }
    for _ in 0..40 {
        let bits = u32::try_from(random.below(1 << 32)).unwrap();
        asked.push(Ipv4Addr::from_bits(bits).to_string());
    }
    compare(&desk, networks, &asked, &mut random, 500);
}

#[test]
fn tables_of_keys_yield_what_postmap_finds() {
    let mut asked: Vec<String> = KEYS.iter().map(ToString::to_string).collect();
    asked.extend(["Example.COM", "a b", "\"", "net", "2001:db8::1"].map(str::to_owned));
    let desk = Desk::of("texthash");
    compare(&desk, keys, &asked, &mut Random::seeded(2), 300);
}

/// Compares tables that `make` makes; at least so many answers must be found, and something refused.
fn compare(
    desk: &Desk,
    make: impl Fn(&mut Random) -> String,
    asked: &[String],
    random: &mut Random,
    least: usize,
) {
    let asked: Vec<&[u8]> = asked.iter().map(String::as_bytes).collect();
    let (mut found, mut refused) = (0, 0);
    for number in 0..TABLES {
        let table = make(random);
        let answer = desk.compare(&format!("table {number}"), table.as_bytes(), &asked);
        found += answer.found.iter().flatten().count();
        refused += answer.refused.len();
    }
    assert!(found > least && refused > 20, "{found} {refused}");
}

/// What `check_client_access` looks up in a `hash:` table, one key after the other (`smtpd_check.c`), whichever way
/// `parent_domain_matches_subdomains` is set.
fn client_keys(name: &str, address: &str) -> Vec<String> {
    let mut keys = vec![name.to_owned()];
    for (dot, _) in name.match_indices('.').filter(|(at, _)| *at > 0) {
        keys.push(name[dot..].to_owned());
        keys.push(name[dot + 1..].to_owned());
    }
    let delimiter = if address.contains(':') { ':' } else { '.' };
    let mut rest = address;
    keys.push(rest.to_owned());
    while let Some((before, _)) = rest.rsplit_once(delimiter) {
        keys.push(before.to_owned());
        rest = before;
    }
    keys.retain(|key| !key.is_empty());
    keys
}

#[test]
fn a_client_is_looked_up_by_its_name_the_domains_above_it_its_address_and_what_begins_that() {
    let desk = Desk::of("texthash");
    let clients = [
        ("mx.example.com", "192.0.2.1"),
        ("MX.Example.COM", "192.0.2.1"),
        ("a.b.example.com", "198.51.100.7"),
        ("example.com", "192.0.2.1"),
        ("unknown", "192.0.2.9"),
        ("unknown", "2001:db8::1"),
        ("mx.example.net", "2001:db8:0:1::5"),
        ("localhost", "127.0.0.1"),
    ];
    let mut random = Random::seeded(3);
    let mut decided = 0;
    for _ in 0..TABLES {
        let table = keys(&mut random);
        let tables = desk.tables(table.as_bytes());
        for (name, address) in clients {
            let asked = client_keys(&name.to_ascii_lowercase(), address);
            let bytes: Vec<&[u8]> = asked.iter().map(String::as_bytes).collect();
            let want = desk.postfix(table.as_bytes(), &bytes).found;
            let want = want.into_iter().flatten().next();
            let found = tables.find(name.as_bytes(), address.as_bytes());
            let found = found.map(|found| shown(found.raw_text().trim_ascii_end()));
            assert_eq!(found, want, "{name} {address}:\n{table}");
            decided += usize::from(want.is_some());
        }
    }
    assert!(decided > 100, "{decided}");
}

#[test]
fn tables_of_perls_expressions_yield_what_postmap_finds() {
    let desk = Desk::of("pcre");
    let hosts = hosts::all();
    let asked: Vec<&[u8]> = hosts.iter().map(Vec::as_slice).collect();
    for (name, table) in written::PERL_TABLES {
        let answer = desk.compare(name, table.as_bytes(), &asked);
        assert!(answer.refused.is_empty(), "{name}: {:?}", answer.refused);
    }
    for (line, table) in written::BAD_PERL_LINES {
        let answer = desk.compare(table, table.as_bytes(), &asked[..10]);
        assert!(answer.refused.contains(line), "{table}");
    }
}

#[test]
fn the_lines_of_perls_expressions_are_read() {
    let desk = Desk::of("pcre");
    let hosts = hosts::all();
    for (name, table) in written::PERL_TABLES {
        let asked: Vec<&[u8]> = hosts.iter().map(Vec::as_slice).collect();
        let answer = desk.stargrey(table.as_bytes(), &asked);
        assert!(answer.refused.is_empty(), "{name}: {:?}", answer.refused);
        assert!(answer.found.iter().flatten().count() > 10, "{name}");
    }
    for (line, table) in written::BAD_PERL_LINES {
        let answer = desk.stargrey(table.as_bytes(), &[]);
        assert!(answer.refused.contains(line), "{table}");
    }
}

#[test]
fn tables_of_all_kinds_are_asked_in_the_order_given() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let files = [
        format!(
            "cidr:{}",
            file("cidr", "192.0.2.0/28 DUNNO\n192.0.2.0/24 OK cidr\n")
        ),
        format!(
            "texthash:{}",
            file(
                "texthash",
                "example.com OK texthash\n192.0.2 REJECT texthash\n"
            )
        ),
        format!(
            "pcre:{}",
            file("pcre", "/^\\d+\\.example\\.net$/ REJECT pcre\n")
        ),
        file("regexp", "/example/ OK regexp\n"),
    ]
    .map(|text| TableFile::parse(&text).unwrap());
    let (tables, findings) = tables::load(&files, &[]);
    assert_eq!((findings.errors, findings.warnings), (vec![], vec![]));
    let cases = [
        ("mx.example.org", "192.0.2.77", Some(("OK cidr", 2))),
        ("mx.example.org", "192.0.2.7", Some(("REJECT texthash", 2))),
        ("mx.example.com", "192.0.2.7", Some(("OK texthash", 1))),
        ("77.example.net", "198.51.100.7", Some(("REJECT pcre", 1))),
        ("mx.example.net", "198.51.100.7", Some(("OK regexp", 1))),
        ("unknown", "198.51.100.7", None),
    ];
    for (name, address, want) in cases {
        let found = tables.find(name.as_bytes(), address.as_bytes());
        let found = found.map(|found| {
            let line = tables.entries().get(found.entry).unwrap().line().unwrap();
            (found.text(), line)
        });
        let want = want.map(|(text, line): (&str, u32)| (text.to_owned(), line));
        assert_eq!(found, want, "{name} {address}");
    }
}
