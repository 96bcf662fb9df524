//! What holds whatever is in the file.

use proptest::prelude::*;

use super::read;

/// Words, marks and values of the language, in any order.
fn fragment() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "racl",
        "dacl",
        "acl",
        "greylist",
        "whitelist",
        "blacklist",
        "continue",
        "default",
        "addr",
        "192.0.2.1",
        "/24",
        "from",
        "a@b.example",
        "/x.*/",
        "\"text\"",
        "\"%r",
        "not",
        "!",
        "$p",
        "==",
        "list",
        "{",
        "}",
        "helo",
        "delay",
        "5m",
        "code",
        "\"451\"",
        "spf",
        "pass",
        "time",
        "\\\n",
        "\n",
        "\n",
        "#",
        "set",
        "=",
        "*",
        "dnsrbl",
        "geoip",
        "urlcheck",
        "é",
        "\u{0}",
        "\r",
        "%",
        "\\",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_place_is_in_the_file(text in fragment()) {
        let (conf, errors, warnings) = read(&text);
        let lines: Vec<&str> = text.split('\n').collect();
        for found in errors.iter().chain(&warnings) {
            let mut parts = found.split(':');
            let line: usize = parts.next().unwrap().parse().unwrap();
            let column: usize = parts.next().unwrap().parse().unwrap();
            prop_assert!((1..=lines.len()).contains(&line), "{}", found);
            prop_assert!(column >= 1 && column <= lines[line - 1].len() + 1, "{}", found);
        }
        for entry in conf.recipient.iter().chain(&conf.message) {
            prop_assert!((1..=lines.len()).contains(&usize::try_from(entry.at.line).unwrap()));
            prop_assert!(!entry.text.contains('\n'));
        }
    }

    #[test]
    fn an_entry_reads_as_its_text_does(text in fragment()) {
        let (conf, ..) = read(&text);
        for entry in conf.recipient.iter().filter(|entry| !entry.text.contains('$')) {
            if entry.clauses.iter().any(|clause| uses_definitions(&clause.kind)) {
                continue;
            }
            let (again, errors, _) = read(&*entry.text);
            prop_assert_eq!(errors, Vec::<String>::new());
            let again = &again.recipient[0];
            prop_assert_eq!(&again.text, &entry.text);
            prop_assert_eq!(again.clauses.len(), entry.clauses.len());
            prop_assert_eq!(again.action, entry.action);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (conf, errors, _) = read(&bytes);
        prop_assert!(conf.recipient.len() + conf.message.len() <= bytes.len());
        prop_assert!(errors.len() <= bytes.len());
    }
}

fn uses_definitions(kind: &super::super::ClauseKind) -> bool {
    use super::super::{ClauseKind, Test};
    match kind {
        ClauseKind::Test(test) | ClauseKind::Not(test) => {
            matches!(
                test,
                Test::List(_) | Test::DnsList(_) | Test::Macro(_) | Test::RateLimit(_)
            )
        }
        ClauseKind::Set(_) | ClauseKind::Log(_) | ClauseKind::Tarpit(_) => false,
    }
}
