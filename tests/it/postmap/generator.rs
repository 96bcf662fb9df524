//! Tables that nobody would write, the same for the same seed.
//!
//! Every result has the number of its line in it. Constructs that only one side takes are not made:
//! those are in [`departures`](super::departures).

use std::fmt::Write as _;

use crate::postgrey::random::Random;

/// Most lines of a table.
const LINES: u64 = 7;

/// Texts that stand for themselves.
const PLAIN: &[&str] = &[
    "a", "b", "c", "A", "d", "x", "mail", "pp", "0", "1", "2", "-", "_", ":", "example", "@", " ",
    "]", "}", "é",
];

/// Things behind a backslash.
const ESCAPED: &[&str] = &[
    ".", ".", ".", "w", "W", "s", "S", "b", "B", "<", ">", "`", "'", "d", "D", "n", "-", "[", "]",
    "*", "^", "$", "\\", "0", "a", "X", "é",
];

/// Parts of a bracket expression.
const PARTS: &[&str] = &[
    "a",
    "b",
    "-",
    ".",
    "0-9",
    "a-f",
    "A-F",
    "x",
    "_",
    "^",
    "\\",
    "[",
    "a-Z",
    "A-z",
    "+-.",
    "--/",
    "[:digit:]",
    "[:alpha:]",
    "[:upper:]",
    "[:lower:]",
    "[:punct:]",
    "[:space:]",
    "[:graph:]",
    "[:xdigit:]",
    "[.-.]",
    "[.a.]-c",
    "[=m=]",
    "5-",
    "!",
    "é",
    "*",
];

/// Parts that hardly ever have a meaning.
const BAD_PARTS: &[&str] = &[
    "[:nope:]",
    "[.ab.]",
    "z-a",
    "_-z",
    "[:alpha:]-z",
    "[:digit",
    "a-[=b=]",
    "[==]",
];

/// Repetitions.
const REPEATS: &[&str] = &[
    "*", "*", "+", "+", "?", "?", "{2}", "{1,2}", "{0}", "{,2}", "{2,}", "{,}", "{0,1}",
];

/// Repetitions that hardly ever have a meaning.
const BAD_REPEATS: &[&str] = &["{", "{}", "{2,1}", "{x}", "{1,2,3}", "{1", "{40000}"];

/// Tokens of basic expressions.
const BASIC: &[&str] = &[
    "a",
    "b",
    "1",
    "0",
    "-",
    "\\.",
    ".",
    ".*",
    "*",
    "\\(",
    "\\)",
    "\\(",
    "\\)",
    "\\|",
    "\\+",
    "\\?",
    "\\{1\\}",
    "\\{1,2\\}",
    "^",
    "$",
    "[0-9]",
    "[^.]",
    "+",
    "?",
    "(",
    ")",
    "{",
    "}",
    "|",
    "\\w",
    "\\<",
    "\\b",
    "mail",
];

/// Tokens of extended expressions.
const EXTENDED: &[&str] = &[
    "a", "b", "1", "-", "\\.", ".", "*", "+", "?", "(", ")", "(", ")", "|", "{1}", "{2,}", "{",
    "}", "^", "$", "[a-c]", "[^.]", "\\b", "\\>", "\\w", ",", "\\,",
];

/// Characters that can enclose an expression.
const DELIMITERS: &[char] = &['/', '/', '/', '#', '~', '%', ';', '"', '<', '&'];

/// A table.
pub(super) fn table(random: &mut Random) -> String {
    let mut table = String::new();
    let mut open = 0;
    for number in 1..=1 + random.below(LINES) {
        let line = line(number, &mut open, random);
        table += &line;
        table.push('\n');
    }
    table
}

fn line(number: u64, open: &mut u32, random: &mut Random) -> String {
    match random.below(20) {
        0..=2 if number > 1 || random.percent(30) => {
            *open += 1;
            let word = random.pick(&["if ", "IF", "If  ", "if !", "if! !"]);
            format!("{word}{}", condition(&pattern(random), random))
        }
        3..=5 if *open > 0 => {
            *open -= 1;
            (*random.pick(&["endif", "ENDIF", "endif  "])).to_owned()
        }
        6 => with_groups(number, random),
        7 => {
            let (first, second) = (pattern(random), pattern(random));
            let (first, second) = (condition(&first, random), condition(&second, random));
            format!("{first}!{second} REJECT {number}")
        }
        8 => odd(number, random),
        _ => {
            let not = random.pick(&["", "", "", "!", "!! "]);
            format!(
                "{not}{} REJECT {number}",
                condition(&pattern(random), random)
            )
        }
    }
}

/// A line whose result has what groups hold in it.
fn with_groups(number: u64, random: &mut Random) -> String {
    let mut groups = 0;
    let text = certain(&mut groups, 2, random);
    let mut line = format!("{} REJECT {number}", enclosed(&text, random));
    for group in 1..=groups {
        let put = match random.below(3) {
            0 => format!(" <${group}>"),
            1 => format!("<${{{group}}}x"),
            _ => format!("$$<$({group})$$"),
        };
        line += &put;
    }
    line
}

/// A line that is most often wrong.
fn odd(number: u64, random: &mut Random) -> String {
    let texts = [
        "/a REJECT",
        "/a/y REJECT",
        "what",
        "endif x",
        "/(a)/ REJECT $2",
        "/(a)/ REJECT $1x",
        "!/(a)/ REJECT $1",
        "/(a)/ REJECT $",
        "/a/ REJECT ${",
        "/a/ REJECT $$",
        "/a/i!b REJECT",
        "/(b)/ REJECT $01",
        "endiffy",
        "if /a/ x",
        "!",
        "/b/ii REJECT",
        "/a\\/b/ REJECT",
        "if",
    ];
    let text = random.pick(&texts);
    format!("{text} {number}")
}

/// An expression between delimiters, with flags.
fn condition(pattern: &(String, bool), random: &mut Random) -> String {
    let (text, basic) = pattern;
    let mut line = enclosed(text, random);
    if *basic {
        line.push('x');
    }
    if random.percent(25) {
        line.push('i');
    }
    if random.percent(10) {
        line.push('m');
    }
    line
}

/// An expression between delimiters that it has not in it.
fn enclosed(text: &str, random: &mut Random) -> String {
    loop {
        let delimiter = *random.pick(DELIMITERS);
        if !text.contains(delimiter) {
            return format!("{delimiter}{text}{delimiter}");
        }
    }
}

/// An expression, and whether it is a basic one.
fn pattern(random: &mut Random) -> (String, bool) {
    match random.below(10) {
        0 => (soup(BASIC, random), true),
        1 => (soup(EXTENDED, random), false),
        _ => {
            let mut text = String::new();
            if random.percent(40) {
                text.push('^');
            }
            alternatives(&mut text, 3, random);
            if random.percent(30) {
                text.push('$');
            }
            (text, false)
        }
    }
}

fn soup(tokens: &[&str], random: &mut Random) -> String {
    (0..=random.below(7))
        .map(|_| *random.pick(tokens))
        .collect()
}

fn alternatives(text: &mut String, depth: u32, random: &mut Random) {
    branch(text, depth, random);
    while random.percent(20) {
        text.push('|');
        branch(text, depth, random);
    }
}

fn branch(text: &mut String, depth: u32, random: &mut Random) {
    for _ in 0..random.below(5) {
        match random.below(24) {
            0..=3 if depth > 0 => {
                text.push('(');
                alternatives(text, depth - 1, random);
                text.push(')');
            }
            4 => {
                text.push(*random.pick(&['^', '$']));
                continue;
            }
            _ => single(text, random),
        }
        if random.percent(30) {
            *text += *random.pick(REPEATS);
            while random.percent(15) {
                *text += *random.pick(REPEATS);
            }
        } else if random.percent(2) {
            *text += *random.pick(BAD_REPEATS);
        }
    }
}

/// One byte, most often.
fn single(text: &mut String, random: &mut Random) {
    match random.below(10) {
        0..=2 => *text += *random.pick(PLAIN),
        3..=4 => text.push('.'),
        5..=6 => {
            text.push('\\');
            *text += *random.pick(ESCAPED);
        }
        _ => bracket(text, random),
    }
}

fn bracket(text: &mut String, random: &mut Random) {
    text.push('[');
    if random.percent(40) {
        text.push('^');
    }
    if random.percent(10) {
        text.push(']');
    }
    for _ in 0..=random.below(3) {
        let parts = if random.percent(3) { BAD_PARTS } else { PARTS };
        *text += *random.pick(parts);
    }
    if random.percent(10) {
        text.push('-');
    }
    text.push(']');
}

/// An expression whose groups hold the same everywhere; counts them.
fn certain(groups: &mut u32, depth: u32, random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        match random.below(8) {
            0..=2 if depth > 0 => {
                *groups += 1;
                let inside = certain(groups, depth - 1, random);
                write!(text, "({inside})").unwrap();
            }
            3 => text.push(*random.pick(&['^', '$'])),
            _ => {
                text += *random.pick(&[".", "[0-9]", "[^.]", "a", "\\.", "[a-z-]", "m"]);
                text += *random.pick(&["", "", "*", "+", "?", "{1,2}", "{2}", "{,3}", "{1,}"]);
            }
        }
    }
    text
}
