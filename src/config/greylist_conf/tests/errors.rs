//! What is refused, and where.

use std::fmt::Write as _;
use std::path::Path;

use super::super::limits::MAX_WARNINGS;
use super::super::{MAX_ENTRIES, MAX_ERRORS, MAX_TOKEN, parse};
use super::read;

/// A text and the errors it has, the last part of each left out.
struct Case {
    text: &'static str,
    errors: &'static [&'static str],
}

const fn case(text: &'static str, errors: &'static [&'static str]) -> Case {
    Case { text, errors }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("racl greylist", &["1:1: no clause; write default"]),
    case("racl greylist delay 5m", &["1:1: no clause"]),
    case("racl continue addheader \"X: y\"", &["1:1: no clause"]),
    case("racl", &["1:5: expected greylist, whitelist, blacklist or continue, found the end of the line"]),
    case("racl pass default", &["1:6: \"pass\" is not greylist, whitelist, blacklist or continue"]),
    case("acl continue default", &["1:5: \"continue\" is not greylist, whitelist or blacklist"]),
    case("acl \"id\" greylist default", &["1:5: expected greylist, whitelist or blacklist, found \"\\\"id\\\"\""]),
    case("racl greylist default addr 192.0.2.1", &["1:23: default stands alone"]),
    case("racl greylist addr 192.0.2.1 default", &["1:30: unknown clause \"default\""]),
    case("racl greylist delay 5m addr 192.0.2.1", &["1:24: a clause must come before"]),
    case("racl greylist default delay 5m delay 6m", &["1:32: a second delay"]),
    case("racl greylist addr 192.0.2.1 addr 192.0.2.2", &["1:30: a second addr"]),
    case("racl greylist helo \"a\" helo /b/", &["1:24: a second helo"]),
    case("greylisted 5m", &["1:1: unknown statement \"greylisted\""]),
    case("{", &["1:1: expected a statement, found \"{\""]),
    case("racl greylist sender a@b.example", &["1:15: unknown clause \"sender\""]),
    case("racl greylist default ; racl", &["1:23: expected a clause, found \";\""]),
    case("quiet noauth", &["1:7: expected the end of the line, found \"noauth\""]),
    case("racl greylist addr 192.0.2.256", &["1:20: bad address \"192.0.2.256\""]),
    case("racl greylist addr 192.0.2.0/33", &["1:20: bad address \"192.0.2.0/33\""]),
    case("racl greylist addr", &["1:19: expected an address or a network, found the end of the line"]),
    case("racl greylist from \"a@b.example\"", &["1:20: expected a mail address without quotation marks"]),
    case("racl greylist from <>", &["1:20: expected a mail address"]),
    case("racl greylist from joe", &["1:20: expected a mail address"]),
    case("racl greylist domain \"a.example\"", &["1:22: expected the name of a host or domain without quotation marks"]),
    case("racl greylist helo localhost", &["1:20: expected a text in quotation marks or an expression, found \"localhost\""]),
    case("racl greylist helo \"a", &["1:20: the closing quotation mark is missing"]),
    case("racl greylist helo /a\nracl greylist helo /(/", &["1:20: the closing / of the expression is missing"]),
    case("extendedregex\nracl greylist helo /(/", &["2:20: bad expression: a ( without its )"]),
    case("racl greylist helo /\\(/", &["1:20: bad expression: a ( without its )"]),
    case("racl greylist helo //", &["1:20: an empty expression"]),
    case("racl greylist list \"x\"", &["1:20: no list \"x\" is defined above"]),
    case("racl greylist dnsrbl \"x\"", &["1:22: no dnsrbl \"x\" is defined above"]),
    case("racl greylist sm_macro \"x\"", &["1:24: no sm_macro \"x\" is defined above"]),
    case("racl greylist ratelimit \"x\"", &["1:25: no ratelimit \"x\" is defined above"]),
    case("list \"x\" addr { 192.0.2.1 }\nlist \"x\" addr { 192.0.2.2 }", &["2:6: list \"x\" is defined at line 1 already"]),
    case("list \"x\" addr { 192.0.2.1\n192.0.2.2 }", &["1:26: expected }, or a backslash at the end of the line", "2:1: unknown statement \"192.0.2.2\""]),
    case("list \"x\" addr { }", &["1:17: expected an address or a network, found \"}\""]),
    case("list \"x\" colour { \"red\" }", &["1:10: \"colour\" is not a type"]),
    case("list \"x\" addr 192.0.2.1", &["1:15: expected {, found \"192.0.2.1\""]),
    case("list \"x\" time { \"* * *\" }", &["1:17: bad time: expected five fields"]),
    case("racl greylist time \"* 24 * * *\"", &["1:20: bad time: \"24\": the hour is a number from 0 to 23"]),
    case("racl greylist default code \"abc\"", &["1:28: \"abc\" is not a reply code"]),
    case("racl greylist default code \"460\"", &["1:28: \"460\" is not a reply code"]),
    case("racl greylist default code \"550\"", &["1:23: a greylist reply needs a code that begins with 4, not 550"]),
    case("racl blacklist default code \"451\"", &["1:24: a blacklist reply needs a code that begins with 5, not 451"]),
    case("racl greylist default ecode \"5.7.1\"", &["1:23: ecode \"5.7.1\" does not begin with 4"]),
    case("racl greylist default ecode \"4.7\"", &["1:29: \"4.7\" is not an enhanced status code"]),
    case("racl whitelist default addheader \"%r: x\"", &["1:34: the name of the header in \"%r: x\" must be constant"]),
    case("racl whitelist default addheader \"no colon\"", &["1:34: the name of the header"]),
    case("racl greylist header \"x\"", &["1:15: header can be tested in dacl entries only"]),
    case("racl greylist spamd > 5", &["1:15: spamd can be tested in dacl entries only"]),
    case("dacl greylist helo \"x\"", &["1:15: helo can be tested in racl entries only"]),
    case("list \"b\" body { \"x\" }\nracl greylist list \"b\"", &["2:15: list can be tested in dacl entries only"]),
    case("racl greylist not set $x=1", &["1:15: set cannot be negated"]),
    case("racl greylist ! log \"x\"", &["1:15: log cannot be negated"]),
    case("racl greylist not", &["1:18: expected a clause, found the end of the line"]),
    case("racl greylist set $x == 1", &["1:23: expected a text in quotation marks, a number or a property"]),
    case("racl greylist $x = 1", &["1:18: expected a text in quotation marks or an expression"]),
    case("racl greylist $ 1", &["1:15: expected the name of a property"]),
    case("dacl greylist spamd > 5,5", &["1:24: expected a clause, found \",5\""]),
    case("dacl greylist spamd > five", &["1:23: \"five\" is not a score"]),
    case("dacl greylist msgsize = 5", &["1:23: expected one of =="]),
    case("greylist 5x", &["1:10: \"5x\" is not a time"]),
    case("greylist -5", &["1:10: \"-5\" is not a time"]),
    case("greylist 5M", &["1:10: \"5M\" is not a time"]),
    case("timeout 401d", &["1:9: \"401d\" is longer than 400 days"]),
    case("timeout 99999999999999999999w", &["1:9: \"99999999999999999999w\" is not a time"]),
    case("timeout 18446744073709551615w", &["1:9: \"18446744073709551615w\" is longer than 400 days"]),
    case("greylist 5d\ntimeout 5d", &["1:1: the delay is not shorter than the timeout at line 2"]),
    case("timeout 1h\nracl greylist default delay 2h", &["2:23: the delay is not shorter than the timeout at line 1"]),
    case("subnetmatch 24", &["1:13: expected / and a number of bits"]),
    case("subnetmatch /33", &["1:13: \"33\" is not a number of bits from 0 to 32"]),
    case("report sometimes", &["1:8: \"sometimes\" is not none, delays, nodelays or all"]),
    case("spamdsock tcp \"x\"", &["1:11: \"tcp\" is not inet or unix"]),
    case("ratelimit \"x\" rcpt 5", &["1:21: expected / and a time"]),
    case("ratelimit \"x\" rcpt 5 / 0", &["1:24: \"0\" is not a time of at least a second"]),
    case("ratelimit \"x\" mail 5 / 1m", &["1:15: \"mail\" is not rcpt, session or data"]),
    case("dnsrbl \"x\" bl.example 192.0.2.1", &["1:23: \"192.0.2.1/32\" is not an address or a network in 127.0.0.0/8"]),
    case("dnsrbl \"x\" bl..example 127.0.0.2", &["1:12: bad zone \"bl..example\""]),
    case("sm_macro \"x\" \"{y}\" z", &["1:20: expected a value in quotation marks, an expression or unset"]),
    case("socket \"/x", &["1:8: the closing quotation mark is missing"]),
    case("quiet \\ noauth", &["1:7: text after the backslash"]),
    case("racl greylist helo \"a\x00b\"", &["1:20: a control character"]),
    case("\x00", &["1:1: expected a statement"]),
    case("racl greylist default\rquiet", &["1:22: expected a clause"]),
    case("bad\nracl greylist default\nworse", &["1:1: unknown statement \"bad\"", "3:1: unknown statement \"worse\""]),
    case("bad \\\n racl greylist default\nworse", &["1:1: unknown statement \"bad\"", "3:1: unknown statement \"worse\""]),
];

#[test]
fn every_error_has_line_and_column_and_the_rest_is_read() {
    for Case { text, errors: want } in CASES {
        for (text, is_crlf) in [
            ((*text).to_owned(), false),
            (format!("{text}\n"), false),
            (text.replace('\n', "\r\n"), true),
        ] {
            let (_, errors, _) = read(&text);
            assert_eq!(errors.len(), want.len(), "{text:?}: {errors:?}");
            for (error, want) in errors.iter().zip(*want) {
                // A carriage return moves the end of a line.
                let line = want.split_inclusive(':').next().unwrap();
                let want = if is_crlf { line } else { want };
                assert!(error.starts_with(want), "{text:?}: {error}");
            }
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_except_in_comments() {
    let (_, errors, _) =
        read(b"# caf\xe9\nquiet # \xff\0\nracl greylist default msg \"caf\xe9\"\n");
    assert_eq!(errors, ["3:27: this is not UTF-8"]);
    let (_, errors, _) = read(b"racl greylist default msg \"\xc3\xa9\"\n\xff\n");
    assert_eq!(errors, ["2:1: expected a statement, found \"\""]);
}

#[test]
fn a_token_has_a_length() {
    let longest = "x".repeat(MAX_TOKEN - 2);
    let (_, errors, _) = read(format!("racl greylist helo \"{longest}\"\n"));
    assert_eq!(errors, Vec::<String>::new());
    for text in [
        format!("racl greylist helo \"{longest}x\""),
        format!("racl greylist domain {longest}xxx"),
        format!("racl greylist from {longest}xxx@example.org"),
        format!("racl greylist ${longest}xx 1"),
        "x".repeat(10_000_000),
    ] {
        let (_, errors, _) = read(format!("{text}\nworse\n"));
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("more than 4096 bytes"), "{errors:?}");
        assert!(errors[0].len() < 200);
    }
}

#[test]
fn errors_end_when_there_are_many() {
    let mut text = String::new();
    for number in 0..1000 {
        writeln!(text, "bad{number}").unwrap();
    }
    let (_, errors, _) = read(&text);
    assert_eq!(errors.len(), MAX_ERRORS + 1);
    let last = errors.last().unwrap();
    assert_eq!(last, "101: more than 100 errors; the rest is not read");
}

#[test]
fn warnings_and_entries_have_a_limit() {
    let text = "nodetach\n".repeat(MAX_WARNINGS + 2);
    let path = Path::new("f");
    let (_, diagnostics) = parse(path, text.as_bytes());
    assert_eq!(diagnostics.warnings.len(), MAX_WARNINGS + 1);
    let last = diagnostics.warnings.last().unwrap().to_string();
    assert_eq!(last, "f: 2 warnings more");

    let text = "racl greylist addr 192.0.2.1\n".repeat(MAX_ENTRIES);
    let (conf, errors, _) = read(&text);
    assert_eq!((conf.recipient.len(), errors.len()), (MAX_ENTRIES, 0));
    let (conf, errors, _) = read(format!("{text}addr 192.0.2.1\n"));
    assert_eq!(conf.recipient.len(), MAX_ENTRIES);
    assert_eq!(errors, ["100001:1: more than 100000 entries"]);
}

#[test]
fn whatever_is_repeated_ends() {
    let deep = [
        "{".repeat(100_000),
        format!("racl greylist {}addr 192.0.2.1", "not ".repeat(100_000)),
        format!("racl greylist {}", "!".repeat(100_000)),
        format!("racl greylist helo /{}/", "\\(".repeat(2000)),
        "\\\n".repeat(100_000),
        format!("list \"x\" addr {{ {} }}", "192.0.2.1 \\\n".repeat(100_000)),
    ];
    for text in deep {
        let (conf, errors, _) = read(&text);
        assert!(errors.len() <= 1, "{errors:?}");
        assert!(conf.recipient.is_empty());
    }
}

#[test]
fn delays_that_are_too_long_do_not_make_more_errors_than_are_shown() {
    let long = "racl greylist addr 192.0.2.1 delay 2h\n".repeat(150);
    for (begin, most) in [("", 100), ("racl greylist oops\n", 100)] {
        let (_, errors, _) = read(format!("timeout 1h\n{}{long}", begin.repeat(60)));
        assert_eq!(errors.len(), most, "{errors:?}");
    }
    let (_, errors, _) = read(format!("timeout 1h\n{long}{}", "oops\n".repeat(150)));
    assert_eq!(errors.len(), 101, "and one that says so: {errors:?}");
}
