//! Perl-compatible regular expressions, as PCRE2 reads them from a Postfix table: bytes, in the C locale. They are
//! translated for the `regex` crate, which matches in linear time.
//!
//! Nothing is passed through: each construct is parsed, and written as one of the crate with the same meaning. Both
//! search alternatives from the left, so the content of groups is the same, too, unless a group is repeated
//! ([`Captures`]).
//!
//! # Not here
//!
//! Constructs that need another matcher: look-around, back-references, atomic groups, possessive repetitions,
//! conditions, recursion, callouts and verbs. Constructs that need Unicode: `\p`, `\X`. And useless ones: `\K`, `\G`,
//! `\C`, `\c`, octal numbers, a repetition of a repetition or of an anchor. The error names the construct.
//!
//! # Newlines
//!
//! A name contains none, so `$` and `\Z` match the end, and the flag `E` changes nothing.

mod class;
mod escape;
mod group;

use super::ere::set::write_byte;
use super::ere::{Captures, Expression};
use group::{Group, Opened};

/// Maximum number in an interval (PCRE2).
const MAX_REPEAT: u32 = 65_535;

/// The flags of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of pcre_table(5)"
)]
pub struct PcreFlags {
    /// `i`: whether it is case-insensitive.
    pub ignore_case: bool,
    /// `m`: whether `^` and `$` match at the ends of lines.
    pub lines: bool,
    /// `s`: whether `.` matches a newline.
    pub dot_all: bool,
    /// `x`: whether white space and comments in the expression are ignored.
    pub extended: bool,
    /// `A`: whether it matches at the start only.
    pub anchored: bool,
    /// `U`: whether repetitions are lazy unless `?` follows them.
    pub ungreedy: bool,
}

impl Default for PcreFlags {
    /// The defaults of Postfix.
    fn default() -> Self {
        Self {
            ignore_case: true,
            lines: false,
            dot_all: true,
            extended: false,
            anchored: false,
            ungreedy: false,
        }
    }
}

/// Why an expression is invalid or not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PcreError {
    /// `(?=`, `(?!`, `(?<=`, `(?<!`.
    #[error("look-ahead and look-behind ({0}) are not supported")]
    LookAround(&'static str),
    /// `\1`, `\g`, `\k`, `(?P=`.
    #[error("back-references (\\1, \\g, \\k, (?P=name)) are not supported")]
    BackReference,
    /// `(?>`.
    #[error("atomic groups ((?>...)) are not supported")]
    Atomic,
    /// `*+`, `++`, `?+`, `}+`.
    #[error("possessive repetitions (*+ ++ ?+ }}+) are not supported")]
    Possessive,
    /// `(?(`.
    #[error("conditional groups ((?(...)...)) are not supported")]
    Condition,
    /// `(?R)`, `(?1)`, `(?&name)`, `(?P>name)`.
    #[error("recursion and subroutines ((?R), (?1), (?&name)) are not supported")]
    Recursion,
    /// `(?|`.
    #[error("groups with common numbers ((?|...)) are not supported")]
    BranchReset,
    /// `(*`, `(?C`.
    #[error("verbs and callouts ((*NAME), (?C)) are not supported")]
    Verb,
    /// `\K` and its kin.
    #[error("\\{0} is not supported")]
    Unsupported(char),
    /// An unknown escape.
    #[error("\\{0} has no meaning")]
    Escape(char),
    /// `\x{100}`.
    #[error("a number after \\x that is not a byte")]
    Number,
    /// `\` at the end.
    #[error("a backslash at the end")]
    TrailingBackslash,
    /// `[` without `]`.
    #[error("a [ without its ]")]
    OpenBracket,
    /// `b-a`, `\d-z`, `a-\d`.
    #[error("an invalid range in brackets; write a literal hyphen last")]
    Range,
    /// `[[:name:]]` with another name, `[[.x.]]`.
    #[error("no such character class")]
    Class,
    /// Nothing to repeat.
    #[error("a repetition (* + ? {{}}) that has nothing to repeat")]
    Repetition,
    /// `a{3,2}`, `a{65536}`, and `a{,2}`, which is an interval only since PCRE2 10.43.
    #[error("a bad interval")]
    Interval,
    /// `(` without `)`.
    #[error("a ( without its )")]
    Open,
    /// `)` without `(`.
    #[error("a ) without its (")]
    Close,
    /// Another letter after `(?`.
    #[error("an unknown group or flag after (?")]
    Group,
    /// Too large when compiled.
    #[error("too large, or nested too deep, when compiled")]
    Size,
}

/// Parses an expression.
///
/// # Errors
///
/// [`PcreError`] says why it is invalid or not supported.
pub fn parse(text: &str, flags: PcreFlags) -> Result<Expression, PcreError> {
    let mut reader = Reader {
        rest: text,
        flags,
        written: String::new(),
        open: Vec::new(),
        groups: 0,
        captures: Captures::Certain,
        item: Item::Nothing,
    };
    reader.begin();
    reader.read()?;
    if flags.anchored {
        reader.written.push(')');
    }
    Expression::translated(reader.written, reader.groups, reader.captures)
        .map_err(|_| PcreError::Size)
}

/// The part before a position, which a repetition there would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// Nothing that can be repeated.
    Nothing,
    /// One byte.
    Single,
    /// A group, and whether it or a group in it captures.
    Group { captures: bool },
}

/// The parser.
struct Reader<'a> {
    rest: &'a str,
    /// Those that apply here.
    flags: PcreFlags,
    written: String,
    open: Vec<Group>,
    groups: u32,
    captures: Captures,
    item: Item,
}

impl Reader<'_> {
    /// Writes the flags that apply from the beginning.
    fn begin(&mut self) {
        let flags = [
            (self.flags.ignore_case, 'i'),
            (self.flags.lines, 'm'),
            (self.flags.dot_all, 's'),
            (self.flags.ungreedy, 'U'),
        ];
        let on: String = flags
            .iter()
            .filter_map(|(is_on, letter)| is_on.then_some(*letter))
            .collect();
        if !on.is_empty() {
            self.push("(?");
            self.push(&on);
            self.push(")");
        }
        if self.flags.anchored {
            self.push(r"\A(?:");
        }
    }

    fn push(&mut self, text: &str) {
        self.written.push_str(text);
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    /// Skips a text, if it comes next.
    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn read(&mut self) -> Result<(), PcreError> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escaped()?,
                '[' => self.bracket()?,
                '(' => self.group()?,
                ')' => self.close()?,
                '*' => self.repeat("*")?,
                '+' => self.repeat("+")?,
                '?' => self.repeat("?")?,
                '{' => self.brace()?,
                '|' => self.write("|", Item::Nothing),
                '^' => self.write("^", Item::Nothing),
                '$' => self.write("$", Item::Nothing),
                '.' => self.write(".", Item::Single),
                '#' if self.flags.extended => self.comment("\n"),
                c if self.flags.extended && is_pattern_space(c) => {}
                c => self.literal(c),
            }
        }
        if self.open.is_empty() {
            Ok(())
        } else {
            Err(PcreError::Open)
        }
    }

    fn write(&mut self, text: &str, item: Item) {
        self.push(text);
        self.item = item;
    }

    /// A literal character. A repetition after a character of several bytes repeats its last byte.
    fn literal(&mut self, c: char) {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        write_byte(byte, &mut self.written);
        self.item = Item::Single;
    }

    /// Skips the rest of a comment.
    fn comment(&mut self, end: &str) {
        let behind = self.rest.split_once(end);
        self.rest = behind.map_or("", |(_, behind)| behind);
    }

    fn group(&mut self) -> Result<(), PcreError> {
        let outside = self.flags;
        let groups = self.groups;
        match group::open(&mut self.rest, &mut self.flags)? {
            Opened::Comment => {
                if !self.rest.contains(')') {
                    return Err(PcreError::Open);
                }
                self.comment(")");
                return Ok(());
            }
            Opened::Flags(written) => {
                self.write(&written, Item::Nothing);
                return Ok(());
            }
            Opened::Capturing => {
                self.groups = self.groups.saturating_add(1);
                self.push("(");
            }
            Opened::Plain(written) => self.push(&written),
        }
        self.open.push(Group { outside, groups });
        self.item = Item::Nothing;
        Ok(())
    }

    fn close(&mut self) -> Result<(), PcreError> {
        let group = self.open.pop().ok_or(PcreError::Close)?;
        self.flags = group.outside;
        let captures = self.groups > group.groups;
        self.write(")", Item::Group { captures });
        Ok(())
    }

    /// `{`: an interval, or a literal.
    fn brace(&mut self) -> Result<(), PcreError> {
        let Some((inside, behind)) = self.rest.split_once('}') else {
            self.literal('{');
            return Ok(());
        };
        let (least, greatest) = inside.split_once(',').unwrap_or((inside, inside));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if least.is_empty() && !greatest.is_empty() && is_number(greatest) {
            return Err(PcreError::Interval);
        }
        if least.is_empty() || !is_number(least) || !is_number(greatest) {
            self.literal('{');
            return Ok(());
        }
        let number = |text: &str| {
            let number = text.parse::<u32>().ok();
            number
                .filter(|number| *number <= MAX_REPEAT)
                .ok_or(PcreError::Interval)
        };
        let least = number(least)?;
        let interval = if greatest.is_empty() {
            format!("{{{least},}}")
        } else {
            let greatest = number(greatest)?;
            if least > greatest {
                return Err(PcreError::Interval);
            }
            format!("{{{least},{greatest}}}")
        };
        self.rest = behind;
        self.repeat(&interval)
    }

    fn repeat(&mut self, written: &str) -> Result<(), PcreError> {
        match self.item {
            Item::Nothing => return Err(PcreError::Repetition),
            Item::Group { captures: true } if written != "?" => self.captures = Captures::Uncertain,
            Item::Group { .. } | Item::Single => {}
        }
        if self.rest.starts_with('+') {
            return Err(PcreError::Possessive);
        }
        self.write(written, Item::Nothing);
        if self.skip("?") {
            self.push("?");
        }
        Ok(())
    }
}

/// White space that the flag `x` ignores.
const fn is_pattern_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests;
