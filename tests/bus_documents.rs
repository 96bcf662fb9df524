//! stargrey-dbus(7), the files that are installed for the bus, and the interfaces say the same.
//!
//! `tests/it/bus/introspection.xml` is what the daemon serves; a test there says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stargrey::api::{ACTIONS, MANAGER, MONITOR, MOST_ROWS, NAME, STATE_PASSED, STATE_WAITING};

/// A file of the source tree.
fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the heading of a section and the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n.Sh {heading}\n"))
        .unwrap_or_else(|| panic!("the page has no section {heading}"));
    rest.split("\n.Sh ").next().expect("a first part")
}

/// The items of all lists in a section that begin with this macro, and the first line below each.
fn items<'a>(section: &'a str, head: &str) -> Vec<(&'a str, &'a str)> {
    section
        .split("\n.It ")
        .skip(1)
        .filter_map(|item| {
            let mut lines = item.strip_prefix(head)?.lines();
            Some((lines.next()?.trim(), lines.next().unwrap_or_default()))
        })
        .collect()
}

/// The value of an attribute in a line of XML.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// A member as the page has it: its head, and the line below.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    name: String,
    ingoing: String,
    outgoing: Vec<String>,
}

impl Member {
    /// `.It Fn GetHistory "t from"` and `Yields aa{sv} rows.`
    fn documented((head, below): (&str, &str)) -> Self {
        let (name, ingoing) = head.split_once(' ').unwrap_or((head, ""));
        let yields = below.strip_prefix("Yields ").unwrap_or_default();
        let outgoing = yields.trim_end_matches('.').split(", ");
        Self {
            name: name.to_owned(),
            ingoing: ingoing.to_owned(),
            outgoing: outgoing
                .filter(|argument| !argument.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// An argument of it.
    fn add(&mut self, line: &str) {
        let text = |name| attribute(line, name).expect("an argument has a name and a type");
        let argument = format!("{} {}", text("type"), text("name"));
        if attribute(line, "direction") == Some("out") {
            self.outgoing.push(argument);
        } else {
            if !self.ingoing.is_empty() {
                self.ingoing.push(' ');
            }
            self.ingoing.extend(["\"", &argument, "\""]);
        }
    }
}

/// An interface as it is served.
#[derive(Debug, Default)]
struct Interface {
    members: BTreeSet<Member>,
    properties: BTreeSet<String>,
}

impl Interface {
    fn served(name: &str) -> Self {
        let xml = source("tests/it/bus/introspection.xml");
        let begin = format!("<interface name=\"{name}\">");
        let (_, rest) = xml.split_once(&begin).expect("the interface is there");
        let (text, _) = rest.split_once("</interface>").expect("it ends");
        let mut interface = Self::default();
        let mut member: Option<Member> = None;
        let mut property = None;
        for line in text.lines() {
            let begins = |element: &str| line.trim_start().starts_with(&format!("<{element} "));
            if begins("arg") {
                member.as_mut().expect("a member has begun").add(line);
                continue;
            }
            if begins("annotation") {
                let value = attribute(line, "value").expect("a value");
                interface.finish(property.take(), value);
                continue;
            }
            interface.members.extend(member.take());
            interface.finish(property.take(), "true");
            if begins("method") || begins("signal") {
                member = Some(Member {
                    name: attribute(line, "name").expect("a name").to_owned(),
                    ..Member::default()
                });
            } else if begins("property") {
                property = Some(line);
            }
        }
        interface.members.extend(member);
        interface.finish(property, "true");
        interface
    }

    /// Notes a property, once it is known how its changes are told.
    fn finish(&mut self, property: Option<&str>, changes: &str) {
        let Some(line) = property else { return };
        assert_eq!(attribute(line, "access"), Some("read"), "{line}");
        let told = match changes {
            "true" => ", signalled",
            "const" => ", constant",
            "false" => "",
            other => panic!("{other}"),
        };
        let text = |name| attribute(line, name).expect("a property has a name and a type");
        let head = format!("{} Pq {}{told}", text("name"), text("type"));
        self.properties.insert(head);
    }
}

#[test]
fn every_member_of_the_interfaces_is_described_and_no_other() {
    let page = source("man/stargrey-dbus.7");
    for (name, heading) in [
        (MONITOR, "THE MONITOR INTERFACE"),
        (MANAGER, "THE MANAGER INTERFACE"),
    ] {
        let section = section(&page, heading);
        let described = items(section, "Fn ").into_iter().map(Member::documented);
        let served = Interface::served(name);
        assert!(!served.members.is_empty(), "{name}");
        assert_eq!(described.collect::<BTreeSet<_>>(), served.members);
        let properties = items(section, "Va ").into_iter();
        let properties: BTreeSet<String> = properties.map(|(head, _)| head.to_owned()).collect();
        assert_eq!(properties, served.properties);
    }
}

#[test]
fn every_error_is_described_and_no_other() {
    let page = source("man/stargrey-dbus.7");
    let described: Vec<&str> = items(section(&page, "ERROR NAMES"), "Er ")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let text = source("src/api/error.rs");
    let variants: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix("(String),"))
        .collect();
    assert!(variants.len() > 5, "{variants:?}");
    assert_eq!(described, variants);
}

#[test]
fn every_key_of_a_row_is_described_and_no_other() {
    let page = source("man/stargrey-dbus.7");
    let described: BTreeSet<&str> = items(section(&page, "ROWS"), "Cm ")
        .into_iter()
        .filter_map(|(head, _)| head.split(' ').next())
        .collect();
    let text = source("src/api/keys.rs");
    let constants = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        let prefixes = ["KIND_", "STATE_", "STEP_", "RESULT_", "FATE_"];
        let is_word = prefixes.iter().any(|prefix| name.starts_with(prefix));
        (!is_word).then(|| rest.trim_end_matches("\";"))
    });
    assert_eq!(described, constants.collect());
    for word in ["triplet", "client", "sleep", "waiting", "passed"] {
        assert!(page.contains(&format!(".Ql {word}\n")) || page.contains(&format!(".Ql {word} ")));
    }
}

#[test]
fn every_step_and_result_of_explain_is_described_in_its_order_and_no_other() {
    let page = source("man/stargrey-dbus.7");
    let text = source("src/api/keys.rs");
    for (prefix, macro_name) in [("STEP_", "Sy "), ("RESULT_", "Em ")] {
        let described: Vec<&str> = items(section(&page, "ROWS"), macro_name)
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        let constants = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("pub const ")?.split_once(": &str = ")?;
            let word = match value.trim_end_matches(';') {
                "STATE_WAITING" => STATE_WAITING,
                "STATE_PASSED" => STATE_PASSED,
                word => word.trim_matches('"'),
            };
            name.starts_with(prefix).then_some(word)
        });
        let constants: Vec<&str> = constants.collect();
        assert!(constants.len() > 9, "{constants:?}");
        assert_eq!(described, constants);
    }
}

#[test]
fn the_actions_of_the_page_and_of_the_installed_file_are_those_of_the_program() {
    let want: Vec<(String, String)> = ACTIONS
        .iter()
        .map(|(action, members)| ((*action).to_owned(), members.join(", ")))
        .collect();
    let page = source("man/stargrey-dbus.7");
    let described: Vec<(String, String)> = items(section(&page, "POLKIT ACTIONS"), "Li ")
        .into_iter()
        .map(|(action, members)| (action.to_owned(), members.to_owned()))
        .collect();
    assert_eq!(described, want);

    let policy = source("systemd/org.stargrey.Greylist1.policy");
    let mut installed = Vec::new();
    for part in policy.split("<!-- ").skip(2) {
        let (members, rest) = part.split_once(" -->").expect("a comment ends");
        let action = attribute(rest, "id").expect("an action follows").to_owned();
        installed.push((action, members.to_owned()));
        for line in [
            "<allow_any>auth_admin</allow_any>",
            "<allow_inactive>auth_admin</allow_inactive>",
            "<allow_active>auth_admin_keep</allow_active>",
            "<annotate key=\"org.freedesktop.policykit.owner\">unix-user:stargrey</annotate>",
        ] {
            assert!(rest.contains(line), "{members}: {line}");
        }
    }
    assert_eq!(installed, want);
}

#[test]
fn the_installed_files_have_the_name_and_the_user() {
    let activation = source("systemd/org.stargrey.Greylist1.service");
    for line in [
        &format!("Name={NAME}"),
        "SystemdService=stargrey.service",
        "Exec=/bin/false",
    ] {
        assert!(activation.lines().any(|found| found == line), "{line}");
    }
    let policy = source("systemd/org.stargrey.Greylist1.conf");
    assert_eq!(
        policy.matches(&format!("<allow own=\"{NAME}\"/>")).count(),
        2
    );
    let destination = format!("send_destination=\"{NAME}\"");
    assert_eq!(policy.matches(&destination).count(), 5);
    for interface in [MONITOR, MANAGER] {
        assert!(policy.contains(&format!("send_interface=\"{interface}\"")));
    }
    let user = "stargrey";
    assert!(policy.contains(&format!("<policy user=\"{user}\">")));
    assert!(source("systemd/stargrey.service").contains(&format!("\nUser={user}\n")));
}

#[test]
fn the_limits_of_the_page_are_those_of_the_program() {
    let page = source("man/stargrey-dbus.7");
    let limits = section(&page, "LIMITS");
    let got = items(limits, "Rows of a call");
    assert_eq!(got, [("", format!("{MOST_ROWS}; a larger").as_str())]);
}
