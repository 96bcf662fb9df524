//! The manual pages and the program say the same.
//!
//! The pages are written by hand. What is a list in the program (options, reasons, fields, exit
//! statuses, limits, the state table) is a list in the page, and here the two are compared. The
//! examples of the pages are given to the program.

mod manual;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::{ArgAction, Command as Definition, CommandFactory};
use stargrey::api::MOST_ROWS;
use stargrey::config::MAX_LIST_BYTES;
use stargrey::control::MOST_ENTRIES;
use stargrey::ctl;
use stargrey::ctl::options::{self as postgrey, Argument, Mapping};
use stargrey::daemon::exit;
use stargrey::frontend::{IDLE_SECONDS, PARTIAL_REQUEST_SECONDS};
use stargrey::lookup::{
    MOST_CACHED, MOST_DESCRIPTORS, MOST_OF_ZONE, MOST_SPF_DESCRIPTORS, MOST_UNDER_WAY,
};
use stargrey::policy::pattern::ClientPattern;
use stargrey::policy::{ClientList, Entry, ListName, MOST_SITES, Reason, s25r};
use stargrey::protocol::policy::{MAX_ATTRIBUTES, MAX_LINE, MAX_REQUEST};
use stargrey::service::journal;
use stargrey::types::ClientIp;

use manual::{display, files_shown, recipes, source};

/// What stands between the heading of a section and the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n.Sh {heading}\n"))
        .unwrap_or_else(|| panic!("the page has no section {heading}"));
    rest.split("\n.Sh ").next().expect("a first part")
}

/// What stands between the heading of a subsection and the next one.
fn subsection<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n.Ss {heading}\n"))
        .unwrap_or_else(|| panic!("the page has no subsection {heading}"));
    let rest = rest.split("\n.Sh ").next().expect("a first part");
    rest.split("\n.Ss ").next().expect("a first part")
}

/// The items of all lists in a section: what stands behind `.It`, and the lines below it.
fn items(section: &str) -> Vec<(&str, &str)> {
    section
        .split("\n.It ")
        .skip(1)
        .map(|item| item.split_once('\n').expect("an item has text"))
        .collect()
}

/// The program's output for these arguments.
fn stargreyd(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
        .args(arguments)
        .env_remove("POSTGREY_TEXT")
        .output()
        .expect("stargreyd runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// Names of an option, and its default.
type Options = BTreeMap<String, Option<String>>;

/// The options as `--help` shows them.
fn options_of_help(help: &str) -> Options {
    let mut entries: Vec<String> = Vec::new();
    let mut inside = false;
    for line in help.lines() {
        let text = line.trim();
        if text.starts_with('-') && line.starts_with(' ') {
            entries.push(text.to_owned());
            inside = true;
        } else if text.is_empty() {
            inside = false;
        } else if let (true, Some(entry)) = (inside, entries.last_mut()) {
            entry.push(' ');
            entry.push_str(text);
        }
    }
    entries.iter().map(|entry| option_of_help(entry)).collect()
}

/// `-u, --unix <PATH>  Listen on … [default: …]` taken apart.
fn option_of_help(entry: &str) -> (String, Option<String>) {
    let names: Vec<&str> = entry
        .split_whitespace()
        .take_while(|word| word.starts_with('-'))
        .map(|word| {
            let name = word.trim_end_matches(',');
            name.split(['=', '[']).next().expect("a first part")
        })
        .collect();
    let default = entry
        .split_once("[default: ")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(default, _)| default.trim_matches('"').replace('`', ""));
    (names.join(" "), default)
}

/// The options as the manual page shows them.
fn options_of_page(page: &str) -> Options {
    items(section(page, "OPTIONS"))
        .into_iter()
        .map(|(head, text)| {
            let mut words = head.split_whitespace();
            let mut names = Vec::new();
            while words.by_ref().any(|word| word == "Fl") {
                let name = words.next().expect("Fl has an argument");
                names.push(format!("-{name}"));
            }
            let default = text
                .lines()
                .find_map(|line| line.strip_prefix("Default: "))
                .map(|default| {
                    let default = default.strip_suffix('.').expect("a full stop");
                    default.to_owned()
                });
            (names.join(" "), default)
        })
        .collect()
}

#[test]
fn every_option_and_its_default_is_in_the_manual_page_and_no_other() {
    let want = options_of_help(&stargreyd(&["--help"]));
    let got = options_of_page(&source("man/stargreyd.8"));
    assert!(want.len() > 30, "--help was not understood: {want:?}");
    assert_eq!(got, want);
}

#[test]
fn every_reason_is_explained_as_in_the_program_and_no_other() {
    let page = source("man/stargreyd.8");
    let rows = items(section(&page, "DIAGNOSTICS"))
        .into_iter()
        .filter_map(|(head, text)| Some((head.strip_prefix("Cm ")?, text)));
    let mut got = Vec::new();
    for (word, text) in rows {
        let (shown, explained) = text.split_once("\n.br\n").expect("two parts");
        let shown = shown.strip_prefix(".Ql ").expect("a wording");
        // The page shows what the log adds to the wording: a name, a number.
        let wording = shown.split([':', '(']).next().expect("a first part").trim();
        got.push((word, wording));
        let meaning = Reason::from_word(word).expect("a reason").text().meaning;
        let explained = explained.replace('\n', " ").to_lowercase();
        let rest = explained.strip_prefix(&meaning.to_lowercase());
        assert!(
            rest.is_some_and(|rest| rest.starts_with(['.', ',', ';', ':', ' '])),
            "{word} is explained by {explained:?}, not by {meaning:?}"
        );
    }
    let want = Reason::ALL.map(|reason| (reason.word(), reason.text().log_text));
    assert_eq!(got, want);
}

#[test]
fn every_journal_field_is_explained_and_no_other() {
    let page = source("man/stargreyd.8");
    let got: Vec<&str> = items(section(&page, "LOG FORMAT"))
        .into_iter()
        .filter_map(|(head, _)| head.strip_prefix("Ev "))
        .collect();
    assert_eq!(got, journal::FIELDS);
}

#[test]
fn every_exit_status_is_explained_and_no_other() {
    let page = source("man/stargreyd.8");
    let got: Vec<&str> = items(section(&page, "EXIT STATUS"))
        .into_iter()
        .map(|(head, _)| head)
        .collect();
    let want: Vec<String> = exit::ALL
        .iter()
        .map(|(status, name)| format!("{status} Pq Dv {name}"))
        .collect();
    assert_eq!(got, want);
}

#[test]
fn the_limits_of_the_manual_page_are_those_of_the_program() {
    let page = source("man/stargreyd.8");
    let got: BTreeMap<&str, &str> = items(section(&page, "LIMITS"))
        .into_iter()
        .map(|(head, text)| (head, text.lines().next().expect("a line")))
        .collect();
    let want = [
        ("Line of a request", format!("{MAX_LINE} bytes")),
        ("Attributes of a request", MAX_ATTRIBUTES.to_string()),
        ("Request", format!("{MAX_REQUEST} bytes")),
        (
            "Half-sent request",
            format!("dropped after {PARTIAL_REQUEST_SECONDS} seconds"),
        ),
        (
            "Idle connection",
            format!("closed after {IDLE_SECONDS} seconds."),
        ),
        ("List file", format!("{} MiB", MAX_LIST_BYTES >> 20)),
        ("Rows in a call over D-Bus", MOST_ROWS.to_string()),
        ("Entries that were added", MOST_ENTRIES.to_string()),
        (
            "Concurrent lookups",
            format!("{MOST_UNDER_WAY}, and {MOST_OF_ZONE} for each zone;"),
        ),
        ("Cached lookups", MOST_CACHED.to_string()),
        ("Sites of Fl -dnsbl-sites", MOST_SITES.to_string()),
    ];
    for (limit, want) in want {
        assert_eq!(got.get(limit), Some(&want.as_str()), "{limit}");
    }
    let want = format!(
        ".Fl -dnsbl-sites\ntakes another {MOST_DESCRIPTORS} of the limit and\n.Fl -spf\n{MOST_SPF_DESCRIPTORS},"
    );
    assert!(page.contains(&want), "Connections");
}

/// The rows of the table in a doc comment, without heading and markup.
fn rows_of_comment(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("//! |")?.strip_suffix('|'))
        .skip(2)
        .map(|row| cells(&row.replace('`', "")))
        .collect()
}

/// The rows of a tbl(1) table, without heading and text blocks.
fn rows_of_page(page: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once("\n.TS\n").expect("a table begins");
    let (table, _) = rest.split_once("\n.TE\n").expect("a table ends");
    let (_, rows) = table.split_once(".\n").expect("the layout ends");
    rows.replace("T{\n", "")
        .replace("\nT}", "")
        .lines()
        .skip(1)
        .map(cells)
        .collect()
}

fn cells(row: &str) -> Vec<String> {
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn the_state_table_of_the_manual_page_is_the_one_in_the_source() {
    let got = rows_of_page(subsection(&source("man/stargreyd.8"), "The triplet"));
    let want = rows_of_comment(&source("src/policy/greylist.rs"));
    assert_eq!(want.len(), 7, "{want:?}");
    assert_eq!(got, want);
}

#[test]
fn the_table_of_sleeps_in_the_manual_page_is_the_one_in_the_source() {
    let got = rows_of_page(subsection(&source("man/stargreyd.8"), "The tarpit"));
    let want = rows_of_comment(&source("src/policy/tarpit.rs"));
    assert_eq!(want.len(), 9, "{want:?}");
    assert_eq!(got, want);
}

#[test]
fn every_rule_of_s25r_has_an_example_that_it_hits_first() {
    let page = source("man/stargreyd.8");
    let got: Vec<Option<u8>> = items(subsection(&page, "S25R"))
        .into_iter()
        .map(|(rule, text)| {
            // What follows the list belongs to no rule.
            let text = text.split("\n.El").next().unwrap_or_default();
            let mut names = text.lines().filter_map(|line| line.strip_prefix(".Ql "));
            let name = names
                .next_back()
                .unwrap_or("unknown .")
                .trim_end_matches(" .");
            let found = s25r::find(name.as_bytes(), s25r::Rules::Extended).rule();
            assert_eq!(found, rule.parse().ok(), "{name}");
            found
        })
        .collect();
    assert_eq!(got, (0..=7).map(Some).collect::<Vec<_>>());
}

#[test]
fn every_exception_from_s25r_has_an_example_that_needs_it() {
    let list = source("src/lists/s25r_exceptions");
    let entries = list.lines().filter(|line| !line.starts_with('#'));
    let mut known = 0;
    for line in entries.filter(|line| !line.is_empty()) {
        let (entry, comment) = line.split_once('#').expect("a comment");
        let (rule, name) = comment.split_once(": ").expect("a rule and a name");
        let pattern = ClientPattern::parse(entry.trim()).expect("an entry");
        let added = Entry::in_file(&Path::new("list").into(), 1, entry);
        let list = ClientList::new(vec![(pattern, added)]).expect("a list");
        let address = ClientIp::parse(b"192.0.2.7").expect("an address");
        assert!(list.find(name.as_bytes(), address).is_some(), "{line}");
        let rule = rule.trim().strip_prefix("rule ").expect("a rule");
        assert_eq!(s25r::rule(name.as_bytes()), rule.parse().ok(), "{line}");
        known += 1;
    }
    assert!(known > 10, "{known}");
}

/// Whether the program finds nothing wrong with these options.
fn check(options: &[String]) {
    let mut arguments: Vec<&str> = options.iter().map(String::as_str).collect();
    arguments.extend(["--check", "--user=root", "--group=root"]);
    stargreyd(&arguments);
}

#[test]
fn the_examples_of_lists_are_lists() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = source("man/stargrey-lists.5");
    let mut options = vec!["--s25r".to_owned()];
    for (name, text) in files_shown(section(&page, "EXAMPLE LISTS"), "/etc/stargrey") {
        let file = directory.path().join(&name);
        fs::write(&file, text).expect("the file is written");
        let list = name.strip_suffix(".local").expect("an own list");
        options.push(format!("--{}={}", list.replace('_', "-"), file.display()));
    }
    assert_eq!(options.len(), 5, "{options:?}");
    check(&options);
}

#[test]
fn the_example_of_a_table_is_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = source("man/stargrey-access.5");
    let (_, text) = section(&page, "EXAMPLE TABLE")
        .split_once("\n.Bd -literal")
        .expect("an example");
    let file = directory.path().join("table");
    fs::write(&file, display(text)).expect("the file is written");
    check(&[format!("--client-access={}", file.display())]);
}

#[test]
fn the_examples_of_tables_for_messages_are_tables() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = source("man/stargrey-checks.5");
    let mut options = Vec::new();
    for (name, text) in files_shown(section(&page, "EXAMPLE TABLES"), "/etc/stargrey") {
        let file = directory.path().join(&name);
        fs::write(&file, text).expect("the file is written");
        options.push(format!("--{}={}", name.replace('_', "-"), file.display()));
    }
    assert_eq!(options.len(), 2, "{options:?}");
    check(&options);
}

#[test]
fn the_differences_from_postfixs_tables_are_those_that_a_test_knows() {
    let page = source("man/stargrey-access.5");
    let (_, list) = page.split_once("\n.\\\" DIFFERENCES").expect("a list");
    let (list, _) = list.split_once("\n.El\n.\\\" END").expect("its end");
    let shown: Vec<String> = list
        .split("\n.It\n")
        .skip(1)
        .map(|item| item.replace('\n', " ").to_lowercase())
        .collect();
    let known = source("tests/it/postmap/departures.rs");
    let known: Vec<String> = known
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","))
        .map(|name| format!("{}.", name.to_lowercase()))
        .collect();
    assert!(known.len() > 20, "{known:?}");
    assert_eq!(shown, known);
}

/// Where Debian's milter-greylist has its file.
const GREYLIST_CONF: &str = "/etc/milter-greylist/greylist.conf";

/// The file that stargrey-access-lists(5) shows.
fn example_of_access_lists() -> String {
    let page = source("man/stargrey-access-lists.5");
    let (_, text) = page
        .split_once("\n.Bd -literal -offset indent")
        .expect("an example");
    display(text)
}

#[test]
fn the_example_of_access_lists_has_no_error_and_no_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("greylist.conf");
    fs::write(&file, example_of_access_lists()).expect("the file is written");
    let option = format!("--greylist-conf={}", file.display());
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
        .args([&option, "--check", "--user=root", "--group=root"])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("greylist.conf"), "{said}");
}

/// An item of a page as a sentence without macros.
fn plain(item: &str) -> String {
    const MACROS: [&str; 7] = ["Ar", "Cm", "Fl", "Ns", "Ql", "Sy", "Xr"];
    let words = item
        .lines()
        .flat_map(|line| line.trim_start_matches('.').split_whitespace());
    let words: Vec<&str> = words.filter(|word| !MACROS.contains(word)).collect();
    words
        .join(" ")
        .replace(" ,", ",")
        .replace(" :", ":")
        .replace(" .", ".")
}

#[test]
fn the_differences_from_milter_greylist_are_those_that_a_test_knows() {
    let page = source("man/stargrey-access-lists.5");
    let differences = section(&page, "DIFFERENCES FROM MILTER-GREYLIST");
    let (list, _) = differences.split_once("\n.El").expect("its end");
    let shown: Vec<String> = list.split("\n.It\n").skip(1).map(plain).collect();
    let known = source("tests/it/access_list_differences.rs");
    let known: Vec<String> = known
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","))
        .map(|name| format!("{name}: "))
        .collect();
    assert!(known.len() > 10, "{known:?}");
    assert_eq!(shown.len(), known.len(), "{shown:#?}");
    for (shown, known) in shown.iter().zip(&known) {
        let reason = shown.strip_prefix(known.as_str());
        let reason = reason.unwrap_or_else(|| panic!("{known}: {shown}"));
        assert!(reason.len() > 10 && reason.ends_with('.'), "{shown}");
    }
}

/// The bare words of a line of greylist.conf: no texts, expressions, arguments or names of facilities.
fn keywords(line: &str) -> BTreeSet<String> {
    let line = line.replace("\\\"", "\"");
    let unquoted: Vec<&str> = line.split('"').step_by(2).collect();
    let line = unquoted.join(" _ ");
    let mut words = line.split_whitespace().peekable();
    let mut found = BTreeSet::new();
    while let Some(word) = words.next() {
        if word == "logfac" {
            words.next();
        }
        let is_word = word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_word {
            found.insert(word.to_owned());
        }
    }
    found
}

#[test]
fn the_page_about_access_lists_has_every_keyword_of_the_grammar() {
    let tokens = source("src/config/greylist_conf/tests/tokens.rs");
    let examples = tokens.lines().filter_map(|line| {
        let (_, example) = line.strip_prefix("    (\"")?.split_once(", \"")?;
        example.strip_suffix("\"),")
    });
    let wanted: BTreeSet<String> = examples
        .flat_map(|example| example.split("\\n"))
        .flat_map(keywords)
        .collect();
    assert!(wanted.len() > 90, "{wanted:?}");
    let page = source("man/stargrey-access-lists.5");
    let words: BTreeSet<&str> = page
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let missing: Vec<&String> = wanted
        .iter()
        .filter(|word| !words.contains(word.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_options_of_every_recipe_are_taken() {
    let recipes = recipes();
    let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Selective",
            "Beside permit_dnswl_client",
            "Beside postscreen",
            "Plain greylisting",
            "Rgrey",
            "Rgrey by a table of Postfix",
            "Rgrey by tables of your own",
            "Starpit",
            "taRgrey",
            "Moving from milter-greylist",
            "Milter",
            "Milter and S25R",
            "Milter beside the policy service",
            "Milter for greylist.conf",
            "S25R or SpamAssassin",
            "Lists, S25R, header and body rules",
            "rspamd before the milter",
            "OpenDKIM before the milter",
            "A Bayesian filter before the milter",
            "A Bayesian filter behind greylisting",
        ]
    );
    for recipe in recipes {
        let directory = tempfile::tempdir().expect("a directory");
        for (file, text) in &recipe.files {
            fs::write(directory.path().join(file), text).expect("the file is written");
        }
        let directory = directory.path().to_str().expect("a printable name");
        let example = format!("{directory}/example.conf");
        fs::write(&example, example_of_access_lists()).expect("the file is written");
        let options: Vec<String> = recipe
            .options
            .split_whitespace()
            .map(|option| option.replace(GREYLIST_CONF, &example))
            .map(|option| option.replace("/etc/postfix", directory))
            .map(|option| option.replace("/etc/stargrey", directory))
            .collect();
        check(&options);
    }
}

#[test]
fn the_overview_names_every_recipe_of_the_milter_and_each_exempts_own_networks() {
    let overview = source("man/stargrey.7");
    let shown: Vec<&str> = items(section(&overview, "THE MILTER"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let recipes = recipes();
    let first = recipes.iter().position(|recipe| recipe.name == "Milter");
    let recipes = &recipes[first.expect("the recipe for the milter")..];
    let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    assert_eq!(shown, names);
    for recipe in recipes {
        assert!(
            recipe.options.starts_with("--own-networks=10.0.0.0/8,"),
            "{}: {}",
            recipe.name,
            recipe.options
        );
    }
}

#[test]
fn each_old_line_of_main_cf_has_a_new_one_that_the_recipe_has() {
    let page = source("man/stargrey-milter.7");
    let heading = "Recipe: Lists, S25R, header and body rules";
    let text = subsection(&page, heading);
    let (_, shown) = text.split_once("\n.Bd -literal").expect("an old main.cf");
    let old = display(shown);
    let recipes = recipes();
    let mut recipes = recipes.iter();
    let recipe = recipes.find(|recipe| heading.ends_with(&recipe.name));
    let mut wanted: Vec<&str> = recipe.expect("the recipe").options.split(' ').collect();
    wanted.retain(|option| !option.is_empty());
    let mut told = Vec::new();
    let rows = rows_of_page(text);
    for row in &rows {
        let line = row[0].replace("\\:", "");
        let line = line.split(", the table").next().expect("a first part");
        assert!(old.contains(line), "{line}");
        let options = row[1].trim_start_matches("\\fB").trim_end_matches("\\fR");
        told.extend(options.split(' '));
    }
    assert_eq!(rows.len(), 6, "of {old}");
    told.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(told, wanted);
}

#[test]
fn the_recipes_of_both_pages_are_written_as_files_of_their_names() {
    let directory = tempfile::tempdir().expect("a directory");
    for page in ["man/stargrey.7", "man/stargrey-milter.7"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let status = Command::new(root.join("man/recipes"))
            .args([root.join(page).as_path(), directory.path()])
            .status();
        assert!(status.expect("the script runs").success());
    }
    for recipe in recipes() {
        let name = recipe.name.to_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let files = directory.path().join(words.join("-"));
        for (name, text) in &recipe.files {
            let written = fs::read_to_string(files.join(name)).expect(name);
            assert_eq!(&written, text, "{}: {name}", recipe.name);
        }
        let options = fs::read_to_string(files.join("options")).expect("options");
        let options = options.replace("\\\n", " ");
        assert_eq!(options.trim(), format!("OPTIONS=\"{}\"", recipe.options));
    }
}

#[test]
fn all_options_that_the_overview_shows_are_taken() {
    let mut shown = 0;
    let page = source("man/stargrey.7")
        .replace("/etc/postfix/permit_client_nots25r", "/dev/null")
        .replace(GREYLIST_CONF, "/dev/null");
    for text in page.split("OPTIONS=\"").skip(1) {
        let (options, _) = text.split_once('"').expect("the options end");
        let words = options.split_whitespace().filter(|word| *word != "\\e");
        let options: Vec<String> = words.map(str::to_owned).collect();
        check(&options);
        shown += 1;
    }
    assert!(shown > 6, "{shown}");
}

#[test]
fn the_table_of_the_recipe_has_the_patterns_of_s25r() {
    let recipes = recipes();
    let tables: Vec<(&str, &str)> = recipes
        .iter()
        .filter(|recipe| recipe.name.starts_with("Rgrey"))
        .flat_map(|recipe| recipe.files.iter().skip(1))
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let [("s25r", calling), ("permit_client_nots25r", excusing)] = tables[..] else {
        panic!("other tables are shown: {tables:?}");
    };
    let want = s25r::PATTERNS.map(|pattern| format!("/{pattern}/  check_greylist"));
    assert_eq!(calling.lines().collect::<Vec<_>>(), want);
    let excused: Vec<&str> = excusing
        .lines()
        .filter_map(|line| {
            let line = line.trim_start_matches("if ").strip_prefix("!/")?;
            line.strip_suffix("/  OK").or(line.strip_suffix('/'))
        })
        .collect();
    assert_eq!(excused, s25r::PATTERNS);
}

/// The options of a command, but for those that every command has.
fn options_of(definition: &Definition, path: &str, out: &mut BTreeMap<String, Vec<String>>) {
    let named = |sub: &Definition| format!("{path} {}", sub.get_name()).trim().to_owned();
    for sub in definition
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
    {
        options_of(sub, &named(sub), out);
    }
    let is_verb = !definition.has_subcommands();
    if is_verb {
        let mut options: Vec<String> = definition
            .get_arguments()
            .filter(|argument| !argument.is_global_set())
            .filter_map(|argument| Some(argument.get_long()?.to_owned()))
            .collect();
        options.sort();
        out.insert(path.to_owned(), options);
    }
}

#[test]
fn every_verb_of_stargreyctl_and_its_options_are_in_the_manual_page_and_no_other() {
    let mut want = BTreeMap::new();
    options_of(&ctl::args::Arguments::command(), "", &mut want);
    assert!(want.len() > 14, "{want:?}");
    let page = source("man/stargreyctl.1");
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (head, _) in items(section(&page, "VERBS")) {
        let words: Vec<&str> = head.split_whitespace().collect();
        let is_macro = |word: &&&str| ["Ar", "Op", "Oo", "Fl"].contains(*word);
        let end = words
            .iter()
            .position(|word| is_macro(&word))
            .unwrap_or(words.len());
        let verb = words[1..end].join(" ");
        let options = got.entry(verb).or_default();
        for pair in words.windows(2).filter(|pair| pair[0] == "Fl") {
            options.push(pair[1].trim_start_matches('-').to_owned());
        }
        options.sort();
    }
    assert_eq!(got, want);
}

/// The names in the order of their first occurrence.
fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    names.fold(Vec::new(), |mut order, name| {
        if !order.contains(&name) {
            order.push(name);
        }
        order
    })
}

#[test]
fn the_help_of_stargreyctl_has_the_verbs_in_the_order_of_its_manual_page() {
    let command = ctl::args::Arguments::command();
    let verbs = command.get_subcommands();
    let shown = verbs.filter(|verb| !verb.is_hide_set());
    let want: Vec<String> = shown.map(|verb| verb.get_name().to_owned()).collect();
    let page = source("man/stargreyctl.1");
    let heads = items(section(&page, "VERBS")).into_iter();
    let words = heads.filter_map(|(head, _)| head.split_whitespace().nth(1));
    assert_eq!(in_order(words.map(str::to_owned)), want);
    let synopsis = section(&page, "SYNOPSIS").lines();
    let lists = synopsis.filter_map(|line| line.strip_prefix(".Ic "));
    let words = lists.flat_map(|list| list.split(" , "));
    assert_eq!(in_order(words.map(str::to_owned)), want);
}

#[test]
fn the_help_of_stargreyd_has_the_groups_of_its_manual_page_in_the_same_order() {
    let command = stargrey::config::Options::command();
    let options = command.get_arguments();
    let shown = options.filter(|option| !option.is_hide_set());
    let heading = |option: &clap::Arg| option.get_help_heading().unwrap_or("General").to_owned();
    let want = in_order(shown.map(heading));
    let page = source("man/stargreyd.8");
    let heads = section(&page, "OPTIONS").lines();
    let got: Vec<&str> = heads.filter_map(|line| line.strip_prefix(".Ss ")).collect();
    assert_eq!(got, want);
}

#[test]
fn every_exit_status_of_stargreyctl_is_explained_and_no_other() {
    let page = source("man/stargreyctl.1");
    let got: Vec<&str> = items(section(&page, "EXIT STATUS"))
        .into_iter()
        .map(|(head, _)| head)
        .collect();
    let want: Vec<String> = ctl::exit::ALL
        .iter()
        .map(|(status, name)| match *name {
            "" => status.to_string(),
            name => format!("{status} Pq Dv {name}"),
        })
        .collect();
    assert_eq!(got, want);
}

/// What a test must know of an option to compare it.
fn takes_value(option: &clap::Arg) -> Argument {
    match option.get_num_args().map_or(1, |range| range.min_values()) {
        _ if !option.get_action().takes_values() => Argument::None,
        0 => Argument::Optional,
        _ => Argument::Needed,
    }
}

#[test]
fn options_of_postgrey_that_stargreyctl_takes_over_are_the_daemons() {
    let daemon = stargrey::config::Options::command();
    for known in postgrey::OPTIONS {
        let is_taken = match known.mapping {
            Mapping::Same | Mapping::Each | Mapping::SameButZero => true,
            Mapping::LeftOut(_) => false,
        };
        let name = known.name;
        let found = daemon
            .get_arguments()
            .find(|option| option.get_long() == Some(name));
        let Some(option) = found else {
            assert!(!is_taken, "{name}");
            continue;
        };
        assert_eq!(takes_value(option), known.argument, "{name}");
        let is_repeatable = matches!(option.get_action(), ArgAction::Append);
        if is_taken && name != "inet" {
            assert_eq!(known.mapping == Mapping::Each, is_repeatable, "{name}");
        }
    }
}

#[test]
fn stargreyctl_names_the_lists_as_the_daemon_does() {
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .args(["allow", "--help"])
        .output()
        .expect("stargreyctl runs");
    let help = String::from_utf8(output.stdout).expect("the help is UTF-8");
    let named: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split(':').next())
        .collect();
    // Nothing can be added to these: they are files.
    let closed = [
        ListName::GreylistRecipient,
        ListName::ClientAccess,
        ListName::GreylistConf,
        ListName::HeaderChecks,
        ListName::BodyChecks,
    ];
    let open: Vec<&str> = ListName::ALL
        .into_iter()
        .filter(|list| !closed.contains(list))
        .map(ListName::word)
        .collect();
    assert_eq!(named, open);
}

/// A command line as a shell takes it apart; single quotes are the only ones there are.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

#[test]
fn the_examples_of_stargreyctl_are_commands() {
    use clap::Parser;

    let page = source("man/stargreyctl.1");
    let examples = section(&page, "EXAMPLES").lines().filter_map(|line| {
        let (_, command) = line.split_once("stargreyctl ")?;
        command.split(" | ").next()
    });
    let mut count = 0;
    for example in examples {
        let line = words_of(&format!("stargreyctl {example}"));
        let parsed = ctl::args::Arguments::try_parse_from(&line);
        assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn the_oldest_rust_is_the_same_wherever_it_is_named() {
    let manifest = source("Cargo.toml");
    let version = manifest
        .split_once("\nrust-version = \"")
        .expect("a version");
    let (version, _) = version.1.split_once('"').expect("its end");
    let control = source("debian/control");
    for tool in ["cargo", "cargo-web", "rustc", "rustc-web"] {
        assert!(
            control.contains(&format!(" {tool} (>= {version})")),
            "{tool}"
        );
    }
    assert!(source("README.md").contains(&format!("Rust {version} or later")));
}

/// What stands between backquotes in running text.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn paths_and_targets_that_the_guides_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = source("Makefile");
    let (mut paths, mut targets) = (0, 0);
    for guide in ["CONTRIBUTING.md", "SECURITY.md", "README.md"] {
        let text = source(guide);
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split(')').next());
        let links = links.filter(|link| !link.contains("://"));
        for name in quoted(&text).into_iter().chain(links) {
            if let Some(command) = name.strip_prefix("make ") {
                for target in command.split(' ').filter(|word| !word.contains('=')) {
                    let rule = format!("\n{target}: ");
                    assert!(makefile.contains(&rule), "{guide}: make {target}");
                    targets += 1;
                }
            }
            let tops = [
                "src",
                "tests",
                "man",
                "fuzz",
                "systemd",
                "benches",
                "doc/examples",
                ".ci",
            ];
            let is_path = tops.iter().any(|top| {
                name.strip_prefix(top)
                    .is_some_and(|rest| rest.starts_with('/'))
            });
            let is_guide = Path::new(name).extension().is_some_and(|end| end == "md");
            if is_path || (is_guide && !name.contains('/')) {
                assert!(root.join(name).exists(), "{guide}: {name}");
                paths += 1;
            }
        }
    }
    assert!(paths > 50 && targets > 12, "{paths} {targets}");
}
