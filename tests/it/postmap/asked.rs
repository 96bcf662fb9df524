//! The same table and the same keys for postmap and for stargrey.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use stargrey::config::Diagnostics;
use stargrey::config::tables::{self, TableFile};
use stargrey::policy::AccessTables;
use tempfile::TempDir;

use crate::support::machine::require_program;

/// Postfix's look-up program, where every distribution has it.
const POSTMAP: &str = "/usr/sbin/postmap";

/// Keys are bytes, so that subjects in UTF-8 are not looked at by Postfix.
const MAIN_CF: &str = "compatibility_level = 3.6\nsmtputf8_enable = no\n";

/// What one side makes of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What each key yields.
    pub(super) found: Vec<Option<String>>,
    /// The lines that something was said about.
    pub(super) refused: BTreeSet<u32>,
}

/// A directory for tables of a kind and keys.
#[derive(Debug)]
pub(super) struct Desk(TempDir, &'static str);

impl Desk {
    /// For tables of expressions.
    pub(super) fn new() -> Self {
        Self::of("regexp")
    }

    pub(super) fn of(kind: &'static str) -> Self {
        require_program(POSTMAP, "postfix");
        assert!(
            postmap_reads(kind),
            "Postfix has no {kind} tables: install Debian's postfix-{kind} with `make check-deps`"
        );
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("main.cf"), MAIN_CF).unwrap();
        Self(directory, kind)
    }

    /// Asks postmap. Keys are different from each other and without tabs and newlines.
    pub(super) fn postfix(&self, table: &[u8], keys: &[&[u8]]) -> Answer {
        let (path, input) = (self.0.path().join("table"), self.0.path().join("keys"));
        fs::write(&path, table).unwrap();
        // A text that was written a moment ago is read again a second later.
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let mut lines = keys.join(&b'\n');
        lines.push(b'\n');
        fs::write(&input, lines).unwrap();
        let output = Command::new(POSTMAP)
            .arg("-c")
            .arg(self.0.path())
            .args(["-q", "-"])
            .arg(format!("{}:{}", self.1, path.display()))
            .stdin(Stdio::from(File::open(&input).unwrap()))
            .output()
            .unwrap();
        let mut found = vec![None; keys.len()];
        let mut at = 0;
        for line in output.stdout.split(|byte| *byte == b'\n') {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
                assert!(line.is_empty(), "{line:?}");
                continue;
            };
            while keys[at] != &line[..tab] {
                at += 1;
            }
            found[at] = Some(with_blanks(&line[tab + 1..]));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let refused = said.lines().map(|line| {
            let number = line.split(", line ").nth(1).map(|rest| {
                let end = rest.find(':').unwrap();
                rest[..end].parse().unwrap()
            });
            number.unwrap_or(0)
        });
        // What has no number belongs to a line that has one, or to the first.
        let mut refused: BTreeSet<u32> = refused.collect();
        if refused.remove(&0) && said.contains("must not start with whitespace") {
            refused.insert(1);
        }
        Answer { found, refused }
    }

    /// Asks stargrey.
    pub(super) fn stargrey(&self, table: &[u8], keys: &[&[u8]]) -> Answer {
        let (tables, findings) = self.loaded(table);
        // Postfix warns of a key that it takes, too; but it does not know that the keys are those of clients.
        let warnings = findings.warnings.iter().map(ToString::to_string);
        let warnings = warnings.filter(|text| {
            self.1 == "texthash" && !text.contains("never matches: a key is a host name")
        });
        let errors = findings.errors.iter().map(ToString::to_string);
        let refused = errors.chain(warnings).map(|text| {
            let number = text.split("/table:").nth(1).unwrap();
            number[..number.find(':').unwrap()].parse().unwrap()
        });
        let refused = refused.collect();
        let found = keys.iter().map(|key| {
            let found = tables.lookup(0, key)?;
            Some(shown(found.raw_text().trim_ascii_end()))
        });
        let found = found.collect();
        Answer { found, refused }
    }

    /// Whether stargrey refuses a line for this reason.
    pub(super) fn refuses(&self, table: &[u8], reason: &str) -> bool {
        let (_, findings) = self.loaded(table);
        let mut all = findings.errors.iter().map(ToString::to_string);
        all.any(|error| error.contains(reason))
    }

    /// The table of stargrey.
    pub(super) fn tables(&self, table: &[u8]) -> AccessTables {
        self.loaded(table).0
    }

    /// The table, and what stargrey says about it.
    fn loaded(&self, table: &[u8]) -> (AccessTables, Diagnostics) {
        let path = self.0.path().join("table");
        fs::write(&path, table).unwrap();
        let file = TableFile::parse(&format!("{}:{}", self.1, path.display())).unwrap();
        tables::load(&[file], &[])
    }

    /// Fails, with what shows the difference, unless both answer alike.
    pub(super) fn compare(&self, name: &str, table: &[u8], keys: &[&[u8]]) -> Answer {
        let (theirs, ours) = (self.postfix(table, keys), self.stargrey(table, keys));
        let shown_table = shown(table);
        assert_eq!(
            ours.refused, theirs.refused,
            "lines refused by us and by Postfix, {name}:\n{shown_table}"
        );
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(
                ours.found[number],
                theirs.found[number],
                "found by us and by Postfix for {:?}, {name}:\n{shown_table}",
                shown(key)
            );
        }
        ours
    }
}

/// Whether Postfix is there with this kind of table.
fn postmap_reads(kind: &str) -> bool {
    let kinds = Command::new("/usr/sbin/postconf")
        .arg("-m")
        .output()
        .unwrap();
    let mut kinds = kinds.stdout.split(|byte| *byte == b'\n');
    kinds.any(|known| known == kind.as_bytes())
}

/// A result as it is answered: white space as blanks, of which none is at the end.
fn with_blanks(bytes: &[u8]) -> String {
    let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
    shown(bytes).replace(is_space, " ").trim_end().to_owned()
}

/// Bytes one by one as characters, so that none is lost.
pub(super) fn shown(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
