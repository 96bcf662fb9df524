//! Clients, senders and recipients with every oddity that Postgrey treats in its own way.
//!
//! A *family* is one correspondent; each call spells it anew, as the next mail of the same
//! correspondent would: other digits, another tag, another case.

use std::net::Ipv6Addr;

use super::random::Random;

/// Networks that clients come from, the last octet left off.
const NETWORKS: &[&str] = &[
    "192.0.2",
    "192.0.2",
    "192.0.3",
    "198.51.100",
    "203.0.113",
    "10.1.2",
    "100.64.7",
    "127.0.0",
    // Near and in the client list.
    "10.9.8",
    "10.20.255",
    "10.22.0",
    "10.30.40",
    "10.30.41",
    "10.50.0",
];

/// Networks of IPv6 clients, their upper 64 bits. Differences in bits 48 to 64 matter to `--ipv6cidr`.
const NETWORKS6: &[u64] = &[
    0x2001_0db8_0000_0001,
    0x2001_0db8_0000_0001,
    0x2001_0db8_0000_0003,
    0x2001_0db8_0006_0000,
    0x2001_0db8_abcd_ef01,
    0x2a01_04f8_0000_0000,
    0xfe80_0000_0000_0000,
    0,
    // Near and in the client list.
    0x2001_0db8_00aa_0000,
    0x2001_0db8_00aa_0001,
    0x2001_0db8_00ab_0001,
];

/// Client names, those of the list and those that only look so.
const NAMES: &[&str] = &[
    "mail.sender.example",
    "mx1.sender.example",
    "mail-12.sender.example",
    "unknown",
    "",
    "localhost",
    "relay.white.example",
    "white.example",
    "a.b.white.example",
    "offwhite.example",
    "white.example.org",
    "pool-17.dyn.example",
    "pool-x.dyn.example",
    "x.pool-17.dyn.example",
    "smtp12.out.example",
    "smtpx.out.example",
    "x.dotted.example",
    "dotted.example",
    "x.wild.example",
    "x.trail.example",
    "x.10",
    "10.30.40.5",
    "host.tab.example",
    "two",
    "x.half",
    "1.2.3.4",
    "xn--bcher-kva.example",
];

/// A host within its network.
#[derive(Debug, Clone, Copy)]
pub(super) enum Host {
    /// The lowest address.
    First,
    /// Any address; in an IPv6 network it is made of the whole number.
    Number(u64),
}

impl Host {
    /// Some host; a few come often.
    pub(super) fn of(random: &mut Random) -> Self {
        match random.below(10) {
            0..=3 => Self::First,
            4..=6 => Self::Number(random.below(5)),
            _ => Self::Number(random.below(u64::MAX)),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Number(number) => number,
        }
    }
}

/// The address of a host in network number `network`, IPv4 and IPv6 in turn.
pub(super) fn client(random: &mut Random, network: u64, host: Host) -> Vec<u8> {
    let number = usize::try_from(network / 2).expect("a small number");
    if network.is_multiple_of(2) {
        let network = NETWORKS.get(number % NETWORKS.len());
        let host = 1 + host.number() % 254;
        format!("{}.{host}", network.expect("an index below the length")).into_bytes()
    } else {
        let upper = NETWORKS6.get(number % NETWORKS6.len());
        let upper = *upper.expect("an index below the length");
        let bits = u128::from(upper) << 64 | u128::from(host.number() | 1);
        spelling(random, Ipv6Addr::from(bits)).into_bytes()
    }
}

/// One of the ways to write an IPv6 address.
fn spelling(random: &mut Random, address: Ipv6Addr) -> String {
    let groups = address.segments();
    let short = groups.map(|group| format!("{group:x}")).join(":");
    let long = groups.map(|group| format!("{group:04x}")).join(":");
    match random.below(9) {
        0 => short,
        1 => long,
        2 => short.to_uppercase(),
        3 => long.to_uppercase(),
        4 => address.to_string().to_uppercase(),
        5 => {
            let [.., a, b, c, d] = address.octets();
            let [g0, g1, g2, g3, g4, g5, ..] = groups;
            format!("{g0:x}:{g1:x}:{g2:x}:{g3:x}:{g4:x}:{g5:x}:{a}.{b}.{c}.{d}")
        }
        _ => address.to_string(),
    }
}

/// The name of a client, in upper case now and then.
pub(super) fn client_name(random: &mut Random) -> Vec<u8> {
    let name = *random.pick(NAMES);
    cased(random, name.as_bytes().to_vec())
}

/// How many sender families there are.
pub(super) const SENDERS: u64 = 49;

/// A spelling of sender family `family`. With `slashes` some have a `/` in the local part.
pub(super) fn sender(random: &mut Random, family: u64, slashes: bool) -> Vec<u8> {
    let number = random.below(40);
    let tag = tag(random);
    let text = match family {
        0..=2 => String::new(),
        3 => "MAILER-DAEMON".to_owned(),
        4..=8 => format!("user{family}@sender.example"),
        9 if number.is_multiple_of(2) => format!("bob+a+{number}@sender.example"),
        9 => format!("bob+tag{number}@sender.example"),
        10 => format!("+tag{number}@sender.example"),
        11 => format!("bounce-{number}-7@lists.example"),
        12 => format!("bounce_{number}@lists.example"),
        13 => format!("bounce-{number}_7@lists.example"),
        14 => format!("b{number}c@lists.example"),
        15 => format!("{number}@digits.example"),
        16 => format!("{number}.x.{number}@digits.example"),
        17 => format!("x.{number}@host{}.example", number % 3),
        18 => format!("x@{}.example", number % 3),
        19 => format!("prvs={tag}=carol@batv.example"),
        20 => format!("prvs=carol={tag}@batv.example"),
        21 => format!("prvs={tag}={tag}@batv.example"),
        22 => format!("prvs=ab{}=cd@batv.example", number % 2),
        23 => format!("prvs={tag}=dave+{number}@batv.example"),
        24 => format!("prvs={tag}=list-{number}@batv.example"),
        25 => format!("PRVS={tag}=carol@batv.example"),
        26 => format!("prvs={tag}=a=b@batv.example"),
        27 => "prvs=a=b=@batv.example".to_owned(),
        28 => "prvs==b@batv.example".to_owned(),
        29 => format!("prvs={tag}@batv.example"),
        30 => "prvs=@batv.example".to_owned(),
        31 => format!("prvs={}=erin@batv.example", tag.to_uppercase()),
        32 => "\"a@b\"@quoted.example".to_owned(),
        33 => format!("\"a b+{number}@c\"@quoted.example"),
        34 => format!("\"{number}@{number}\"@quoted.example"),
        35 => "@sender.example".to_owned(),
        36 => "user@".to_owned(),
        37 => "@".to_owned(),
        38 => format!("a=b={}@sender.example", number % 3),
        39 => format!("{}-{number}@long.example", "x".repeat(400)),
        // As long as Postgrey takes a value, and different in the last byte.
        40 => format!("{}@long.exampl{}", "y".repeat(499), number % 2),
        41 => format!("%s%t%{}@sender.example", number % 2),
        42 if number.is_multiple_of(2) => format!("J\u{dc}RGEN-{number}@M\u{dc}NCHEN.example"),
        42 | 43 => format!("j\u{fc}rgen-{number}@m\u{fc}nchen.example"),
        44 => return latin_1(&format!("j\u{fc}{number}\u{fc}-{number}@sender.example")),
        45 if slashes => format!("team/{number}@sender.example"),
        46 if slashes => "user/a@b/c.example".to_owned(),
        47 => format!("msprvs1={tag}=bounces-{number}@batv.example"),
        _ => format!("u{}@random.example", random.below(1_000_000)),
    };
    cased(random, text.into_bytes())
}

/// How many recipient families there are.
pub(super) const RECIPIENTS: u64 = 45;

/// A spelling of recipient family `family`. With `slashes` some have a `/` in the local part.
pub(super) fn recipient(random: &mut Random, family: u64, slashes: bool) -> Vec<u8> {
    let number = random.below(3);
    let text = match family {
        0..=11 => format!("user{family}@here.example"),
        12 => format!("user+x{number}@here.example"),
        13 => format!("user{number}@there.example"),
        14 => "postmaster@here.example".to_owned(),
        15 => format!("abuse+{number}@there.example"),
        16 => "abusive@there.example".to_owned(),
        17 => "info@free.example".to_owned(),
        18 => "info@sub.free.example".to_owned(),
        19 => "info@carefree.example".to_owned(),
        20 => "chief@here.example".to_owned(),
        21 => format!("chief+{number}@here.example"),
        22 => "chief@sub.here.example".to_owned(),
        23 => "thief.chief@here.example".to_owned(),
        24 => format!("sales{number}@here.example"),
        25 => "salesx@here.example".to_owned(),
        26 => "@nobody.example".to_owned(),
        27 => "+x@nobody.example".to_owned(),
        28 => "a@nobody.example".to_owned(),
        29 => "postmaster".to_owned(),
        30 => "sub.free.example".to_owned(),
        31 => String::new(),
        32 => "m\u{fc}ller@here.example".to_owned(),
        33 => return latin_1("m\u{fc}ller@here.example"),
        34 => "b\u{fc}ro@here.example".to_owned(),
        35 => return latin_1("b\u{fc}ro@here.example"),
        36 => "\u{17f}ales1@here.example".to_owned(),
        37 => "\"a@b\"@here.example".to_owned(),
        38 => format!("x@%s.%r.{number}.example"),
        39 => format!("{}@here.example", "z".repeat(200 + 100)),
        40 => "list+owner+x@here.example".to_owned(),
        41 => "ops@here.example@free.example".to_owned(),
        42 if slashes => format!("dept/{number}@here.example"),
        43 if slashes => "x@y/z.example".to_owned(),
        _ => format!("u{}@here.example", random.below(1_000_000)),
    };
    cased(random, text.into_bytes())
}

/// Ten letters and digits as BATV makes them.
fn tag(random: &mut Random) -> String {
    let mut tag = format!("{:04}", random.below(10_000));
    for _ in 0..6 {
        tag.push(*random.pick(&['0', '5', '9', 'a', 'c', 'f', 'z']));
    }
    tag
}

/// The text with one byte a character.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).expect("Latin-1"))
        .collect()
}

/// Now and then ASCII letters in upper case, all or a few. Others are never touched.
fn cased(random: &mut Random, mut text: Vec<u8>) -> Vec<u8> {
    // The tag of a BATV address is told by its lower case, so that stays in most.
    if text.starts_with(b"prvs=") && random.percent(80) {
        return text;
    }
    match random.below(10) {
        0 => text.make_ascii_uppercase(),
        1 => {
            for byte in &mut text {
                if random.percent(30) {
                    byte.make_ascii_uppercase();
                }
            }
        }
        _ => {}
    }
    text
}
