//! The patterns against names as they are seen, and against odd ones.

use super::{NameMatch, Rules, find, rule};

/// Names and the rule that each matches first.
#[rustfmt::skip]
const NAMES: &[(&str, Option<u8>)] = &[
    ("unknown", Some(0)),
    ("UNKNOWN", Some(0)),
    ("unknown.example.org", None),
    ("mx.unknown", None),
    ("p3157-ipbf502marunouchi.tokyo.ocn.ne.jp", Some(1)),
    ("220-139-165-188.dynamic.hinet.net", Some(1)),
    ("evrtwa1-ar3-4-65-157-048.evrtwa1.dsl-verizon.net", Some(1)),
    ("a12a190.neo.lrun.com", Some(1)),
    ("pcp04083532pcs.levtwn01.pa.comcast.net", Some(2)),
    ("398pkj.cm.chello.no", Some(3)),
    ("host.101.169.23.62.rev.coltfrance.com", Some(3)),
    ("wbar9.chi1-4-11-085-222.dsl-verizon.net", Some(4)),
    ("m226.net81-66-158.noos.fr", Some(4)),
    ("d5.GtokyoFL27.vectant.ne.jp", Some(5)),
    ("dhcp0339.vpm.resnet.group.upenn.edu", Some(6)),
    ("dialupM107.ptld.uswest.net", Some(6)),
    ("PPPbf708.tokyo-ip.dti.ne.jp", Some(6)),
    ("adsl-1415.camtel.net", Some(6)),
    ("pool-71-125-1-2.nycmny.fios.verizon.net", Some(1)),
    ("c-73-15-22-9.hsd1.ca.comcast.net", Some(1)),
    ("cpe-76-168-10-20.socal.res.rr.com", Some(1)),
    ("ip68-5-44-1.oc.oc.cox.net", Some(1)),
    ("87-205-100-12.adsl.inetia.pl", Some(1)),
    ("static.88-198-10-20.clients.your-server.de", Some(3)),
    ("h-213-61-1-2.host.de.colt.net", Some(1)),
    ("softbank126000000123.bbtec.net", Some(2)),
    ("KD106154000001.au-net.ne.jp", Some(2)),
    ("pl12345.ag1001.nttpc.ne.jp", Some(2)),
    ("user12345.example.net", Some(2)),
    ("host1234.example.net", None),
    ("xdsl7.example.net", Some(6)),
    ("ADSL-7.example.net", Some(6)),
    ("vdsl.example.net", None),
    ("dsl3", Some(6)),
    ("ppp1", Some(6)),
    ("dhcp.example7.net", None),
    ("1.2.3.4.rev.example.net", Some(3)),
    ("10.static.example.co.uk", Some(3)),
    ("3com.mail.example.com", Some(3)),
    ("mail.3com.com", None),
    ("mail.3com.example.com", None),
    ("mail.3com.sub.example.com", Some(3)),
    ("x1.y2.z.example.net", Some(5)),
    ("x1.y2.example.net", None),
    ("a1.b2-3.example.com", Some(4)),
    ("a1.b2-c3.example.com", None),
    ("mail.example.org", None),
    ("mx1.example.org", None),
    ("mx10.mail.example.org", None),
    ("smtp-out-3.example.org", None),
    ("mail-1a.example.org", None),
    ("mail-a1-b2.example.org", Some(1)),
    ("mail-lf1-x12a.google.com", Some(1)),
    ("mail-yw1-f174.google.com", Some(1)),
    ("mail-sor-f41.google.com", None),
    ("mail-eopbgr60083.outbound.protection.outlook.com", Some(2)),
    ("a11-22.smtp-out.amazonses.com", Some(1)),
    ("out-1.smtp.github.com", None),
    ("mx0a-00123456.pphosted.com", Some(1)),
    ("sonic301-20.consmr.mail.ne1.yahoo.com", Some(1)),
    ("o1678951x1.outbound-mail.sendgrid.net", Some(1)),
    ("mout.kundenserver.de", None),
    ("mail1.mcsv.net", None),
    ("us-smtp-1.mimecast.com", None),
    ("ns.example.jp", None),
    ("192.0.2.7", None),
    ("2001:db8::1", None),
    ("2001:db8:12345::1", Some(2)),
    ("::ffff:192.0.2.7", None),
    ("64:ff9b::192.0.2.7", None),
    ("[192.0.2.7]", None),
    ("", None),
    (".", None),
    ("localhost", None),
    ("a1b2c3", None),
    ("12345", Some(2)),
    ("1", None),
    ("mail-12.34567.example.org", None),
    ("xn--80ak6aa92e.example.com", Some(1)),
    ("mail_01_02.example.org", Some(1)),
];

#[test]
fn every_name_matches_the_rule_that_it_should() {
    for (name, want) in NAMES {
        assert_eq!(rule(name.as_bytes()), *want, "{name}");
    }
}

#[test]
fn every_rule_is_the_first_for_some_name() {
    for number in 0..7 {
        assert!(
            NAMES.iter().any(|(_, rule)| *rule == Some(number)),
            "{number}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_matched_as_they_are() {
    assert_eq!(rule(b"a1\xff2.example"), Some(1));
    assert_eq!(rule(b"\xff.example"), None);
    let word = find(b"\xff.dyn.a.example", Rules::Extended);
    assert_eq!(word, NameMatch::Rule(7));
}

#[test]
fn the_classic_rules_alone_are_what_they_were() {
    for (name, want) in NAMES {
        let want = want.map_or(NameMatch::NoMatch, NameMatch::Rule);
        assert_eq!(find(name.as_bytes(), Rules::Classic), want, "{name}");
    }
}

/// Names and what the extended rules say about them, where that is not what the classic ones say.
#[rustfmt::skip]
const EXTENDED: &[(&str, NameMatch)] = &[
    // A word for dynamic addresses, as a label or a word in one.
    ("abyj.neoplus.adsl.tpnet.pl", NameMatch::Rule(7)),
    ("abyj26.neoplus.adsl.tpnet.pl", NameMatch::Rule(7)),
    ("vdsl.example.net", NameMatch::Rule(7)),
    ("host1234.dyn.example.net", NameMatch::Rule(7)),
    ("HOST.DYN.EXAMPLE.NET", NameMatch::Rule(7)),
    ("gw.dynamic.example.co.uk", NameMatch::Rule(7)),
    ("a.dynamic-ip.example.net", NameMatch::Rule(7)),
    ("red.dynamicip.example.net", NameMatch::Rule(7)),
    ("a.pool12.example.net", NameMatch::Rule(7)),
    ("pool-berlin.example.de", NameMatch::Rule(7)),
    ("red.pooles.example.es", NameMatch::Rule(7)),
    ("a.internetdsl.tpnet.pl", NameMatch::Rule(7)),
    ("ab.ppp-bb.example.ne.jp", NameMatch::Rule(7)),
    ("dhcp-room.example.edu", NameMatch::Rule(7)),
    ("x.cable.example.nl", NameMatch::Rule(7)),
    ("modemcable7.example.ca", NameMatch::Rule(7)),
    ("x.dialup.example.net", NameMatch::Rule(7)),
    ("x.cust.example.no", NameMatch::Rule(7)),
    ("x.customer.example.dk", NameMatch::Rule(7)),
    ("x_pool_y.example.net", NameMatch::Rule(7)),
    ("x.dyn.example.net.", NameMatch::Rule(7)),
    // A mail host, and yet a line.
    ("mail-dyn-1-2.example.com", NameMatch::Rule(7)),
    ("mail12345.dyn.example.com", NameMatch::Rule(2)),
    ("smtp.pool.example.com", NameMatch::Rule(7)),
    // Below a suffix that the list does not know, two labels count as the domain.
    ("x.dyn.example.unknowntld", NameMatch::Rule(7)),
    // A mail host directly below its domain.
    ("mail-a1-b2.example.org", NameMatch::MailHost(1)),
    ("mail-lf1-x12a.google.com", NameMatch::MailHost(1)),
    ("mx0a-00123456.pphosted.com", NameMatch::MailHost(1)),
    ("MX0A-00123456.PPHOSTED.COM", NameMatch::MailHost(1)),
    ("mail-12345.example.co.uk", NameMatch::MailHost(2)),
    ("smtp-out2-1a1.example.org", NameMatch::MailHost(1)),
    ("mta203-ab1.mtasv.net", NameMatch::MailHost(1)),
    ("lb2-smtp-cloud8.xs4all.net", NameMatch::MailHost(1)),
    ("out1-2.example.net", NameMatch::MailHost(1)),
    ("relay12345.example.net", NameMatch::MailHost(2)),
    ("mxout1-2.example.net", NameMatch::MailHost(1)),
    ("mail_01_02.example.org", NameMatch::MailHost(1)),
    ("mail-1-2.example.org.", NameMatch::MailHost(1)),
];

/// Names about which the extended rules say what the classic ones say.
#[rustfmt::skip]
const UNCHANGED: &[&str] = &[
    "unknown",
    "mail.example.org", "mx.example.org", "ns.example.jp",
    // No more than one label, and no word that only looks like mail.
    "mail-1-2.sub.example.org", "a1-2.mail.example.org", "max-1-2.example.org", "outer-1-2.example.org",
    "a11-22.smtp-out.amazonses.com", "mail12345.example.unknowntld", "mail12345",
    // Words in the organizational domain, and in other words.
    "mx.dyn.com", "mail.cable.co.uk", "server.ntp-pool.com", "www.dsl-example.de", "dyn.com",
    "mx.liverpool-city.example.com", "mx.landslide.example.com", "a.dynamics.example.com", "mx.poolside.example.com",
    "mx.customs.example.com", "mx.loadslist.example.com", "mx.example-dyn.com", "a.applecables.example.com",
    "a.dip.example.it",
    // Addresses, and no names.
    "192.0.2.7", "2001:db8::dd", "", ".", "..", "dsl", "dyn.", "a..b",
];

#[test]
fn the_extended_rules_add_dynamic_words_and_spare_mail_hosts() {
    for (name, want) in EXTENDED {
        assert_eq!(find(name.as_bytes(), Rules::Extended), *want, "{name}");
    }
    for name in UNCHANGED {
        let name = name.as_bytes();
        let classic = find(name, Rules::Classic);
        assert_eq!(
            find(name, Rules::Extended),
            classic,
            "{}",
            name.escape_ascii()
        );
    }
}

#[test]
fn a_name_of_a_line_is_one_under_either_set_of_rules() {
    for (name, rule) in NAMES {
        let says_mail = ["mail", "smtp", "mx0a"]
            .iter()
            .any(|word| name.contains(word));
        if let Some(rule) = rule
            && !says_mail
        {
            assert_eq!(
                find(name.as_bytes(), Rules::Extended),
                NameMatch::Rule(*rule),
                "{name}"
            );
        }
    }
}
