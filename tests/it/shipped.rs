//! The lists that are installed, against names from public mail archives: `--s25r` makes end-user connections wait,
//! and of mail servers only those without a name of their own. `--s25r=extended` makes more of the former wait, and no
//! more of the latter; how many rules and lists spare each is counted with and without the exceptions that are installed.

use std::collections::BTreeMap;
use std::path::Path;

use stargrey::policy::s25r::{self, Rules};

use crate::dns_lists::ListServer;
use crate::manual::source;
use crate::support::{Daemon, rcpt};

/// Other names of senders in `senders-legitimate.tsv`, which the lists were not made from.
const OTHER_NAMES: &[&str] = &[
    "dub004-omc3s21.hotmail.com",
    "bay0-omc3-s14.bay0.hotmail.com",
    "mail-m155104.qiye.163.com",
    "mail-bjschn02on2063.outbound.protection.partner.outlook.cn",
    "mx0e-003ea501.gpphosted.com",
    "n1plwbeout07-02.prod.ams1.secureserver.net",
    "nh603-vm8.bullet.mail.ssk.yahoo.co.jp",
    "omta40.uswest2.a.cloudfilter.net",
    "out203-205-221-239.mail.qq.com",
    "p-east2-cluster5-host9-snip4-2.eps.apple.com",
    "p3plwbeout03-01.prod.phx3.secureserver.net",
    "pv-2002c-snip4-11.eps.apple.com",
    "smtp-bc0f.mail.infomaniak.ch",
    "smtp7-g19.free.fr",
    "smtpdh17-1.aruba.it",
    "smtpdh19-1.ad.aruba.it",
    "smtpfb1-g21.free.fr",
    "sv16381.xserver.jp",
];

/// Names of customers of operators that are on the lists.
const CUSTOMERS: &[&str] = &[
    "1-171-221-38.dynamic-ip.hinet.net",
    "2a01-e0a-1-2.ipv6.proxad.net",
    "ip-72-167-1-2.ip.secureserver.net",
    "host12-34-56-78.serverdedicati.aruba.it",
    "lns-1-2.rev.free.fr",
    "c-73-15-22-9.hsd1.ca.comcast.net",
    "vps-1a2b3c45678.vps.ovh.net",
    "120.232.150.110.broad.gz.gd.dynamic.163data.com.cn",
    "p1234-ipad01marunouchi.tokyo.ocn.ne.jp",
];

/// How the classes of a file fare: clients asked about, and those of them that have to wait.
type Counts = BTreeMap<String, (u32, u32)>;

/// The two sets of rules.
const BOTH: [&str; 2] = ["--s25r", "--s25r=extended"];

/// The domain of the senders with SPF records, and that of the others.
const WITH_SPF: &str = "spf.example.com";
const SENDER: &str = "eve@a.example";

/// The networks of mail servers and of end users' connections.
const SERVERS: &str = "198.51.100";
const LINES: &str = "203.0.113";

/// A daemon with the installed lists and this option.
fn daemon(s25r: &str) -> Daemon {
    daemon_with(&[s25r])
}

/// A daemon with the installed lists and these options.
fn daemon_with(options: &[&str]) -> Daemon {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lists");
    let mut options: Vec<String> = options.iter().map(ToString::to_string).collect();
    for name in [
        "whitelist-clients",
        "whitelist-recipients",
        "whitelist-senders",
        "s25r-exceptions",
    ] {
        let file = lists.join(name.replace('-', "_"));
        options.push(format!("--{name}={}", file.display()));
    }
    Daemon::start(&options)
}

/// Whether mail from this client has to wait.
fn waits(daemon: &Daemon, name: &str) -> bool {
    waits_from(daemon, name, SENDER)
}

/// Whether mail of this sender from this client has to wait.
fn waits_from(daemon: &Daemon, name: &str, sender: &str) -> bool {
    waits_at(daemon, name, "192.0.2.7", sender)
}

/// Whether mail of this sender from this client at this address has to wait.
fn waits_at(daemon: &Daemon, name: &str, address: &str, sender: &str) -> bool {
    let answer = daemon.ask(&rcpt(name, address, sender, "joe@b.example"));
    assert!(answer == "DUNNO" || answer.starts_with("DEFER_IF_PERMIT "));
    answer != "DUNNO"
}

/// The names of a file with their classes.
fn names(file: &str) -> Vec<(String, String)> {
    let text = source(&format!("tests/data/{file}"));
    let split = |line: &str| {
        let (name, class) = line.split_once('\t').expect("a name, a tab, a class");
        (name.to_owned(), class.to_owned())
    };
    text.lines().map(split).collect()
}

fn counted(daemon: &Daemon, file: &str) -> Counts {
    counted_from(daemon, file, |_, _| SENDER.to_owned())
}

/// The same, of the sender that each has by its number in the file and its class.
fn counted_from(daemon: &Daemon, file: &str, sender: impl Fn(usize, &str) -> String) -> Counts {
    let mut counts = Counts::new();
    for (number, (name, class)) in names(file).into_iter().enumerate() {
        let sender = sender(number, &class);
        let (all, waiting) = counts.entry(class).or_default();
        *all += 1;
        *waiting += u32::from(waits_from(daemon, &name, &sender));
    }
    counts
}

/// Clients that wait, of all.
fn sums(counts: &Counts) -> String {
    let sum = |of: fn(&(u32, u32)) -> u32| counts.values().map(of).sum::<u32>();
    format!("{} of {}", sum(|count| count.1), sum(|count| count.0))
}

fn table(rows: &[(&str, u32, u32)]) -> Counts {
    rows.iter()
        .map(|(class, all, waiting)| ((*class).to_owned(), (*all, *waiting)))
        .collect()
}

#[test]
fn of_mail_servers_only_those_with_default_names_wait_under_s25r() {
    let want = table(&[
        ("company", 4, 0),
        ("default-name", 9, 9),
        ("esp", 31, 0),
        ("gateway", 9, 0),
        ("hoster", 5, 0),
        ("japan", 21, 0),
        ("mailbox", 40, 0),
        ("university", 4, 0),
    ]);
    for option in BOTH {
        let daemon = daemon(option);
        assert_eq!(counted(&daemon, "senders-legitimate.tsv"), want, "{option}");
        assert!(waits(&daemon, "unknown"));
    }
}

#[test]
fn the_figures_of_the_selective_recipe_are_those_of_the_lists() {
    let page = source("man/stargrey.7");
    let shown = BOTH.map(|option| (option, format!("\\fB{option}\\fR")));
    for (option, shown) in [("--delay=300", "(none)".to_owned())]
        .into_iter()
        .chain(shown)
    {
        let daemon = daemon(option);
        let [senders, lines] = ["senders-legitimate.tsv", "clients-dynamic.tsv"]
            .map(|file| sums(&counted(&daemon, file)));
        let row = format!("\n{shown}|{senders}|{lines}\n");
        assert!(page.contains(&row), "{row}");
    }
}

/// Nine of ten mail servers and, as in a public collection, 43 in a hundred sources of phish are named by the SPF record
/// of their senders; end users' connections never are.
#[test]
fn the_figures_with_spf_are_those_of_the_lists_and_a_zone_for_a_stated_part_of_the_senders() {
    let records: Vec<String> = (0..200)
        .map(|number| format!("n{number}.named TXT \"v=spf1 ip4:192.0.2.7 -all\"\n"))
        .collect();
    let server = ListServer::serving(&[(WITH_SPF, "generic", &records.concat())]);
    let resolver = format!("--resolver={}", server.address);
    let daemon = daemon_with(&["--s25r=extended", "--spf-excuses", &resolver]);
    let sender = |number: usize, is_named: bool| {
        let kind = if is_named { "named" } else { "none" };
        format!("eve@n{number}.{kind}.{WITH_SPF}")
    };
    let senders = counted_from(&daemon, "senders-legitimate.tsv", |number, _| {
        sender(number, number % 10 != 9)
    });
    let lines = counted_from(&daemon, "clients-dynamic.tsv", |number, class| {
        sender(number, class == "phish-source" && number * 43 % 100 < 43)
    });
    let row = format!(
        "\n\\fB--s25r=extended --spf-excuses\\fR|{}|{}\n",
        sums(&senders),
        sums(&lines)
    );
    assert!(source("man/stargrey.7").contains(&row), "{row}");
}

/// The recipe with lists that have nine of ten clients: the first list has these of the end users' connections, the
/// allowlist these of the mail servers. SPF passes for nobody.
#[test]
fn the_figures_of_the_recipe_are_those_of_lists_that_have_a_stated_part_of_the_clients() {
    let (lines, servers) = (
        names("clients-dynamic.tsv"),
        names("senders-legitimate.tsv"),
    );
    let is_listed = |number: usize| number % 10 != 9;
    let lists = |network: &str, count: usize, value: &str| {
        let listed = (0..count).filter(|number| is_listed(*number));
        let addresses = listed.map(|number| format!("{}\n", address(network, number)));
        format!(":{value}:Listed\n{}", addresses.collect::<String>())
    };
    let (bad, good) = (
        lists(LINES, lines.len(), "127.0.0.10"),
        lists(SERVERS, servers.len(), "127.0.5.2"),
    );
    let nobody = ":127.0.0.2:Listed\n";
    let spf = "anybody TXT \"v=spf1 -all\"\n";
    let server = ListServer::serving(&[
        ("zen.example", "ip4set", &bad),
        ("bl.example", "ip4set", nobody),
        ("wl.example", "ip4set", &good),
        (WITH_SPF, "generic", spf),
    ]);
    let resolver = format!("--resolver={}", server.address);
    let recipe = [
        "--s25r=extended",
        "--lookup-by-domain",
        "--spf",
        "--dnsbl-sites=zen.example=127.0.0.[2..11]*3",
        "--dnsbl-sites=bl.example*2",
        "--dnsbl-sites=wl.example=127.0.[0..255].[1..3]*-4",
        "--dnsbl-threshold=2",
        "--dnsbl-allowlist-threshold=-2",
    ];
    let daemon = daemon_with(&[&recipe[..], &[&resolver]].concat());
    let waiting = |network: &str, names: &[(String, String)]| {
        let waits = names.iter().enumerate().filter(|(number, (name, _))| {
            let sender = format!("eve@anybody.{WITH_SPF}");
            waits_at(&daemon, name, &address(network, *number), &sender)
        });
        format!("{} of {}", waits.count(), names.len())
    };
    let row = format!(
        "\nthe recipe, with DNS lists|{}|{}\n",
        waiting(SERVERS, &servers),
        waiting(LINES, &lines)
    );
    assert!(source("man/stargrey.7").contains(&row), "{row}");
}

/// The address of this number in a network.
fn address(network: &str, number: usize) -> String {
    format!("{network}.{number}")
}

#[test]
fn the_same_senders_do_not_wait_by_other_names() {
    for option in BOTH {
        let daemon = daemon(option);
        for name in OTHER_NAMES {
            assert!(!waits(&daemon, name), "{option} {name}");
        }
    }
}

#[test]
fn no_entry_of_the_lists_lets_an_end_user_in() {
    // Four names like abyj26.neoplus.adsl.tpnet.pl match rule 7 only.
    for (option, residential) in BOTH.into_iter().zip([75, 79]) {
        let want = table(&[
            ("business-line", 4, 4),
            ("cloud-default", 5, 5),
            // vps-aaf6273b.vps.ovh.net and a name below one like it match no rule.
            ("phish-source", 20, 18),
            ("residential", 79, residential),
        ]);
        let daemon = daemon(option);
        assert_eq!(counted(&daemon, "clients-dynamic.tsv"), want, "{option}");
        for name in CUSTOMERS {
            assert!(waits(&daemon, name), "{option} {name}");
        }
    }
}

#[test]
fn without_its_exceptions_s25r_extended_spares_more_mail_servers_and_matches_more_lines() {
    for (rules, legitimate, lines) in [(Rules::Classic, 57, 102), (Rules::Extended, 48, 106)] {
        let matched = |file| {
            let names = names(file).into_iter();
            let rules = names.filter_map(|(name, _)| s25r::find(name.as_bytes(), rules).rule());
            rules.count()
        };
        assert_eq!(matched("senders-legitimate.tsv"), legitimate, "{rules:?}");
        assert_eq!(matched("clients-dynamic.tsv"), lines, "{rules:?}");
    }
}

#[test]
fn every_entry_of_the_client_list_has_its_reason_beside_it() {
    let list = source("src/lists/whitelist_clients");
    let reasons: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(reasons, ["pool", "sender", "retry", "queue"]);
    let mut known = 0;
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        if line.is_empty() {
            continue;
        }
        let (_, comment) = line.split_once("# ").expect(line);
        let reason = comment.split([' ', ';', ':']).next().expect("a word");
        assert!(reasons.contains(&reason), "{line}");
        known += 1;
    }
    assert!(known > 40, "{known}");
}
