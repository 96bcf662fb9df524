//! The arrows between the modules: the table in `src/lib.rs` is the architecture, and this is its guard.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, and what each may use besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("protocol", &["types"]),
    ("policy", &["types"]),
    ("api", &[]),
    ("lookup", &["types", "policy"]),
    ("store", &["types", "policy"]),
    ("config", &["types", "policy"]),
    ("service", &["types", "policy", "store", "lookup"]),
    ("control", &["types", "policy", "store", "service"]),
    (
        "frontend",
        &[
            "types", "protocol", "policy", "api", "service", "control", "config",
        ],
    ),
    ("ctl", &["types", "api"]),
    (
        "daemon",
        &[
            "types", "protocol", "policy", "api", "lookup", "store", "config", "service",
            "control", "frontend",
        ],
    ),
];

/// The layers that may use every other one but `ctl`: the table allows them arrows that they happen not to need.
const UNLIMITED: &[&str] = &["daemon"];

/// Names of another layer that a layer exports as its own, on purpose.
const RE_EXPORTS: &[&str] = &[
    "control: crate::store::{Page, RestoreError, Row, RowKey}",
    "policy: crate::types::{ListName, Reason}",
    "service: crate::lookup::ZoneState",
];

/// The one part of the front ends that may use `control`: those that judge are given the gate alone.
const ADMINISTRATORS: &str = "frontend/bus/";

/// What the core must never say.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::io",
    "std::net::T",
    "std::net::U",
    "log::",
    "tokio",
    "async ",
    "SystemTime",
    "Instant::",
];

/// All Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The lines of code of a file with their numbers: no comments, no tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a readable file");
    let is_test = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"));
    let lines = text
        .lines()
        .take_while(|line| !is_test && *line != "#[cfg(test)]");
    (1..)
        .zip(lines)
        .filter(|(_, line)| !line.trim_start().starts_with("//") && !line.trim().is_empty())
        .map(|(number, line)| (number, line.to_owned()))
        .collect()
}

/// The layer a file belongs to; `None` for those at the root.
fn layer(source: &Path, path: &Path) -> Option<String> {
    let first = path.strip_prefix(source).ok()?.components().next()?;
    let name = first.as_os_str().to_str()?;
    (name != "bin" && !name.contains('.')).then(|| name.to_owned())
}

/// The layers that a line names by their path.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        rest.split_at(end.unwrap_or(rest.len())).0
    })
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn every_arrow_is_in_the_table() {
    let source = source();
    let mut wrong = Vec::new();
    for path in sources(&source) {
        let Some(layer) = layer(&source, &path) else {
            continue;
        };
        let allowed = ARROWS.iter().find(|(name, _)| *name == layer);
        let Some((_, allowed)) = allowed else {
            wrong.push(format!("{}: no layer of the table", path.display()));
            continue;
        };
        for (number, line) in code(&path) {
            for other in named(&line) {
                if other != layer && !allowed.contains(&other) {
                    wrong.push(format!("{}:{number}: {layer} -> {other}", path.display()));
                }
            }
            if line.contains("super::super::super") {
                wrong.push(format!(
                    "{}:{number}: a path that hides its layer",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn front_ends_that_judge_do_not_reach_control() {
    let source = source();
    let mut wrong = Vec::new();
    let mut allowed = 0;
    for path in sources(&source.join("frontend")) {
        let is_allowed = path.starts_with(source.join(ADMINISTRATORS));
        for (number, line) in code(&path) {
            if named(&line).any(|layer| layer == "control") || line.contains("Internals") {
                allowed += usize::from(is_allowed);
                if !is_allowed {
                    wrong.push(format!("{}:{number}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(allowed > 0, "nobody asks");
}

#[test]
fn every_arrow_of_the_table_is_used() {
    let source = source();
    let mut used = Vec::new();
    for path in sources(&source) {
        let Some(layer) = layer(&source, &path) else {
            continue;
        };
        for (_, line) in code(&path) {
            used.extend(named(&line).map(|other| (layer.clone(), other.to_owned())));
        }
    }
    let mut unused = Vec::new();
    for (layer, allowed) in ARROWS {
        for other in *allowed {
            let arrow = ((*layer).to_owned(), (*other).to_owned());
            if !UNLIMITED.contains(layer) && !used.contains(&arrow) {
                unused.push(format!("{layer} -> {other}"));
            }
        }
    }
    assert!(unused.is_empty(), "\n{}", unused.join("\n"));
}

/// What a layer exports of another could be reached through it by a third that may not use the other.
#[test]
fn no_layer_hides_another_behind_its_own_name() {
    let source = source();
    let mut found = Vec::new();
    for path in sources(&source) {
        let Some(layer) = layer(&source, &path) else {
            continue;
        };
        let code = code(&path).into_iter().map(|(_, line)| line);
        let code = code.collect::<Vec<_>>().join(" ");
        for statement in code.split(';') {
            let Some((before, after)) = statement.split_once("use crate::") else {
                continue;
            };
            let other = after.split("::").next().unwrap_or_default();
            if before.contains("pub") && other != layer {
                let path = after.split_whitespace().collect::<Vec<_>>().join(" ");
                found.push(format!("{layer}: crate::{path}"));
            }
        }
    }
    assert_eq!(found, RE_EXPORTS);
}

#[test]
fn the_table_is_the_one_in_the_essay() {
    let essay = fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    for (layer, allowed) in ARROWS {
        let wanted = match (*layer, allowed.is_empty()) {
            ("daemon", _) => "all".to_owned(),
            (_, true) => "–".to_owned(),
            (_, false) => allowed.join(", "),
        };
        let begin = format!("//! | [`{layer}`] |");
        let end = format!("| {wanted} |");
        assert!(
            essay
                .lines()
                .any(|line| line.starts_with(&begin) && line.ends_with(&end)),
            "{layer}: {wanted}"
        );
    }
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for path in sources(&source().join("policy")) {
        for (number, line) in code(&path) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_has_more_than_400_lines_of_code() {
    for path in sources(&source()) {
        let lines = code(&path).len();
        assert!(lines <= 400, "{}: {lines}", path.display());
    }
}
