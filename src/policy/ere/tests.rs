//! Expressions and what they match; Postfix is asked the same in `tests/it/postmap`.

use super::*;

fn flags(letters: &str) -> Flags {
    Flags {
        ignore_case: !letters.contains('i'),
        lines: letters.contains('m'),
        extended: !letters.contains('x'),
    }
}

fn matches(text: &str, letters: &str, subject: &str) -> bool {
    let expression = Expression::parse(text.as_bytes(), flags(letters)).unwrap();
    compile_all(&[expression])
        .unwrap()
        .matches(subject.as_bytes())
        .matched(0)
}

#[test]
fn an_expression_matches_what_posix_says() {
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("", "", &["", "a"], &[]),
        ("^a.c$", "", &["abc", "A-C"], &["ac", "abcd"]),
        ("^a.c$", "i", &["abc"], &["Abc"]),
        ("a|", "", &["", "b"], &[]),
        ("^(|a)b$", "", &["b", "ab"], &["aab"]),
        ("^()a$", "", &["a"], &[]),
        ("^a{2}$", "", &["aa"], &["a", "aaa"]),
        ("^a{,2}$", "", &["", "aa"], &["aaa"]),
        ("^a{2,}$", "", &["aa", "aaaa"], &["a"]),
        ("^a{,}$", "", &["", "aaa"], &["b"]),
        ("^a{0}b$", "", &["b"], &["ab"]),
        ("^a+{2}$", "", &["aa", "aaa"], &["a"]),
        ("^a*?b$", "", &["b", "aab"], &["c"]),
        ("a)b", "", &["a)b"], &["ab"]),
        ("^}$", "", &["}"], &[""]),
        ("a^b", "", &[], &["ab", "a^b"]),
        ("[]a]", "", &["]", "A"], &["b"]),
        ("^[^]a]$", "", &["b"], &["]", "A"]),
        (r"^[\n]$", "", &["\\", "n"], &["\n"]),
        ("^[a-]$", "", &["a", "-"], &["b"]),
        ("^[A-z]$", "", &["a", "Z"], &["_"]),
        ("^[A-z]$", "i", &["a", "_", "Z"], &["1"]),
        ("^[[:upper:]]$", "", &["a", "A"], &["1"]),
        ("^[[:upper:]]$", "i", &["A"], &["a"]),
        ("^[[:digit:][.-.][=x=]]$", "", &["5", "-", "X"], &["a"]),
        ("^[[:punct:]]$", "", &["-", "_", "~"], &["a", " "]),
        (r"^\w\W\s\S$", "", &["a- a"], &["aa  "]),
        (r"\bcd\b", "", &["ab-cd", "CD"], &["abcd"]),
        (r"\Bcd\>", "", &["abcd"], &["ab-cd"]),
        (r"\<cd\'", "", &["a cd"], &["cd a"]),
        (r"\`cd", "", &["cda"], &["acd"]),
        (r"^\d$", "", &[], &["d", "D", "5"]),
        (r"^\d$", "i", &["d"], &["D", "5"]),
        (r"^\.\-$", "", &[".-"], &["a-"]),
        ("^a.b$", "m", &["a-b"], &["a\nb"]),
        ("^b$", "m", &["a\nb\nc"], &["ab"]),
        ("^b$", "", &["b"], &["a\nb\nc"]),
        ("^a[^c]b$", "m", &["a-b"], &["a\nb"]),
        (r"^\(a\)\{2\}$", "x", &["aa"], &["a"]),
        (r"^^a", "x", &["^a"], &["a"]),
        (r"^(^a|b$)?", "", &["", "a"], &[]),
        (r"^*a$", "x", &["*a"], &["a"]),
        (r"\(*a\)", "x", &["*a"], &["a"]),
        (r"a^b$c", "x", &["a^b$c"], &["ab"]),
        (r"^a\|b$", "x", &["ax", "xb"], &["xa"]),
        (r"x$\|\(^y\)", "x", &["ax", "ya"], &["xa", "ay"]),
        (r"^a\+b\?$", "x", &["aab", "a"], &["b"]),
        (r"^a+(b){1}|c$", "x", &["a+(b){1}|c"], &["aab"]),
    ];
    for (text, letters, yes, no) in cases {
        for subject in *yes {
            assert!(
                matches(text, letters, subject),
                "/{text}/{letters} {subject:?}"
            );
        }
        for subject in *no {
            assert!(
                !matches(text, letters, subject),
                "/{text}/{letters} {subject:?}"
            );
        }
    }
}

#[test]
fn an_expression_without_meaning_has_a_reason() {
    let long = format!("[[:{}:]]", "a".repeat(33));
    let deep = "(".repeat(61) + &")".repeat(61);
    let stacked = "a".to_owned() + &"*".repeat(70);
    let cases = [
        ("*a", "", EreError::Repetition),
        ("a|*b", "", EreError::Repetition),
        ("(+a)", "", EreError::Repetition),
        ("^*", "", EreError::Repetition),
        (r"a\b?", "", EreError::Repetition),
        ("{1}", "", EreError::Repetition),
        ("(a|^b)+", "", EreError::RepeatedAnchor),
        (r"((a\b)?){1,2}", "", EreError::RepeatedAnchor),
        ("a{", "", EreError::Interval),
        ("a{}", "", EreError::Interval),
        ("a{x}", "", EreError::Interval),
        ("a{2,1}", "", EreError::Interval),
        ("a{1,2,3}", "", EreError::Interval),
        ("a{32768}", "", EreError::Large),
        ("a{99999999999}", "", EreError::Large),
        ("(a", "", EreError::Open),
        ("[a", "", EreError::OpenBracket),
        ("[", "", EreError::OpenBracket),
        ("[]", "", EreError::OpenBracket),
        ("[[:alpha]", "", EreError::OpenBracket),
        ("[[.a]", "", EreError::OpenBracket),
        (&long, "", EreError::OpenBracket),
        ("[b-a]", "", EreError::Range),
        ("[_-z]", "", EreError::Range),
        ("[a-[:digit:]]", "", EreError::Range),
        ("[a-c-e]", "", EreError::Range),
        ("[[:nope:]]", "", EreError::Class),
        ("[[:ALPHA:]]", "", EreError::Class),
        ("[[.hyphen.]]", "", EreError::Collation),
        ("[[==]]", "", EreError::Collation),
        ("a\\", "", EreError::TrailingBackslash),
        (r"(a)\1", "", EreError::BackReference),
        (&deep, "", EreError::Deep),
        (&stacked, "", EreError::Deep),
        ("(((a{999}){999}){999})", "", EreError::Size),
        (r"\(a", "x", EreError::Open),
        (r"a\)", "x", EreError::Close),
        (r"\{1\}", "x", EreError::Repetition),
        ("a**", "x", EreError::Repetition),
    ];
    for (text, letters, want) in cases {
        let found = Expression::parse(text.as_bytes(), flags(letters));
        assert_eq!(found.map(|_| ()), Err(want), "{text}");
    }
}

#[test]
fn groups_are_counted_and_certain_only_where_there_is_one_way() {
    let cases = [
        ("abc", 0, Captures::Certain),
        ("^(.*)-([0-9]{1,3})", 2, Captures::Certain),
        ("((a)b)(c)", 3, Captures::Certain),
        ("(a|ab)c", 1, Captures::Uncertain),
        ("(a)*", 1, Captures::Uncertain),
        ("(a)?b", 1, Captures::Uncertain),
        ("a+*(b)", 1, Captures::Uncertain),
    ];
    for (text, groups, captures) in cases {
        let found = Expression::parse(text.as_bytes(), Flags::default()).unwrap();
        assert_eq!(
            (found.groups(), found.captures()),
            (groups, captures),
            "{text}"
        );
    }
}

#[test]
fn what_is_taken_for_small_compiles() {
    // A set of every other byte takes the most memory.
    let odd = (1..=u8::MAX).step_by(2);
    let others = odd.filter(|byte| !b"[-]".contains(byte)).collect();
    let set = [b"[]".to_vec(), others, b"[-]".to_vec()].concat();
    let written = |text: &str, count: usize| {
        let parts = text.bytes().map(|byte| match byte {
            b'S' => set.clone(),
            b'N' => count.to_string().into_bytes(),
            byte => vec![byte],
        });
        let mut parts = parts.collect::<Vec<_>>().concat();
        if text == "S" {
            parts = parts.repeat(count);
        }
        let (tree, _) = parse::parse(&parts, flags("i")).unwrap();
        emit::emit(&tree, flags("i"))
    };
    for text in [
        "S",
        "S{N}",
        "(S){N}",
        "(S?){N}",
        "S{0,N}",
        "S{N,}",
        "(S|SS|a){N}",
        "(S*){N}",
        "((S){2,3}){N}",
    ] {
        let counts = (1..=70).rev().map(|count| count * 50);
        let mut tiny = counts
            .map(|count| written(text, count))
            .filter(|written| is_tiny(written.states));
        let largest = tiny.next().unwrap();
        let expression = Expression::translated(largest.text, largest.groups, Captures::Uncertain);
        assert!(expression.unwrap().is_small(), "{text}");
    }
}
