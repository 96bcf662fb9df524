//! From tokens to a tree.
//!
//! ```text
//! alternatives = branch *( "|" branch )
//! branch       = *( piece )
//! piece        = anchor / atom *( "*" / "+" / "?" / interval )
//! atom         = byte / "." / bracket / class / "(" alternatives ")"
//! interval     = "{" ( n / n "," / "," m / n "," m ) "}"
//! ```
//!
//! A branch may be empty. A repetition with nothing to repeat in a basic expression is literal, and so is an unmatched
//! `)` in an extended one.

use super::set::ByteSet;
use super::token::{Anchor, Caret, Lexer, Token};
use super::{EreError, Flags, Misread, bracket};

/// Maximum number in an interval.
const MAX_REPEAT: u32 = 32767;

/// Maximum nesting of groups and repetitions, which bounds the use of the stack.
const MAX_DEPTH: usize = 60;

/// An expression, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// One byte of these.
    Set(ByteSet),
    /// An anchor.
    Anchor(Anchor),
    /// A sequence.
    Sequence(Vec<Node>),
    /// One of these.
    Either(Vec<Node>),
    /// A group.
    Group(Box<Node>),
    /// A repetition.
    Repeat(Box<Node>, u32, Option<u32>),
}

/// Parses an expression; also returns a part that is probably not intended.
pub(super) fn parse(text: &[u8], flags: Flags) -> Result<(Node, Option<Misread>), EreError> {
    let lexer = Lexer {
        text,
        at: 0,
        flags,
        misread: None,
    };
    let mut parser = Parser {
        lexer,
        token: Token::End,
        depth: 0,
        stacked: 0,
        anchors: 0,
    };
    parser.advance(Caret::Anchor)?;
    let node = parser.alternatives()?;
    Ok((node, parser.lexer.misread))
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// Number of open groups.
    depth: usize,
    /// Number of repetitions of repetitions so far.
    stacked: usize,
    /// Number of anchors so far.
    anchors: usize,
}

impl Parser<'_> {
    fn advance(&mut self, caret: Caret) -> Result<(), EreError> {
        self.token = self.lexer.next(caret)?;
        Ok(())
    }

    fn set(&self, set: &ByteSet) -> Node {
        Node::Set(if self.lexer.flags.ignore_case {
            set.ignoring_case()
        } else {
            set.clone()
        })
    }

    fn alternatives(&mut self) -> Result<Node, EreError> {
        let first = self.branch()?;
        if self.token != Token::Or {
            return Ok(first);
        }
        let mut branches = vec![first];
        while self.token == Token::Or {
            self.advance(Caret::Anchor)?;
            branches.push(self.branch()?);
        }
        Ok(Node::Either(branches))
    }

    fn branch(&mut self) -> Result<Node, EreError> {
        let mut nodes = Vec::new();
        while !self.at_end_of_branch() {
            nodes.push(self.piece()?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn at_end_of_branch(&self) -> bool {
        match self.token {
            Token::End | Token::Or => true,
            Token::Close => self.depth > 0,
            Token::Byte(_)
            | Token::Any
            | Token::Bracket
            | Token::Open
            | Token::Repeat(..)
            | Token::OpenInterval
            | Token::CloseInterval
            | Token::Anchor(_)
            | Token::Class(_) => false,
        }
    }

    fn piece(&mut self) -> Result<Node, EreError> {
        if let Token::Anchor(anchor) = self.token {
            // An anchor cannot be repeated.
            self.advance(Caret::Ordinary)?;
            self.anchors = self.anchors.saturating_add(1);
            return Ok(Node::Anchor(anchor));
        }
        let anchors = self.anchors;
        let mut node = self.atom()?;
        let anchored = self.anchors > anchors;
        self.advance(Caret::Ordinary)?;
        let mut stacked = false;
        loop {
            let (least, greatest) = match self.token {
                Token::Repeat(_, least, greatest) => (least, greatest),
                Token::OpenInterval => self.interval()?,
                Token::End
                | Token::Byte(_)
                | Token::Any
                | Token::Bracket
                | Token::Open
                | Token::Close
                | Token::Or
                | Token::CloseInterval
                | Token::Anchor(_)
                | Token::Class(_) => return Ok(node),
            };
            if anchored && greatest.is_none_or(|greatest| greatest > 1) {
                return Err(EreError::RepeatedAnchor);
            }
            if stacked {
                self.stacked = self.stacked.saturating_add(1);
            }
            if self.stacked > MAX_DEPTH {
                return Err(EreError::Deep);
            }
            stacked = true;
            node = Node::Repeat(Box::new(node), least, greatest);
            self.advance(Caret::Ordinary)?;
            let again = matches!(self.token, Token::Repeat(b'*', ..) | Token::OpenInterval);
            if again && !self.lexer.flags.extended {
                return Err(EreError::Repetition);
            }
        }
    }

    /// Parses an atom up to its last token.
    fn atom(&mut self) -> Result<Node, EreError> {
        let extended = self.lexer.flags.extended;
        let byte = match &self.token {
            Token::Open => return self.group(),
            Token::Bracket => {
                let set = bracket::parse(&mut self.lexer)?;
                return Ok(self.set(&set));
            }
            Token::Any => {
                let lines = self.lexer.flags.lines;
                return Ok(Node::Set(ByteSet::of(|byte| !lines || *byte != b'\n')));
            }
            Token::Class(set) => return Ok(self.set(set)),
            Token::OpenInterval => return Err(EreError::Repetition),
            Token::Repeat(..) if extended => return Err(EreError::Repetition),
            Token::Close if !extended => return Err(EreError::Close),
            Token::Repeat(byte, ..) | Token::Byte(byte) => *byte,
            Token::CloseInterval => b'}',
            Token::Close | Token::End | Token::Or | Token::Anchor(_) => b')',
        };
        Ok(self.set(&ByteSet::one(byte)))
    }

    fn group(&mut self) -> Result<Node, EreError> {
        if self.depth >= MAX_DEPTH {
            return Err(EreError::Deep);
        }
        self.depth = self.depth.saturating_add(1);
        self.advance(Caret::Anchor)?;
        let inside = self.alternatives()?;
        if self.token != Token::Close {
            return Err(EreError::Open);
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(Node::Group(Box::new(inside)))
    }

    /// Parses an interval up to its last token.
    fn interval(&mut self) -> Result<(u32, Option<u32>), EreError> {
        let (least, comma) = self.number()?;
        let (least, greatest) = match (least, comma) {
            (None, false) => return Err(EreError::Interval),
            (Some(least), false) => (least, Some(least)),
            (least, true) => {
                let (greatest, comma) = self.number()?;
                if comma {
                    return Err(EreError::Interval);
                }
                (least.unwrap_or(0), greatest)
            }
        };
        if greatest.is_some_and(|greatest| least > greatest) {
            return Err(EreError::Interval);
        }
        if greatest.unwrap_or(least) > MAX_REPEAT {
            return Err(EreError::Large);
        }
        Ok((least, greatest))
    }

    /// Parses a number and its end; true if that is a comma.
    fn number(&mut self) -> Result<(Option<u32>, bool), EreError> {
        let mut number: Option<u32> = None;
        loop {
            self.advance(Caret::Ordinary)?;
            match self.token {
                Token::CloseInterval => return Ok((number, false)),
                Token::Byte(b',') => return Ok((number, true)),
                Token::Byte(digit @ b'0'..=b'9') => {
                    let digit = u32::from(digit.saturating_sub(b'0'));
                    let tens = number.unwrap_or(0).saturating_mul(10);
                    number = Some(tens.saturating_add(digit));
                }
                Token::End
                | Token::Byte(_)
                | Token::Any
                | Token::Bracket
                | Token::Open
                | Token::Close
                | Token::Or
                | Token::Repeat(..)
                | Token::OpenInterval
                | Token::Anchor(_)
                | Token::Class(_) => return Err(EreError::Interval),
            }
        }
    }
}
