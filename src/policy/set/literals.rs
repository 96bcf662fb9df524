//! Texts without which an expression cannot match.
//!
//! Each match of `^mail[0-9]+\.example\.net$` contains `.example.net`, and each of `(dsl|cable)-[0-9]` one of `dsl` and
//! `cable`. A subject that has no such text need not be searched for the expression. Where the text stands does not
//! matter here, nor what surrounds it; so whatever takes no place, such as `^` and `\b`, is ignored.
//!
//! The case of ASCII letters is ignored, too, whether the expression ignores it or not: the texts are in lower case, and
//! a subject is searched for them in any. All other bytes are compared as they are.

use std::cmp::Reverse;

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Minimum length of a text, in bytes: shorter ones are in too many subjects.
const LEAST: usize = 3;

/// Maximum length of a text, in bytes. Longer ones would only make the search for them larger.
const MOST: usize = 32;

/// Maximum number of texts of an expression.
const MOST_TEXTS: usize = 32;

/// Texts in lower case of which each match of an expression contains at least one; `None` if there are no texts, or
/// too many, or too short ones.
pub(super) fn required(expression: &Hir) -> Option<Vec<Vec<u8>>> {
    let texts = Known::of(expression).required();
    (shortest(&texts) >= LEAST).then_some(texts)
}

/// The length of the shortest text; 0 without a text.
pub(super) fn shortest(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or_default()
}

/// What is known of all matches of a part of an expression.
#[derive(Debug, Default)]
struct Known {
    /// How each begins; all of it if it is exact.
    begin: Vec<u8>,
    /// How each ends; all of it if it is exact.
    end: Vec<u8>,
    /// Whether nothing is between the two, and they are the same.
    is_exact: bool,
    /// Each contains one of these; empty if nothing is known.
    one_of: Vec<Vec<u8>>,
}

impl Known {
    fn of(expression: &Hir) -> Self {
        match expression.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exactly(&[]),
            HirKind::Literal(literal) => Self::exactly(&literal.0),
            HirKind::Class(class) => {
                letter(class).map_or_else(Self::default, |letter| Self::exactly(&[letter]))
            }
            HirKind::Repetition(repetition) => Self::repeated(repetition),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => Self::sequence(parts),
            HirKind::Alternation(branches) => Self::either(branches),
        }
    }

    /// Each match is this text.
    fn exactly(text: &[u8]) -> Self {
        let mut text = text.to_ascii_lowercase();
        if text.len() > MOST {
            let end = last(&text);
            text.truncate(MOST);
            return Self {
                begin: text.clone(),
                end,
                is_exact: false,
                one_of: vec![text],
            };
        }
        Self {
            begin: text.clone(),
            end: text,
            is_exact: true,
            one_of: Vec::new(),
        }
    }

    fn repeated(repetition: &Repetition) -> Self {
        let least = usize::try_from(repetition.min).unwrap_or(usize::MAX);
        if least == 0 {
            return Self::default();
        }
        let once = Self::of(&repetition.sub);
        if !once.is_exact {
            return once;
        }
        let enough = MOST.saturating_add(1).div_ceil(once.begin.len().max(1));
        let mut known = Self::exactly(&once.begin.repeat(least.min(enough)));
        if known.is_exact && repetition.max != Some(repetition.min) {
            known.is_exact = false;
            known.one_of = better(Vec::new(), vec![known.begin.clone()]);
        }
        known
    }

    fn sequence(parts: &[Hir]) -> Self {
        let mut all = Self::exactly(&[]);
        for part in parts {
            all = all.then(Self::of(part));
        }
        all
    }

    /// This, and what is known of the matches behind it.
    fn then(self, next: Self) -> Self {
        let joined = [self.end, next.begin].concat();
        if self.is_exact && next.is_exact {
            return Self::exactly(&joined);
        }
        let end = if next.is_exact {
            last(&joined)
        } else {
            next.end
        };
        let joined = first(joined);
        let begin = if self.is_exact {
            joined.clone()
        } else {
            self.begin
        };
        Self {
            begin,
            end,
            is_exact: false,
            one_of: better(better(self.one_of, next.one_of), vec![joined]),
        }
    }

    fn either(branches: &[Hir]) -> Self {
        let mut all = Vec::new();
        for branch in branches {
            let mut texts = Self::of(branch).required();
            if texts.is_empty() {
                return Self::default();
            }
            all.append(&mut texts);
        }
        all.sort_unstable();
        all.dedup();
        if all.len() > MOST_TEXTS {
            return Self::default();
        }
        Self {
            one_of: all,
            ..Self::default()
        }
    }

    /// The texts of which each match contains one; empty if none is known.
    fn required(self) -> Vec<Vec<u8>> {
        if self.is_exact {
            better(Vec::new(), vec![self.begin])
        } else {
            self.one_of
        }
    }
}

/// Those of two collections of texts that are in fewer subjects, by their lengths.
fn better(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let rank = |texts: &Vec<Vec<u8>>| (shortest(texts), Reverse(texts.len()));
    let other = if shortest(&other) == 0 {
        Vec::new()
    } else {
        other
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

/// The only byte in a class, in lower case: `[x]`, or `[Xx]` for a letter in either case.
fn letter(class: &Class) -> Option<u8> {
    match class {
        Class::Bytes(class) => {
            let ranges = class.iter();
            only(ranges.flat_map(|range| (range.start()..=range.end()).map(Some)))
        }
        Class::Unicode(class) => {
            let ranges = class.iter();
            let ascii = |letter: char| u8::try_from(letter).ok().filter(u8::is_ascii);
            only(ranges.flat_map(|range| (range.start()..=range.end()).map(ascii)))
        }
    }
}

/// The byte, if all are the same one but for their case.
fn only(bytes: impl Iterator<Item = Option<u8>>) -> Option<u8> {
    let mut bytes = bytes.map(|byte| byte.map(|byte| byte.to_ascii_lowercase()));
    let first = bytes.next()??;
    bytes.all(|byte| byte == Some(first)).then_some(first)
}

/// The beginning of a text that is long enough.
fn first(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(MOST);
    text
}

/// The end of a text that is long enough.
fn last(text: &[u8]) -> Vec<u8> {
    let from = text.len().saturating_sub(MOST);
    text.get(from..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use regex_automata::util::syntax;

    use super::*;

    #[test]
    fn a_match_needs_the_longest_text_that_is_in_all_its_matches() {
        let long = "0123456789".repeat(5);
        let some: Vec<String> = (100..133).map(|number| format!("({number})")).collect();
        let (few, many) = (some[1..].join("|"), some.join("|"));
        let cases: [(&str, &[&str]); 30] = [
            (r"^mail[0-9]+\.example\.net$", &[".example.net"]),
            (r"^(mx|smtp)[0-9]*\.host1\.(com|net)$", &[".host1."]),
            ("(dsl|cable)-[0-9]", &["cable", "dsl"]),
            ("(dsl|[0-9]+)-", &[]),
            ("(dsl|)-", &[]),
            ("(foo|barbaz)", &["barbaz", "foo"]),
            ("Mail", &["mail"]),
            ("[Mm][aA]i[l]", &["mail"]),
            ("ma[ij]l[0-9]ab", &[]),
            (r"\bma\bil$^x", &["mailx"]),
            ("(m(a)((?:il)))", &["mail"]),
            ("a{3}", &["aaa"]),
            ("a{3,}b", &["aaab"]),
            ("xa+bc", &["abc"]),
            ("xya+bc", &["xya"]),
            ("(abc)?", &[]),
            ("(abc)*def", &["def"]),
            ("(abc){0}defg", &["defg"]),
            ("(?:ab){2}[0-9]cd", &["abab"]),
            ("(a[0-9]bcd)+", &["bcd"]),
            ("(abc[0-9]d){2}", &["abc"]),
            ("ab", &[]),
            ("", &[]),
            ("^$", &[]),
            (r"[^\x00-\xff]abc", &["abc"]),
            (r"(?i)\xe9\x00A", &["\u{e9}\0a"]),
            ("(?iu)kilo", &["ilo"]),
            (&long, &[&long[..32]]),
            (&few, &[]),
            (&many, &[]),
        ];
        for (expression, want) in cases {
            for ignores_case in [false, true] {
                let syntax = syntax::Config::new().unicode(false).utf8(false);
                let syntax = syntax.case_insensitive(ignores_case);
                let parsed = syntax::parse_with(expression, &syntax).unwrap();
                let texts = required(&parsed).unwrap_or_default();
                let texts: Vec<String> = texts
                    .iter()
                    .map(|text| text.iter().copied().map(char::from).collect())
                    .collect();
                if expression == few {
                    assert_eq!(texts.len(), MOST_TEXTS, "{expression}");
                } else {
                    assert_eq!(texts, want, "{expression} {ignores_case}");
                }
            }
        }
    }
}
