//! Files of the kinds that are found in public.

use super::super::{Action, ClauseKind, DomainName, EntryStage, GreylistConf, SpamdSocket, Test};
use super::{clean, read};
use crate::policy::chain::Report;
use crate::types::{Prefix, Span};

const NETWORKS: &str = include_str!("../../../../fuzz/seeds/greylist_conf/networks");
const GEOIP: &str = include_str!("../../../../fuzz/seeds/greylist_conf/geoip");
const STAT: &str = include_str!("../../../../fuzz/seeds/greylist_conf/stat");
const MESSAGE: &str = include_str!("../../../../fuzz/seeds/greylist_conf/message");
const DNSRBL: &str = include_str!("../../../../fuzz/seeds/greylist_conf/dnsrbl");
const OUTGOING: &str = include_str!("../../../../fuzz/seeds/greylist_conf/outgoing");
const LEGACY: &str = include_str!("../../../../fuzz/seeds/greylist_conf/legacy");
const S25R: &str = include_str!("../../../../fuzz/seeds/greylist_conf/s25r");
const CLAUSES: &str = include_str!("../../../../fuzz/seeds/greylist_conf/clauses");

/// A file without errors, and the begin of each warning up to the sentence.
fn loaded(text: &str) -> (GreylistConf, Vec<String>) {
    let (conf, errors, warnings) = read(text);
    assert_eq!(errors, Vec::<String>::new());
    let begin = |warning: &String| {
        let parts: Vec<&str> = warning.splitn(3, ": ").collect();
        parts[..2].join(": ")
    };
    (conf, warnings.iter().map(begin).collect())
}

/// Action and line of each entry.
fn outline(conf: &GreylistConf) -> Vec<(Action, u32)> {
    let entries = conf.recipient.iter();
    entries.map(|entry| (entry.action, entry.at.line)).collect()
}

#[test]
fn lists_of_networks_and_a_default_that_waits() {
    let (conf, warnings) = loaded(NETWORKS);
    let without_effect = |line: u32, word: &str| format!("{line}:1: {word} has no effect");
    assert_eq!(
        warnings,
        [
            without_effect(2, "pidfile"),
            without_effect(3, "socket"),
            without_effect(4, "dumpfile"),
            without_effect(5, "dumpfreq"),
            without_effect(6, "user"),
        ]
    );
    assert!(conf.globals.quiet.is_some());
    let bits = conf.globals.ipv4_bits.expect("subnetmatch");
    assert_eq!((bits.value, bits.at.line), (24, 9));
    let items = |number: usize| conf.lists[number].items.as_ref().expect("items");
    let own = |text: &str| Test::Address(Prefix::parse(text).unwrap());
    assert_eq!(items(0)[0].value, own("127.0.0.0/8"));
    assert_eq!(items(0)[2].value, own("2001:db8::/32"));
    assert_eq!(items(1).len(), 3);
    assert_eq!(
        (items(1)[2].at.line, items(1)[2].value.clone()),
        (15, own("203.0.113.0/25"))
    );
    assert_eq!(
        outline(&conf),
        [
            (Action::Whitelist, 19),
            (Action::Whitelist, 20),
            (Action::Whitelist, 21),
            (Action::Greylist, 22),
            (Action::Greylist, 23),
        ]
    );
    let patient = &conf.recipient[3];
    assert_eq!(patient.id.as_deref(), Some("patient"));
    assert_eq!(patient.clauses[0].kind, ClauseKind::Test(Test::List(2)));
    let default = conf.recipient.last().expect("entries");
    assert!(default.is_default());
    assert_eq!(
        default.values.delay.expect("delay").value,
        Span::from_hours(24)
    );
    assert_eq!(
        default.values.auto_white.expect("autowhite").value,
        Span::from_days(3)
    );
    assert_eq!(
        &*default.text,
        "racl greylist default delay 24h autowhite 3d"
    );
}

#[test]
fn countries_that_nobody_asks_for_are_no_error() {
    let (conf, warnings) = loaded(GEOIP);
    assert_eq!(
        warnings,
        [
            "2:1: geoipdb has no effect",
            "3:1: geoipv6db has no effect",
            "4:1: the list has no effect"
        ]
    );
    assert_eq!(outline(&conf).len(), 2);
    let (conf, errors, _) = read(format!("{GEOIP}racl whitelist list \"near\"\n"));
    assert_eq!(
        errors,
        ["7:21: list \"near\" has items of type geoip: geoip: stargrey does not know countries"]
    );
    assert_eq!(outline(&conf).len(), 2, "no entry without its clause");
}

#[test]
fn the_command_of_stat_is_not_run_and_that_is_said() {
    let (conf, errors, warnings) = read(STAT);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("1:1: ") && warnings[0].ends_with("never runs a program"));
    assert_eq!(
        &*conf.statistics[0].destination,
        "|cat >> /var/log/greylist.stat"
    );
    let format = &conf.statistics[0].format;
    assert_eq!(format.pieces().len(), 19);
    assert!(
        format.text().ends_with("%Xm"),
        "the end of the line is none of it"
    );
    let (conf, _, _) = read(r#"stat ">f" "%r\t%f\n%i""#);
    assert_eq!(conf.statistics[0].format.text(), "%r %f %i");
}

#[test]
fn work_at_the_end_of_the_message_is_kept_for_it() {
    let (conf, warnings) = loaded(MESSAGE);
    assert_eq!(warnings, ["2:1: maxpeek has no effect"]);
    let socket = conf.globals.spamd_socket.clone().expect("spamdsock").value;
    assert_eq!(socket, SpamdSocket::Unix("/run/spamd.sock".into()));
    assert_eq!((conf.recipient.len(), conf.message.len()), (2, 5));
    assert!(
        conf.message
            .iter()
            .all(|entry| entry.stage == EntryStage::Message)
    );
    let refused = conf.message[1].values.code.expect("code").value;
    assert_eq!((refused.number(), refused.is_temporary()), (554, false));
    let header = &conf.message[4].values.headers[0].value;
    assert_eq!(
        (&*header.name, header.value.text(), header.index),
        ("X-Spam-Score", "%Hs", None)
    );
}

#[test]
fn lists_in_dns_have_names_zones_and_answers() {
    let conf = clean(DNSRBL);
    let lists: Vec<String> = conf
        .dns_lists
        .iter()
        .map(|list| format!("{} {}", list.zone, list.answers))
        .collect();
    assert_eq!(
        lists,
        [
            "zen.spamhaus.org 127.0.0.10/31",
            "zen.spamhaus.org 127.0.0.4/32",
            "list.dnswl.org 127.0.0.0/16"
        ]
    );
    assert_eq!(
        conf.recipient[1].clauses[0].kind,
        ClauseKind::Test(Test::DnsList(2))
    );
    assert!(conf.recipient[2].values.flush_address.is_some());
    assert_eq!(conf.recipient.len(), 5);
}

#[test]
fn limits_of_outgoing_mail_keep_their_clauses() {
    let conf = clean(OUTGOING);
    assert!(conf.globals.no_auth.is_some() && conf.globals.no_spf.is_some());
    assert_eq!(conf.rate_limits[0].limit, 250);
    assert_eq!(conf.rate_limits[1].limit, 100 << 20);
    assert_eq!(conf.rate_limits[0].period, Span::from_hours(1));
    let clauses: Vec<usize> = conf
        .recipient
        .iter()
        .map(|entry| entry.clauses.len())
        .collect();
    assert_eq!(clauses, [1, 2, 2, 0]);
    assert!(matches!(
        conf.recipient[2].clauses[0].kind,
        ClauseKind::Not(Test::Address(_))
    ));
}

#[test]
fn old_lines_come_first_and_the_last_of_them_before_the_others() {
    let conf = clean(LEGACY);
    assert_eq!(
        outline(&conf),
        [
            (Action::Whitelist, 5),
            (Action::Whitelist, 4),
            (Action::Whitelist, 3),
            (Action::Whitelist, 2),
            (Action::Whitelist, 6),
            (Action::Whitelist, 7),
            (Action::Greylist, 8),
            (Action::Greylist, 9),
        ]
    );
    assert!(conf.recipient.iter().all(|entry| !entry.is_default()));
    let partner = ClauseKind::Test(Test::Domain(DomainName::Within("partner.example".into())));
    assert_eq!(conf.recipient[2].clauses[0].kind, partner);
    let in_test_mode = format!("testmode\n{LEGACY}");
    assert_eq!(outline(&clean(&in_test_mode))[0], (Action::Greylist, 6));
}

#[test]
fn the_file_of_s25r_is_read_as_it_is() {
    let conf = clean(S25R);
    assert_eq!(conf.recipient.len(), 10);
    let expressions = conf.recipient.iter().filter(|entry| {
        matches!(&entry.clauses[..], [clause] if matches!(clause.kind, ClauseKind::Test(Test::DomainMatches(_))))
    });
    assert_eq!(expressions.count(), 8);
    let message = conf.recipient[4].values.message.clone().expect("msg").value;
    assert_eq!(message.text(), "S25R rule 2");
    // A basic expression would take the braces as they are.
    let basic = S25R.replace("extendedregex\n", "");
    let (basic, ..) = read(&basic);
    assert_ne!(basic.recipient[4].clauses, conf.recipient[4].clauses);
}

#[test]
fn every_clause_and_value_is_read() {
    let conf = clean(CLAUSES);
    assert_eq!((conf.recipient.len(), conf.message.len()), (9, 4));
    let globals = &conf.globals;
    assert!(globals.test_mode.is_some());
    assert!(globals.delayed_reject.is_some() && globals.lazy_auto_white.is_some());
    assert_eq!(
        globals.delay.expect("greylist").value,
        Span::from_seconds(600)
    );
    assert_eq!(globals.timeout.expect("timeout").value, Span::from_days(14));
    assert_eq!(
        globals.tarpit.expect("tarpit").value,
        Span::from_seconds(20)
    );
    assert_eq!(globals.ipv6_bits.expect("subnetmatch6").value, 64);
    assert_eq!(globals.report.expect("report").value, Report::NoDelays);
    let clauses: Vec<usize> = conf
        .recipient
        .iter()
        .map(|entry| entry.clauses.len())
        .collect();
    assert_eq!(clauses, [6, 2, 6, 3, 1, 4, 2, 1, 2]);
    let suffix = ClauseKind::Test(Test::Domain(DomainName::Suffix("dynamic.example".into())));
    assert_eq!(conf.recipient[7].clauses[0].kind, suffix);
}
