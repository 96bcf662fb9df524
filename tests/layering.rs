//! The arrows between the modules: the table in `src/lib.rs` is the architecture, and this is its guard.

use std::collections::{BTreeMap, BTreeSet};
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
    ("shared", &["types", "policy", "store"]),
    ("service", &["types", "policy", "store", "lookup", "shared"]),
    (
        "control",
        &["types", "policy", "store", "service", "shared"],
    ),
    (
        "frontend",
        &[
            "types", "protocol", "policy", "api", "service", "control", "config",
        ],
    ),
    ("ctl", &["types", "api", "policy", "config"]),
    (
        "daemon",
        &[
            "types", "protocol", "policy", "api", "lookup", "store", "shared", "config", "service",
            "control", "frontend",
        ],
    ),
];

/// The layers that may use every other one but `ctl`: the table allows them arrows that they happen not to need.
const UNLIMITED: &[&str] = &["daemon"];

/// Names of another layer that a layer exports as its own, on purpose.
const RE_EXPORTS: &[&str] = &[
    "control: crate::policy::{Filter, State}",
    "control: crate::store::{Page, RestoreError, Row, RowKey}",
    "policy: crate::types::{ListName, Reason}",
    "service: crate::lookup::ZoneState",
    "service: crate::shared::{HostState as SharedHostState, Status as SharedStatus}",
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
    if is_test {
        return Vec::new();
    }
    let mut code = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line == "#[cfg(test)]" {
            // The item that follows ends with the first line that closes a brace, or a statement, at the margin.
            let is_end = |line: &str| {
                let is_at_margin = !line.starts_with(char::is_whitespace);
                is_at_margin && line.ends_with(['}', ';'])
            };
            lines.by_ref().find(|(_, line)| is_end(line));
        } else if !line.trim_start().starts_with("//") && !line.trim().is_empty() {
            code.push((number, line.to_owned()));
        }
    }
    code
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

/// The names of a path from the root of the crate.
type Names = Vec<String>;

/// Which modules each module of a room uses.
type Arrows<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// All modules, and the paths that each writes in its imports and in its code, from the root of the crate. What a module
/// imports with `*` counts as its own.
#[derive(Default)]
struct Modules {
    used: BTreeMap<Names, Vec<Names>>,
    /// The names that a module imports, each with its path.
    imported: BTreeMap<Names, BTreeMap<String, Names>>,
}

/// The code of all modules.
fn texts() -> BTreeMap<Names, String> {
    let source = source();
    let mut texts = BTreeMap::new();
    for path in sources(&source) {
        if layer(&source, &path).is_none() || path.to_string_lossy().ends_with("tests.rs") {
            continue;
        }
        let relative = path.strip_prefix(&source).expect("below src");
        let name = relative.with_extension("");
        let names = name.iter().map(|part| part.to_string_lossy().into_owned());
        let mut module: Names = names.collect();
        module.pop_if(|last| last == "mod");
        let lines = code(&path).into_iter().map(|(_, line)| line);
        texts.insert(module, lines.collect::<Vec<_>>().join(" "));
    }
    texts
}

fn names(path: &str) -> Names {
    path.split("::").map(str::to_owned).collect()
}

impl Modules {
    fn new(texts: &BTreeMap<Names, String>) -> Self {
        let mut modules = Self::default();
        for (module, text) in texts {
            let imported = modules.imported.entry(module.clone()).or_default();
            let used = modules.used.entry(module.clone()).or_default();
            for (is_import, written) in paths(text) {
                let (path, alias) = written.split_once(" as ").unwrap_or((&*written, ""));
                let Some(path) = from_root(module, path.trim(), texts) else {
                    continue;
                };
                if let (true, Some(last)) = (is_import, path.last()) {
                    let name = if alias.is_empty() { last } else { alias.trim() };
                    imported.insert(name.to_owned(), path.clone());
                }
                used.push(path);
            }
        }
        modules
    }

    /// The module that defines the item of this path: imported names are followed to where they come from.
    fn defining(&self, path: &[String], depth: usize) -> Names {
        let mut module = Names::new();
        for (at, name) in path.iter().enumerate() {
            let inner = [&*module, std::slice::from_ref(name)].concat();
            let imported = self.imported.get(&module).and_then(|all| all.get(name));
            match imported {
                _ if self.used.contains_key(&inner) => module = inner,
                Some(other) if depth > 0 && *other != inner => {
                    let rest = path.get(at + 1..).unwrap_or_default();
                    return self.defining(&[&**other, rest].concat(), depth - 1);
                }
                Some(_) | None => break,
            }
        }
        module
    }

    /// The arrows between the modules of each room. The root has its own table.
    fn rooms(&self) -> BTreeMap<Names, Arrows<'_>> {
        let mut rooms: BTreeMap<Names, Arrows<'_>> = BTreeMap::new();
        for (module, used) in &self.used {
            for path in used {
                let other = self.defining(path, 8);
                let shared = module.iter().zip(&other).take_while(|(a, b)| a == b);
                let depth = shared.count();
                if let (1.., Some(from), Some(to)) = (depth, module.get(depth), other.get(depth)) {
                    let room = module.get(..depth).unwrap_or_default().to_vec();
                    let arrows = rooms.entry(room).or_default();
                    arrows.entry(from).or_default().insert(to.clone());
                }
            }
        }
        rooms
    }

    /// The circles of all rooms: `room: module, module`.
    fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (room, arrows) in self.rooms() {
            let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
            for from in arrows.keys() {
                let comes_back = |other: &&str| reachable(&arrows, other).contains(from);
                let others = reachable(&arrows, from).into_iter();
                let circle: Vec<&str> = others.filter(comes_back).collect();
                if circle.contains(from) {
                    circles.insert(circle);
                }
            }
            let room = room.join("/");
            found.extend(
                circles
                    .iter()
                    .map(|circle| format!("{room}: {}", circle.join(", "))),
            );
        }
        found
    }
}

/// The paths in a text that may lead to our modules; those of imports are marked.
fn paths(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut other = String::new();
    for statement in text.split_inclusive(';') {
        match statement.rsplit_once("use ") {
            Some((before, tree)) if before.is_empty() || before.ends_with([' ', '{', '}']) => {
                other.push_str(before);
                expand("", tree.trim_end_matches(';'), &mut found);
            }
            Some(_) | None => other.push_str(statement),
        }
    }
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = other.split(|c| !is_of_path(c));
    let ours = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    found.extend(ours.map(|word| (false, word.to_owned())));
    found
}

/// The single paths of a tree of imports.
fn expand(prefix: &str, tree: &str, found: &mut Vec<(bool, String)>) {
    let Some((head, rest)) = tree.split_once('{') else {
        found.push((true, format!("{prefix}{}", tree.trim())));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    for part in inner.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    }) {
        if !part.trim().is_empty() {
            expand(&prefix, part, found);
        }
    }
}

/// A path as `module` writes it, from the root; `None` when it leads out of the crate.
fn from_root(module: &[String], path: &str, modules: &BTreeMap<Names, String>) -> Option<Names> {
    let mut base = module.to_vec();
    let mut names = names(path);
    match names.first().map_or("", String::as_str) {
        "crate" => {
            base.clear();
            names.remove(0);
        }
        "self" => {
            names.remove(0);
        }
        "super" => {
            while names.first().is_some_and(|name| name == "super") {
                base.pop();
                names.remove(0);
            }
        }
        first => {
            let inner = [module, &[first.to_owned()]].concat();
            modules.contains_key(&inner).then_some(())?;
        }
    }
    names.pop_if(|last| last == "self");
    base.extend(names);
    Some(base)
}

/// What can be reached from a module over one arrow or more.
fn reachable<'a>(arrows: &'a Arrows<'_>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(module) = next.pop() {
        for other in arrows.get(module).into_iter().flatten() {
            if reached.insert(&**other) {
                next.push(other);
            }
        }
    }
    reached
}

#[test]
fn no_modules_of_a_room_use_each_other_in_a_circle() {
    let found = Modules::new(&texts()).circles();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_however_its_paths_are_written() {
    let there = "use super::b::Own;";
    let rows: [(&str, &str, &[&str]); 11] = [
        ("no way back", "use super::d::Thing;", &[]),
        ("an import", "use super::a::Other;", &["room: a, b"]),
        (
            "from the root",
            "use crate::room::a::Other;",
            &["room: a, b"],
        ),
        (
            "one of several",
            "use super::{d::{self, Thing}, a::{Other, More}};",
            &["room: a, b"],
        ),
        ("the module", "use super::{d, a};", &["room: a, b"]),
        (
            "another name",
            "use super::a::Other as Same;",
            &["room: a, b"],
        ),
        ("no import", "fn f() { super::a::f() }", &["room: a, b"]),
        (
            "in a function",
            "fn f() { use super::a::f; f() }",
            &["room: a, b"],
        ),
        ("through the room", "use super::Other;", &["room: a, b"]),
        (
            "through a third",
            "use super::c::inner::Back;",
            &["room: a, b, c"],
        ),
        ("the room itself", "use super::Shared;", &[]),
    ];
    for (name, back, want) in rows {
        let texts = [
            (
                "room",
                "mod a; mod b; mod c; mod d; pub use a::Other; struct Shared;",
            ),
            ("room::a", there),
            ("room::b", back),
            ("room::c", "mod inner;"),
            ("room::c::inner", "use crate::room::a::More; struct Back;"),
            ("room::d", "struct Thing;"),
            ("elsewhere", "use crate::room::Other;"),
        ];
        let texts = texts.map(|(path, text)| (names(path), text.to_owned()));
        assert_eq!(Modules::new(&texts.into()).circles(), want, "{name}");
    }
}

#[test]
fn a_name_is_followed_to_the_module_that_defines_it() {
    let modules = Modules::new(&texts());
    let rows = [
        ("policy::Verdict", "policy::verdict"),
        ("policy::verdict::Verdict", "policy::verdict"),
        ("policy::Plan", "policy"),
        ("store::Row", "store::rows"),
        ("store::lmdb::LmdbOpener", "store::lmdb"),
    ];
    for (path, want) in rows {
        assert_eq!(modules.defining(&names(path), 8).join("::"), want);
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

/// What ends a test of a file early: for each `return` the lines that open the blocks around it, and its own. A test is
/// what follows its attribute, up to the brace that closes at the same margin. Closures end nothing but themselves.
fn early_ends(text: &str) -> Vec<String> {
    let margin = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let attribute = line.trim_start();
        if !(attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test")) {
            continue;
        }
        let end = format!("{}}}", &line[..margin(line)]);
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        for (at, line) in body.iter().enumerate() {
            let is_end = |rest: &str| rest.trim_start().starts_with([';', '}']);
            if !line.split("return").skip(1).any(is_end) {
                continue;
            }
            let mut around = vec![*line];
            for outer in body.iter().take(at).rev() {
                let is_outer = around
                    .last()
                    .is_some_and(|inner| margin(outer) < margin(inner));
                if is_outer && !outer.trim().is_empty() {
                    around.push(outer);
                }
            }
            if !around.iter().any(|line| line.ends_with("| {")) {
                around.reverse();
                found.push(around.join("\n"));
            }
        }
    }
    found
}

/// A test that passes without having tested anything.
const SILENT: &str =
    "#[test]\nfn a() {\n    if !is_root() {\n        return;\n    }\n    b();\n}\n";

#[test]
fn a_test_ends_early_only_after_it_has_said_that_it_shows_nothing() {
    // These say `NOT PROVEN`, and why, before they yield nothing; in the file of Sendmail everything that starts one.
    let speaking = [
        "program(",
        "prepare(in_",
        "in_memory(",
        "suite()",
        "Browser::find(",
        "Network::new(",
        "Networked::start(",
        "unpacked(",
        "tests/it/sendmail/",
    ];
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut wrong = Vec::new();
    for path in [source(), tests].iter().flat_map(|place| sources(place)) {
        let text = fs::read_to_string(&path).expect("a readable file");
        let ends = early_ends(&text).into_iter();
        let ends = ends.map(|end| format!("{}: {end}", path.display()));
        wrong.extend(ends.filter(|end| !speaking.iter().any(|call| end.contains(call))));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(early_ends(SILENT).len(), 1, "{SILENT}");
}
