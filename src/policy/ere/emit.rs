//! Translates a tree to the syntax of the `regex` crate, with constructs that have one meaning there.

use super::parse::Node;
use super::set::{ByteSet, write_byte};
use super::token::Anchor;
use super::{Captures, Flags};

/// The translation.
#[derive(Debug)]
pub(super) struct Written {
    /// The expression.
    pub(super) text: String,
    /// Number of its groups.
    pub(super) groups: u32,
    /// Whether their content is certain.
    pub(super) captures: Captures,
    /// Maximum number of states of its automaton.
    pub(super) states: usize,
}

/// Writes an expression.
pub(super) fn emit(node: &Node, flags: Flags) -> Written {
    let mut writer = Writer {
        flags,
        written: Written {
            text: String::new(),
            groups: 0,
            captures: Captures::Certain,
            states: states(node),
        },
    };
    if flags.ignore_case {
        // All sets have both cases of their letters then, so that this changes none of them.
        writer.push("(?i)");
    }
    writer.node(node);
    writer.written
}

struct Writer {
    flags: Flags,
    written: Written,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.written.text.push_str(text);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Set(set) => self.set(set),
            Node::Anchor(anchor) => self.anchor(*anchor),
            Node::Sequence(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Either(branches) => self.either(branches),
            Node::Group(inside) => {
                self.written.groups = self.written.groups.saturating_add(1);
                self.push("(");
                self.node(inside);
                self.push(")");
            }
            Node::Repeat(inside, least, greatest) => self.repeat(inside, *least, *greatest),
        }
    }

    fn set(&mut self, set: &ByteSet) {
        // A byte alone is read faster than between brackets.
        match set.only(self.flags.ignore_case) {
            Some(byte) => write_byte(byte, &mut self.written.text),
            None => set.write(&mut self.written.text),
        }
    }

    fn anchor(&mut self, anchor: Anchor) {
        self.push(match anchor {
            Anchor::LineStart if self.flags.lines => "(?m:^)",
            Anchor::LineEnd if self.flags.lines => "(?m:$)",
            Anchor::LineStart | Anchor::SubjectStart => r"\A",
            Anchor::LineEnd | Anchor::SubjectEnd => r"\z",
            Anchor::WordStart => r"\b{start}",
            Anchor::WordEnd => r"\b{end}",
            Anchor::Boundary => r"\b",
            Anchor::NoBoundary => r"\B",
        });
    }

    fn either(&mut self, branches: &[Node]) {
        self.written.captures = Captures::Uncertain;
        self.push("(?:");
        for (number, branch) in branches.iter().enumerate() {
            if number > 0 {
                self.push("|");
            }
            self.node(branch);
        }
        self.push(")");
    }

    fn repeat(&mut self, inside: &Node, least: u32, greatest: Option<u32>) {
        if matches!(inside, Node::Set(_)) {
            self.node(inside);
        } else {
            self.written.captures = Captures::Uncertain;
            self.push("(?:");
            self.node(inside);
            self.push(")");
        }
        let interval = match (least, greatest) {
            (0, None) => "*".to_owned(),
            (1, None) => "+".to_owned(),
            (0, Some(1)) => "?".to_owned(),
            (least, None) => format!("{{{least},}}"),
            (least, Some(greatest)) => format!("{{{least},{greatest}}}"),
        };
        self.push(&interval);
    }
}

/// Maximum number of states of an automaton for this: those of each part, as often as it is there, and those that lead into
/// it or past it.
fn states(node: &Node) -> usize {
    let sum = |nodes: &[Node]| nodes.iter().map(states).fold(2, usize::saturating_add);
    match node {
        Node::Set(_) | Node::Anchor(_) => 1,
        Node::Sequence(nodes) | Node::Either(nodes) => sum(nodes),
        Node::Group(inside) => states(inside).saturating_add(2),
        Node::Repeat(inside, least, greatest) => {
            let times = greatest.unwrap_or(*least).max(*least).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            let once = states(inside).saturating_add(2);
            once.saturating_mul(times).saturating_add(2)
        }
    }
}
