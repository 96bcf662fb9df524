//! Translates a tree to the syntax of the `regex` crate, with constructs that have one meaning there.

use super::parse::Node;
use super::set::ByteSet;
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
}

/// Writes an expression.
pub(super) fn emit(node: &Node, flags: Flags) -> Written {
    let mut writer = Writer {
        flags,
        written: Written {
            text: String::new(),
            groups: 0,
            captures: Captures::Certain,
        },
    };
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
        set.write(&mut self.written.text);
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
