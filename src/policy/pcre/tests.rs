//! Expressions: what they match, what their groups hold, and what is refused.

use super::*;

fn matches(text: &str, flags: PcreFlags, subject: &[u8]) -> bool {
    let expression = parse(text, flags).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.compile().unwrap().is_match(subject)
}

#[test]
fn constructs_mean_what_they_do_in_perl() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            r"^\d{1,3}-\d+\.",
            &["1-22.x", "192-0.example"],
            &["1234-1.x", "a1-2.x"],
        ),
        (r"^[\w.-]+$", &["a-b.c_d"], &["a b", ""]),
        ("^(dsl|cable)-", &["dsl-1", "CABLE-2"], &["xdsl-1"]),
        (r"\Qa.b\E$", &["a.b"], &["axb"]),
        ("a{2,}", &["aa"], &["a"]),
        ("a{x", &["a{x"], &["a"]),
        (r"(?i:A)b", &["ab"], &["c"]),
        ("(?-i)Ab", &["Ab"], &["ab"]),
        ("(?-i:A)b", &["AB"], &["ab"]),
        ("a(?#no)b", &["ab"], &["a"]),
        ("(?x) a b # c", &["ab"], &["a b"]),
        ("((?x)a b)c d", &["abc d"], &["abcd"]),
        (r"[[:alpha:]]\x41\x{42}", &["xab"], &["1ab"]),
        ("[^[:^digit:]]", &["1"], &["a"]),
        ("(?i)[^a]", &["b"], &["A"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[^]a]", &["b"], &["]"]),
        ("[a&&b]", &["a", "&", "b"], &["c"]),
        ("[a~~b+--c]", &["~", "a", "-", "c"], &["d"]),
        ("[[a]", &["[", "a"], &["b"]),
        (r"[\d-]", &["-", "1"], &["a"]),
        (r"\Aa\z", &["a"], &["ba"]),
        (r"\bip\b", &["my-ip.x"], &["ships"]),
        ("(?P<n>a)(?<m>b)(?'o'c)", &["abc"], &["a"]),
        (r"\.\-\/\#\ ", &[".-/# "], &["a"]),
        ("(a|)b", &["b", "ab"], &["a"]),
    ];
    for (text, yes, no) in cases {
        for subject in *yes {
            assert!(
                matches(text, PcreFlags::default(), subject.as_bytes()),
                "{text} {subject}"
            );
        }
        for subject in *no {
            assert!(
                !matches(text, PcreFlags::default(), subject.as_bytes()),
                "{text} {subject}"
            );
        }
    }
}

#[test]
fn flags_change_what_an_expression_means() {
    let with = |change: fn(&mut PcreFlags)| {
        let mut flags = PcreFlags::default();
        change(&mut flags);
        flags
    };
    let cases = [
        (PcreFlags::default(), "A", "a", true),
        (with(|flags| flags.ignore_case = false), "A", "a", false),
        (PcreFlags::default(), "a.b", "a\nb", true),
        (with(|flags| flags.dot_all = false), "a.b", "a\nb", false),
        (PcreFlags::default(), "^b", "a\nb", false),
        (with(|flags| flags.lines = true), "^b", "a\nb", true),
        (PcreFlags::default(), "a b", "ab", false),
        (with(|flags| flags.extended = true), "a b[ ]", "ab ", true),
        (PcreFlags::default(), "b|c", "ac", true),
        (with(|flags| flags.anchored = true), "b|c", "ac", false),
        (with(|flags| flags.anchored = true), "b|c", "ca", true),
    ];
    for (flags, text, subject, want) in cases {
        assert_eq!(
            matches(text, flags, subject.as_bytes()),
            want,
            "{text} {flags:?}"
        );
    }
}

#[test]
fn groups_hold_what_the_first_alternative_leaves_them() {
    let held = |text: &str, flags, subject: &str| {
        let expression = parse(text, flags).unwrap();
        let captures = expression.compile().unwrap();
        let captures = captures.captures(subject.as_bytes()).unwrap();
        let group = captures.get(1).map(|group| group.as_bytes().to_vec());
        (
            String::from_utf8(group.unwrap()).unwrap(),
            expression.captures(),
        )
    };
    let plain = PcreFlags::default();
    let ungreedy = PcreFlags {
        ungreedy: true,
        ..plain
    };
    assert_eq!(
        held("(a|ab)(c|bcd)?", plain, "abcd"),
        ("a".into(), Captures::Certain)
    );
    assert_eq!(held("(a+?)", plain, "aaa"), ("a".into(), Captures::Certain));
    assert_eq!(
        held("(a+)", ungreedy, "aaa"),
        ("a".into(), Captures::Certain)
    );
    assert_eq!(held("(a)*", plain, "aa"), ("a".into(), Captures::Uncertain));
    assert_eq!(
        held("(?:b)*(a)", plain, "ba"),
        ("a".into(), Captures::Certain)
    );
    assert_eq!(parse("(a)(?:b)(?<n>c)", plain).unwrap().groups(), 2);
}

#[test]
fn what_the_matcher_cannot_do_is_refused_by_its_name() {
    let cases = [
        ("a(?=b)", "look-ahead and look-behind ((?=) are"),
        ("a(?!b)", "look-ahead and look-behind ((?!) are"),
        ("(?<=a)b", "look-ahead and look-behind ((?<=) are"),
        ("(?<!a)b", "look-ahead and look-behind ((?<!) are"),
        (r"(a)\1", "back-references"),
        (r"(a)\g1", "back-references"),
        (r"(?<n>a)\k<n>", "back-references"),
        ("(?P<n>a)(?P=n)", "back-references"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("a{2}+", "possessive"),
        ("(a)(?(1)b)", "conditional"),
        ("(?R)", "recursion"),
        ("(a)(?1)", "recursion"),
        ("(a)(?-1)", "recursion"),
        ("(?<n>a)(?&n)", "recursion"),
        ("(?|(a)|(b))", "groups with common numbers"),
        ("(*ACCEPT)", "verbs"),
        ("(?C1)", "verbs"),
        (r"a\Kb", "\\K is not"),
        (r"\p{L}", "\\p is not"),
        (r"\y", "\\y has no meaning"),
        (r"\x{100}", "a number after \\x"),
        ("a\\", "a backslash"),
        ("[a", "a [ without"),
        ("[b-a]", "an invalid range"),
        (r"[\w-z]", "an invalid range"),
        ("[[:nope:]]", "no such"),
        ("[[.a.]]", "no such"),
        ("*a", "a repetition"),
        ("a**", "a repetition"),
        ("(|*)", "a repetition"),
        ("a{3,2}", "a bad interval"),
        ("a{65536}", "a bad interval"),
        ("a{,2}", "a bad interval"),
        ("(a", "a ( without"),
        ("a)", "a ) without"),
        ("(?z)", "an unknown group"),
        ("(((a{999}){999}){999})", "too large"),
    ];
    for (text, want) in cases {
        let error = parse(text, PcreFlags::default()).unwrap_err().to_string();
        assert!(error.starts_with(want), "{text}: {error}");
    }
}
