//! Files and sessions in which milter-greylist and stargreyd must agree: the entries for recipients, without what either
//! of them answers otherwise on purpose.

use crate::postgrey::random::Random;

/// A session: a client and a message.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The client's verified name, if it has one.
    pub(super) name: Option<&'static str>,
    pub(super) address: &'static str,
    pub(super) helo: &'static str,
    pub(super) sender: String,
    pub(super) recipients: Vec<&'static str>,
}

const CLIENTS: [(Option<&str>, &str); 7] = [
    (Some("mail.example.net"), "203.0.113.7"),
    (Some("smtp.example.net"), "203.0.113.200"),
    (Some("dsl-7.pool.example.com"), "198.51.100.7"),
    (None, "198.51.100.8"),
    (None, "192.0.2.1"),
    (Some("mx.example.org"), "2001:db8::25"),
    (None, "2001:db8:1::25"),
];

const HELOS: [&str; 5] = [
    "mail.example.net",
    "dsl-7.pool.example.com",
    "[198.51.100.8]",
    "localhost",
    "MX.example.org",
];

const SENDERS: [&str; 5] = [
    "joe@example.org",
    "ann@example.org",
    "owner@lists.example.net",
    "spam@example.com",
    "",
];

const RECIPIENTS: [&str; 4] = [
    "jane@example.com",
    "bob@example.com",
    "abuse@example.com",
    "postmaster@example.net",
];

/// Clauses by their kind; an entry has at most one of each.
const CLAUSES: [&[&str]; 6] = [
    &[
        "addr 203.0.113.0/24",
        "addr 203.0.113.7",
        "addr 198.51.100.0/29",
        "addr 2001:db8::/48",
        "addr 0.0.0.0/0",
        "list \"networks\"",
    ],
    &[
        "domain example.net",
        "domain pool.example.com",
        "domain MX.example.org",
        "domain /pool/",
        "domain /^\\[/",
        "domain /\\.NET$/",
        "list \"names\"",
    ],
    &[
        "helo \"mail.example.net\"",
        "helo \"MAIL.example.NET\"",
        "helo \"mail\"",
        "helo \"%d\"",
        "helo \"MAIL.%sd\"",
        "helo /^\\[/",
        "helo /dsl.*com$/",
        "list \"helos\"",
    ],
    &[
        "from joe@example.org",
        "from JOE@Example.org",
        "from /@example\\.org/",
        "from /^<>$/",
        "from /^<owner.*net>$/",
        "list \"senders\"",
    ],
    &[
        "rcpt jane@example.com",
        "rcpt ABUSE@example.com",
        "rcpt /^<postmaster@/",
        "rcpt /@example\\.com>/",
        "list \"recipients\"",
    ],
    &["time \"* * * * *\"", "rcpt /./"],
];

/// Lists that stand for a network. milter-greylist takes what is between two slashes on a line for an expression, also
/// where the first is that of a network.
const NETWORKS: [(&str, &str); 4] = [
    ("addr 203.0.113.0/24", "list \"v4\""),
    ("addr 198.51.100.0/29", "list \"few\""),
    ("addr 2001:db8::/48", "list \"v6\""),
    ("addr 0.0.0.0/0", "list \"all\""),
];

/// What the lists hold.
const LISTS: &str = "\
list \"v4\" addr { 203.0.113.0/24 }
list \"few\" addr { 198.51.100.0/29 }
list \"v6\" addr { 2001:db8::/48 }
list \"all\" addr { 0.0.0.0/0 }
list \"networks\" addr { 192.0.2.0/24 203.0.113.200 2001:db8::25 }
list \"names\" domain { mail.example.net pool.example.com /^mx/ }
list \"helos\" helo { \"localhost\" /^dsl/ }
list \"senders\" from { spam@example.com /lists/ }
list \"recipients\" rcpt { abuse@example.com /^<postmaster/ }
";

pub(super) const GREYLIST_VALUES: [&str; 7] = [
    "",
    "delay 2h",
    "delay 3h autowhite 2d",
    "autowhite 1d",
    "msg \"Wait for %R, %r: %f %d %i %h %mr %sr %I{/24} 100%% of %Xc\"",
    "delay 1d code \"452\" ecode \"4.2.1\" msg \"later (%A %a)\"",
    "code \"450\"",
];

pub(super) const BLACKLIST_VALUES: [&str; 5] = [
    "",
    "msg \"No mail from %i (%h)\"",
    "code \"554\" ecode \"5.7.0\"",
    "code \"550\"",
    "ecode \"5.1.1\" msg \"no such user: %mr at %sr\"",
];

/// A file; its number of lines does not change with the lines before it.
pub(super) fn file(random: &mut Random) -> String {
    let mut lines = vec!["nospf", "noauth", "greylist 1h", "autowhite 3d"];
    for (statement, share) in [("quiet", 20), ("multiracl", 40), ("extendedregex", 50)] {
        if random.percent(share) {
            lines.push(statement);
        }
    }
    let mut text = lines.join("\n") + "\n" + LISTS;
    for number in 0..=random.below(9) {
        text = text + &entry(random, number) + "\n";
    }
    match random.below(5) {
        0 => text + "racl blacklist default\n",
        1 => text + "racl whitelist default\n",
        2 => text + "racl greylist default " + *random.pick(&GREYLIST_VALUES) + "\n",
        3 => text + "racl greylist default\n",
        _ => text,
    }
}

fn entry(random: &mut Random, number: u64) -> String {
    let id = if random.percent(30) {
        format!("\"entry-{number}\" ")
    } else {
        String::new()
    };
    let (action, values) = match random.below(100) {
        0..40 => ("greylist", *random.pick(&GREYLIST_VALUES)),
        40..75 => ("whitelist", ""),
        _ => ("blacklist", *random.pick(&BLACKLIST_VALUES)),
    };
    let mut kinds: Vec<&[&str]> = CLAUSES.to_vec();
    random.shuffle(&mut kinds);
    let count = 1 + usize::try_from(random.below(3)).unwrap();
    let clauses = kinds.iter().take(count).map(|clauses| {
        let not = random.percent(25);
        let clause = random.pick(clauses);
        format!("{}{clause}", if not { "not " } else { "" })
    });
    let clauses: Vec<String> = clauses.collect();
    let entry = format!("racl {id}{action} {} {values}", clauses.join(" "));
    if entry.matches('/').count() < 2 {
        return entry;
    }
    NETWORKS
        .iter()
        .fold(entry, |entry, (network, list)| entry.replace(network, list))
}

/// A session.
pub(super) fn session(random: &mut Random) -> Session {
    let (name, address) = *random.pick(&CLIENTS);
    let mut recipients = RECIPIENTS.to_vec();
    random.shuffle(&mut recipients);
    recipients.truncate(1 + usize::try_from(random.below(3)).unwrap());
    Session {
        name,
        address,
        helo: random.pick::<&str>(&HELOS),
        sender: random.pick::<&str>(&SENDERS).to_string(),
        recipients,
    }
}
