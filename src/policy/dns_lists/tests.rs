use super::*;

const AT_THREE: Thresholds = Thresholds {
    suspicious: 3,
    reject: Some(4),
    allow: Some(-2),
};

fn client(text: &str) -> ClientIp {
    ClientIp::parse(text.as_bytes()).unwrap()
}

fn lists(sites: &str) -> DnsLists {
    DnsLists::parse(&[sites], AT_THREE).unwrap()
}

/// What the zones have answered: one finding each, in their order.
fn evidence(lists: &DnsLists, address: &str, findings: &[Finding]) -> Evidence {
    let mut evidence = Evidence::default();
    let lookups = lists
        .zones()
        .map(|zone| Lookup::DnsList(zone.clone(), client(address)));
    evidence.add(lookups.zip(findings.iter().cloned()));
    evidence
}

fn answers(addresses: &[[u8; 4]]) -> Finding {
    Finding::Addresses(addresses.iter().copied().map(Ipv4Addr::from).collect())
}

#[test]
fn sites_are_read_as_postfix_reads_them() {
    let good = [
        ("zen.spamhaus.org", 1),
        ("Zen.Spamhaus.ORG.*3", 1),
        ("zen.spamhaus.org=127.0.0.[2..11]*3, bl.spamcop.net*2", 2),
        (
            "list.dnswl.org=127.[0..255].[0..255].0*-2\tlist.dnswl.org=127.0.[0;2..15].[1;2;3]*-4",
            1,
        ),
        ("", 0),
        (" , ,", 0),
        ("a_b.example", 1),
    ];
    for (text, zones) in good {
        let lists = DnsLists::parse(&[text], AT_THREE).unwrap();
        assert_eq!(lists.zones().count(), zones, "{text}");
        assert_eq!(lists.is_empty(), zones == 0, "{text}");
    }
    let (zone, special) = (ZoneError::Name.into(), ZoneError::Special.into());
    let bad = [
        ("*3", zone),
        (".", zone),
        ("a..b", zone),
        ("-a.test", zone),
        ("a-.test", zone),
        ("192.0.2.1", zone),
        ("bl.localhost", special),
        ("a b/c", zone),
        ("a=", SiteError::Filter),
        ("a=127.0.0", SiteError::Filter),
        ("a=127.0.0.2.3", SiteError::Filter),
        ("a=127.0.0.256", SiteError::Filter),
        ("a=127.0.0.[3..2]", SiteError::Filter),
        ("a=127.0.0.[]", SiteError::Filter),
        ("a=127.0.0.[2", SiteError::Filter),
        ("a=127.0.0.+2", SiteError::Filter),
        ("a*x", SiteError::Weight),
        ("a*1.5", SiteError::Weight),
        ("a*99999999", SiteError::Weight),
        ("a*2 a*3", SiteError::Twice),
    ];
    for (text, why) in bad {
        // The site that is wrong is the last one.
        let site = text.split(' ').next_back().unwrap_or_default().to_owned();
        let want = BadSite { site, why };
        assert_eq!(DnsLists::parse(&[text], AT_THREE), Err(want), "{text}");
    }
    let many: Vec<String> = (0..=MOST_SITES).map(|n| format!("l{n}.example")).collect();
    let refused = DnsLists::parse(&many, AT_THREE).map_err(|bad| bad.why);
    assert_eq!(refused, Err(SiteError::TooMany));
}

#[test]
fn the_name_that_is_asked_for_is_the_address_in_reverse() {
    let lists = lists("list.example");
    let zone = lists.zones().next().unwrap();
    assert_eq!(zone.name(client("192.0.2.99")), "99.2.0.192.list.example.");
    assert_eq!(
        zone.name(client("::ffff:192.0.2.99")),
        "99.2.0.192.list.example."
    );
    let v6 = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example.";
    assert_eq!(zone.name(client("2001:db8::567:89ab")), v6);
}

#[test]
#[rustfmt::skip]
fn the_weights_of_matching_sites_add_up() {
    use Standing::{Allowed, Rejected, Suspicious, Unlisted};
    let sites = "zen.example=127.0.0.[2..11]*3, zen.example=127.0.0.10*2, bl.example*1, \
                 wl.example=127.0.[0..255].[1..3]*-4";
    let (absent, silent) = (|| Finding::Absent, || Finding::NoAnswer);
    let one = |last: u8| answers(&[[127, 0, 0, last]]);
    let good = || answers(&[[127, 0, 5, 1]]);
    let two = answers(&[[127, 0, 0, 2], [127, 0, 0, 3]]);
    let (code, outside) = (answers(&[[127, 255, 255, 254]]), answers(&[[192, 0, 2, 1]]));
    let cases = [
        ("nowhere", absent(), absent(), absent(), (0, 0, None, Unlisted)),
        ("in one", one(2), absent(), absent(), (3, 0, Some(0), Suspicious)),
        ("two sites of a zone", one(10), absent(), absent(), (5, 0, Some(0), Rejected)),
        ("no site has it", one(12), absent(), absent(), (0, 0, None, Unlisted)),
        ("all silent but one", silent(), one(2), silent(), (1, 2, Some(1), Unlisted)),
        ("bad and known to be good", one(2), absent(), good(), (-1, 0, Some(0), Unlisted)),
        ("known to be good", absent(), absent(), good(), (-4, 0, None, Allowed)),
        ("known to be good, a light zone silent", absent(), silent(), good(), (-4, 1, None, Allowed)),
        ("known to be good, a heavy zone silent", silent(), absent(), good(), (-4, 1, None, Unlisted)),
        ("two answers", two, absent(), absent(), (3, 0, Some(0), Suspicious)),
        ("in both, from four on refused", one(2), one(2), absent(), (4, 0, Some(0), Rejected)),
        ("refused, but who could speak for it is silent", one(2), one(2), silent(), (4, 1, Some(0), Suspicious)),
        ("refused, but who could speak for it has an error code", one(10), absent(), code.clone(), (5, 1, Some(0), Suspicious)),
        ("refused, whatever a list says that could only add", one(10), silent(), absent(), (5, 1, Some(0), Rejected)),
        ("an error code", code, absent(), absent(), (0, 1, None, Unlisted)),
        ("the outside world", absent(), outside, absent(), (0, 1, None, Unlisted)),
    ];
    let lists = lists(sites);
    for (name, zen, bl, wl, (weight, silent, heaviest, standing)) in cases {
        let evidence = evidence(&lists, "192.0.2.7", &[zen, bl, wl]);
        let want = Score {
            weight,
            heaviest,
            silent,
            standing,
        };
        assert_eq!(
            lists.rate(client("192.0.2.7"), &evidence, |_, _| {}),
            Rating::Sum(want),
            "{name}"
        );
    }
}

#[test]
fn what_was_not_asked_is_asked_and_what_was_given_up_adds_nothing() {
    let lists = lists("one.example*3 two.example*3");
    let address = client("192.0.2.7");
    let lookups: Vec<Lookup> = lists
        .zones()
        .map(|zone| Lookup::DnsList(zone.clone(), address))
        .collect();
    let mut evidence = Evidence::default();
    assert_eq!(
        lists.rate(address, &evidence, |_, _| {}),
        Rating::Unknown(lookups.clone())
    );
    evidence.add([(lookups[0].clone(), answers(&[[127, 0, 0, 2]]))]);
    assert_eq!(
        lists.rate(address, &evidence, |_, _| {}),
        Rating::Unknown(vec![lookups[1].clone()])
    );
    evidence.add([(lookups[0].clone(), Finding::Absent)]);
    evidence.close();
    let want = Score {
        weight: 3,
        heaviest: Some(0),
        silent: 1,
        standing: Standing::Suspicious,
    };
    assert_eq!(
        lists.rate(address, &evidence, |_, _| {}),
        Rating::Sum(want),
        "the first finding stays"
    );
}

#[test]
fn private_and_reserved_addresses_are_not_asked_about() {
    let lists = lists("list.example");
    let cases = [
        ("192.0.2.7", true),
        ("8.8.8.8", true),
        ("2001:db8::1", true),
        ("10.1.2.3", false),
        ("172.31.0.1", false),
        ("192.168.1.1", false),
        ("127.0.0.1", false),
        ("169.254.1.1", false),
        ("100.64.0.1", false),
        ("100.128.0.1", true),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
        ("255.255.255.255", false),
        ("::1", false),
        ("fe80::1", false),
        ("fc00::1", false),
        ("ff02::1", false),
    ];
    for (address, is_asked) in cases {
        let rating = lists.rate(client(address), &Evidence::default(), |_, _| {});
        assert_eq!(rating != Rating::NotAsked, is_asked, "{address}");
    }
}
