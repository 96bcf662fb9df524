//! Names and addresses of clients: such as there are, and such as nobody expects.

use std::fmt::Write as _;

use crate::postgrey::random::Random;

/// How many names are made of each form.
const EACH: u64 = 60;

/// Names as providers and mail services give them. `#` is a number, `%` one of up to five digits,
/// `@` a letter, `&` a number in hexadecimal.
const FORMS: &[&str] = &[
    "#-#-#-#.dynamic.isp.example",
    "dhcp-#-#-#-#.pool.example.net",
    "ppp#.dialup.example.co.jp",
    "adsl-#-#.dsl.example.com",
    "dsl%.example.de",
    "xdsl#.example.fi",
    "p%-ipngn%tokyo.tokyo.example.ne.jp",
    "softbank#########.example.jp",
    "host#-#-#-#.range#-#.example.co.uk",
    "c-#-#-#-#.hsd1.ca.example.net",
    "cpe-#-#-#-#.example.rr.com",
    "@#.@#.example.org",
    "pool-#-#-#-#.nycmny.fios.example.net",
    "h#.s#.example.se",
    "#.#.#.#",
    "#.#.#.#.in-addr.example",
    "static.#.#.#.#.clients.example.de",
    "mail-@@#-f#.google.com",
    "mail-@@#-x#&.google.com",
    "a#-#.smtp-out.eu-west-1.example.com",
    "mail-@@%.outbound.protection.outlook.com",
    "o#.ptr%.example.com",
    "mx#.example.net",
    "smtp@.mail.example.org",
    "mta-#.@@@.example",
    "u%.onlinehome-server.example",
    "ns%.ip-#-#-#.eu",
    "vps-&&&&.example.net",
    "ec2-#-#-#-#.compute-1.example.com",
    "ip#.ip-#-#-#.example",
    "2001:db8:&&::&&",
    "fe80::&&&&:&&&&",
    "user.@@@#.example.com",
    "MAIL#.EXAMPLE.COM",
    "Mail-@#.Example.Net",
    "@_#.example.net",
    "@@@@@.@@",
];

/// Names that no form makes.
const ODD: &[&str] = &[
    "",
    "unknown",
    "UNKNOWN",
    "localhost",
    ".",
    "..",
    "...",
    "-",
    "--",
    "_",
    "a",
    "A",
    "z",
    "0",
    "9",
    "ab",
    "aB",
    "abc",
    "aab",
    "abab",
    "aaa",
    "aaaaa",
    "b",
    "bb",
    "c",
    "d",
    "D",
    "n",
    "w",
    "s",
    "x",
    "a.",
    ".a",
    "a..b",
    "a-",
    "-a",
    "-a-",
    "a_b",
    "_a_",
    "a b",
    " ",
    "  a",
    "a  ",
    "\\",
    "\\d",
    "a\\b",
    "\\.",
    "/",
    "a/b",
    "$1",
    "$$",
    "$",
    "^",
    "^a",
    "a^b",
    "a$",
    "a$b",
    "*",
    "*a",
    "a*",
    "+",
    "a+",
    "?",
    "a?",
    "{",
    "}",
    "{1}",
    "a{1}",
    "a{1,2}",
    "(",
    ")",
    "a)",
    "(a)",
    "[",
    "]",
    "[a]",
    "[192.0.2.1]",
    "|",
    "a|b",
    "!",
    "!a",
    "#",
    "# a",
    "a#b",
    "~",
    "%",
    "=",
    "[:alpha:]",
    ":",
    "::1",
    "::",
    "1.2.3.4",
    "1.2.3.4.",
    "01.02.03.04",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "a1",
    "1a",
    "1-2",
    "a1.b2.c3.example.com",
    "a1b2.example.com",
    "1.example.com",
    "a.1b.c.example.com",
    "a1.b1-1.c",
    "xn--mller-kva.example",
    "müller.example",
    "日本語.example",
    "a'b",
    "`",
    "a`b",
    "\"",
    "<a>",
    "a,b",
    "a;b",
    "a&b",
    "a@b",
    "user@example.com",
    "\u{1}",
    "a\u{7f}b",
    "endif",
    "if /a/",
];

/// Bytes that are no text.
const BYTES: &[&[u8]] = &[
    b"\xff",
    b"a\xffb",
    b"\x80\x81",
    b"\xc3",
    b"ma\xefl1.example",
    b"\xc3\xa4\xff",
];

/// All of them, each once.
pub(super) fn all() -> Vec<Vec<u8>> {
    let mut random = Random::seeded(25);
    let mut names: Vec<Vec<u8>> = Vec::new();
    names.extend(ODD.iter().map(|name| name.as_bytes().to_vec()));
    names.extend(BYTES.iter().map(|name| name.to_vec()));
    names.push("a".repeat(255).into_bytes());
    names.push("a1.".repeat(85).into_bytes());
    names.push("-9".repeat(127).into_bytes());
    for form in FORMS {
        names.extend((0..EACH).map(|_| fill(form, &mut random)));
    }
    names.sort();
    names.dedup();
    random.shuffle(&mut names);
    names
}

fn fill(form: &str, random: &mut Random) -> Vec<u8> {
    let mut name = String::new();
    for c in form.chars() {
        match c {
            '#' => name += &random.below(256).to_string(),
            '%' => name += &random.below(100_000).to_string(),
            '@' => name.push(*random.pick(&['a', 'b', 'c', 'd', 'm', 'x', 'z'])),
            '&' => write!(name, "{:x}", random.below(65536)).unwrap(),
            other => name.push(other),
        }
    }
    name.into_bytes()
}
