use proptest::prelude::*;

use super::*;

const SIZE: usize = 64 << 20;

#[test]
fn expressions_keep_their_numbers_however_many_there_are() {
    for count in [1, PART, PART + 1, 2 * PART, 5 * PART + 7] {
        let texts: Vec<String> = (0..count).map(|number| format!("x{number}y")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let set = ExpressionSet::new(&texts, SIZE, syntax::Config::new().unicode(false)).unwrap();
        assert_eq!(set.len(), count);
        for (subject, want) in [
            ("x0y".to_owned(), Some(0)),
            (format!("x{}y", count - 1), Some(count - 1)),
            (format!("x{}yx0y", count - 1), Some(0)),
            (format!("x{count}y"), None),
            (String::new(), None),
            ("\n".to_owned(), None),
        ] {
            let matches = set.matches(subject.as_bytes());
            assert_eq!(matches.iter().next(), want, "{count} {subject}");
            let last = want.is_some() && subject.contains(texts[count - 1]);
            assert_eq!(matches.matched(count - 1), last, "{count} {subject}");
        }
    }
}

#[test]
fn what_matches_comes_in_the_order_of_the_expressions() {
    let texts: Vec<String> = (0..3 * PART)
        .map(|number| format!("^x{}$", number % 7))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let set = ExpressionSet::new(&texts, SIZE, syntax::Config::new().unicode(false)).unwrap();
    let matches = set.matches(b"x3");
    let want: Vec<usize> = (0..texts.len()).filter(|number| number % 7 == 3).collect();
    assert_eq!(matches.iter().collect::<Vec<_>>(), want);
    for number in 0..texts.len() {
        assert_eq!(matches.matched(number), number % 7 == 3, "{number}");
    }
}

#[test]
fn all_sets_together_are_bounded() {
    for count in [PART / 2, PART * 4] {
        let texts = vec!["[a-z]{9}"; count];
        let build = |size| ExpressionSet::new(&texts, size, syntax::Config::new().unicode(false));
        assert!(build(count * 2000).is_ok(), "{count}");
        assert!(build(count * 20).is_err(), "{count}");
    }
}

/// Parts of expressions, and of subjects.
const WORDS: [&str; 7] = ["abc", "ABCD", "-dyn", "x.y", "k", "s1", "é"];

/// What is between them in expressions.
const BETWEEN: [&str; 16] = [
    "", ".", "^", "$", r"\A", r"\z", r"\b", r"\B", "[0-9]", "[aA]", "[kK]", r"\x00", r"\xff",
    "(?m:^)", "\n", "[^b]",
];

/// An expression of some of them.
fn expression() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(&WORDS[..]).prop_map(regex_syntax::escape);
    let between = proptest::sample::select(&BETWEEN[..]).prop_map(str::to_owned);
    let part = prop_oneof![3 => word, 2 => between];
    part.prop_recursive(4, 24, 4, |inner| {
        let some = proptest::collection::vec(inner.clone(), 1..4);
        let repeat =
            proptest::sample::select(&["?", "*", "+", "{2}", "{0}", "{1,2}", "{12,}", "+?"][..]);
        let flags =
            proptest::sample::select(&["", "?:", "?i:", "?-i:", "?u:", "?s-u:", "?iu:", "?x:"][..]);
        prop_oneof![
            some.clone().prop_map(|parts| parts.concat()),
            some.prop_map(|parts| format!("({})", parts.join("|"))),
            (inner.clone(), repeat).prop_map(|(part, repeat)| format!("(?:{part}){repeat}")),
            (inner, flags).prop_map(|(part, flags)| format!("({flags}{part})")),
        ]
    })
}

/// A subject in which they may match.
fn subject() -> impl Strategy<Value = Vec<u8>> {
    let word = proptest::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec());
    let upper =
        proptest::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_ascii_uppercase());
    let others: [&[u8]; 10] = [
        b"a",
        b"B",
        b"0",
        b"\n",
        b"\0",
        b"\xff",
        b" ",
        "\u{212a}".as_bytes(),
        "ſ".as_bytes(),
        b"abcabc",
    ];
    let others = proptest::sample::select(others.to_vec()).prop_map(<[u8]>::to_vec);
    proptest::collection::vec(prop_oneof![word, upper, others], 0..12)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_filtered_set_finds_what_each_expression_alone_finds(
        expressions in proptest::collection::vec(expression(), 1..12),
        subjects in proptest::collection::vec(subject(), 1..8),
        ignores_case in any::<bool>(),
        group in 1_usize..4,
    ) {
        let syntax = syntax::Config::new().unicode(false).utf8(false).case_insensitive(ignores_case);
        let alone = |text: &String| ExpressionSet::new(&[text], SIZE, syntax).ok();
        // A part with (?u:…) around bytes that are no UTF-8 does not compile.
        let alone: Vec<(&str, ExpressionSet)> = expressions
            .iter()
            .filter_map(|text| Some((text.as_str(), alone(text)?)))
            .collect();
        let texts: Vec<&str> = alone.iter().map(|(text, _)| *text).collect();
        let set = FilteredSet::new(&texts, SIZE, syntax, group).unwrap();
        for subject in &subjects {
            let matching = (0..).zip(&alone).filter(|(_, (_, alone))| alone.is_match(subject));
            let want: Vec<usize> = matching.map(|(number, _)| number).collect();
            let shown = subject.escape_ascii();
            prop_assert_eq!(set.matches(subject), want.clone(), "{} in {:?}", shown, texts);
            prop_assert_eq!(set.is_match(subject), !want.is_empty(), "{} in {:?}", shown, texts);
        }
    }
}

#[test]
fn a_subject_with_the_texts_of_all_expressions_is_searched_for_all() {
    // Each text is part of the next one, so that all of them end at nearly every byte.
    let texts: Vec<String> = (3..=24)
        .map(|length| format!("{}[0-9]", "a".repeat(length)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let set = FilteredSet::new(&texts, SIZE, syntax::Config::new(), 2).unwrap();
    let all: Vec<usize> = (0..texts.len()).collect();
    for (count, end, want) in [(100, "7", &all[..]), (100, "b", &[]), (5, "7", &all[..3])] {
        let subject = format!("{}{end}", "a".repeat(count));
        assert_eq!(set.matches(subject.as_bytes()), want, "{count} {end}");
        assert_eq!(
            set.is_match(subject.as_bytes()),
            !want.is_empty(),
            "{count} {end}"
        );
    }
}
