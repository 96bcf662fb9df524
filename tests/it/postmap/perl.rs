//! Perl's expressions, asked of Perl itself and of stargrey: they must match the same names, with the same groups.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use stargrey::config::Diagnostics;
use stargrey::config::tables::{self, TableFile};
use stargrey::policy::AccessTables;

use crate::postgrey::random::Random;

use super::hosts;

/// How many expressions are made, and how many names each is asked for.
const EXPRESSIONS: usize = 3000;
const NAMES: usize = 60;

/// Reads expressions and names. For each expression it writes a line: `-` if it means nothing, else for each name `0`,
/// or `1` and what the first group holds.
const SCRIPT: &str = r#"
no warnings;
open my $names, '<', $ARGV[1] or die; chomp(my @names = <$names>);
open my $all, '<', $ARGV[0] or die;
while (my $text = <$all>) {
    chomp $text;
    my $re = eval { qr/(?^ais:$text)/ };
    if (!defined $re) { print "-\n"; next; }
    print join(' ', map { $_ =~ $re ? "1<" . ($1 // '') . ">" : '0' } @names), "\n";
}
"#;

/// Parts of expressions.
const ATOMS: &[&str] = &[
    "a",
    "b",
    "m",
    "x",
    "1",
    "2",
    "-",
    ".",
    "\\.",
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\h",
    "\\-",
    "\\x61",
    "\\x{62}",
    "[0-9]",
    "[a-c]",
    "[^.]",
    "[^a-z]",
    "[\\d.-]",
    "[\\w-]",
    "[[:alpha:]]",
    "[^[:digit:]-]",
    "[[:^upper:]]",
    "[]a]",
    "[a&&b]",
    "[[a]",
    "[\\x30-9]",
    "mail",
    "example",
    "dsl",
    "@",
    "#",
    "%",
    "(?i:a)",
    "(?-i:B)",
    "(?-i)c",
    "(?#x)",
    "\\N",
];

const ANCHORS: &[&str] = &["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z"];

const REPEATS: &[&str] = &[
    "*", "+", "?", "{2}", "{1,2}", "{1,}", "*?", "+?", "??", "{1,3}?",
];

/// Parts that mean nothing now and then.
const ODD: &[&str] = &[
    "(",
    ")",
    "*",
    "[",
    "]",
    "[b-a]",
    "}",
    "|",
    "(?:",
    "[[:nope:]]",
    "(?",
    "[\\d-z]",
];

fn expression(random: &mut Random, depth: u32) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        match random.below(20) {
            0 | 1 => text.push_str(random.pick::<&str>(ANCHORS)),
            2 | 3 if depth < 3 => {
                let open = random.pick(&["(", "(", "(?:", "(?<n>", "(?i:", "(?-i:"]);
                // A name only once.
                let open = if depth > 0 && open.contains('<') {
                    "("
                } else {
                    open
                };
                let (one, two) = (expression(random, depth + 1), expression(random, depth + 1));
                let inside = if random.percent(40) {
                    format!("{one}|{two}")
                } else {
                    one
                };
                write!(text, "{open}{inside})").unwrap();
                if random.percent(30) {
                    text.push_str(random.pick::<&str>(REPEATS));
                }
            }
            4 if random.percent(10) => text.push_str(random.pick::<&str>(ODD)),
            _ => {
                text.push_str(random.pick::<&str>(ATOMS));
                if random.percent(25) {
                    text.push_str(random.pick::<&str>(REPEATS));
                }
            }
        }
    }
    text
}

#[test]
fn perl_matches_the_same_names_with_the_same_groups() {
    let mut random = Random::seeded(7);
    let expressions: Vec<String> = (0..EXPRESSIONS)
        .map(|_| expression(&mut random, 0))
        .collect();
    let is_plain = |name: &&Vec<u8>| name.iter().all(|byte| (b' '..=b'~').contains(byte));
    let all: Vec<Vec<u8>> = hosts::all().iter().filter(is_plain).cloned().collect();
    let mut names: Vec<&[u8]> = (0..NAMES)
        .map(|n| all[n * all.len() / NAMES].as_slice())
        .collect();
    names.extend([
        &b"a"[..],
        b"ab",
        b"a.b",
        b"mail1",
        b"MAIL-2.example",
        b"{,2}",
        b"a#b%@",
    ]);
    let theirs = asked_of_perl(&expressions, &names);
    assert_eq!(theirs.len(), EXPRESSIONS);
    let (mut compared, mut matched, mut refused, mut grouped) = (0, 0, 0, 0);
    for (text, theirs) in expressions.iter().zip(&theirs) {
        let delimiter = ['~', '\'', '"', '`']
            .into_iter()
            .find(|c| !text.contains(*c))
            .unwrap();
        let read = |result: &str| {
            let (mut tables, mut findings) = (AccessTables::default(), Diagnostics::default());
            let line = format!("{delimiter}{text}{delimiter} {result}\n");
            let file = TableFile::parse("pcre:table").unwrap();
            tables::add(&mut tables, &file, line.as_bytes(), &[], &mut findings);
            findings.errors.is_empty().then_some(tables)
        };
        let Some(plain) = read("OK") else {
            refused += 1;
            continue;
        };
        assert_ne!(theirs, "-", "Perl refuses {text}");
        let with_group = read("REJECT <$1>");
        for (name, theirs) in names.iter().zip(fields(theirs)) {
            let shown = name.escape_ascii();
            compared += 1;
            let found = plain.lookup(0, name).is_some();
            assert_eq!(found, theirs != "0", "{text} {shown}");
            matched += usize::from(found);
            if let Some(tables) = &with_group {
                let group = tables.lookup(0, name).map(|found| found.raw_text());
                let group = group.map(|text| String::from_utf8(text[7..].to_vec()).unwrap());
                let want = theirs.strip_prefix('1').map(str::to_owned);
                assert_eq!(group, want, "{text} {shown}");
                grouped += usize::from(want.is_some());
            }
        }
    }
    assert!(
        compared > 100_000 && matched > 10_000 && grouped > 1000,
        "{compared} {matched} {grouped}"
    );
    assert!(refused < EXPRESSIONS / 4, "{refused}");
}

/// The fields of a line; a group has blanks in it at times.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let length = if rest.starts_with('0') {
            1
        } else {
            rest.find("> ").map_or(rest.len(), |at| at + 1)
        };
        fields.push(&rest[..length]);
        rest = rest[length..].trim_start_matches(' ');
    }
    fields
}

fn asked_of_perl(expressions: &[String], names: &[&[u8]]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let (all, asked) = (
        directory.path().join("expressions"),
        directory.path().join("names"),
    );
    fs::write(&all, expressions.join("\n") + "\n").unwrap();
    let mut lines = names.join(&b'\n');
    lines.push(b'\n');
    fs::write(&asked, lines).unwrap();
    let output = Command::new("perl")
        .args(["-e", SCRIPT])
        .arg(&all)
        .arg(&asked)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
