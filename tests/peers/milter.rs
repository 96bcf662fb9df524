//! A mail server's side of the milter protocol: what it offers, its commands, and how they are written.

/// All actions and all steps that Postfix offers with a version of the protocol.
const fn offer(version: u32) -> [u32; 3] {
    if version < 6 {
        [version, 0x3f, 0x7f]
    } else {
        [version, 0x1ff, 0x001f_ffff]
    }
}

/// A command: its letter, and the bits of those milters that do not want it and of those that do not reply.
pub(crate) struct Command {
    pub(crate) letter: u8,
    unwanted: u32,
    no_reply: u32,
}

pub(crate) const CONNECT: Command = Command::new(b'C', 0x1, 0x1000);
pub(crate) const HELO: Command = Command::new(b'H', 0x2, 0x2000);
pub(crate) const MAIL: Command = Command::new(b'M', 0x4, 0x4000);
pub(crate) const RCPT: Command = Command::new(b'R', 0x8, 0x8000);
pub(crate) const DATA: Command = Command::new(b'T', 0x200, 0x10000);
pub(crate) const HEADER: Command = Command::new(b'L', 0x20, 0x80);
pub(crate) const END_OF_HEADER: Command = Command::new(b'N', 0x40, 0x40000);
pub(crate) const BODY: Command = Command::new(b'B', 0x10, 0x80000);

/// Bytes of a message's body that are sent at once.
pub(crate) const PART: usize = 65_535;

/// What a milter does not want and does not reply to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps(u32);

impl Command {
    const fn new(letter: u8, unwanted: u32, no_reply: u32) -> Self {
        Self {
            letter,
            unwanted,
            no_reply,
        }
    }
}

impl Steps {
    /// What a milter has chosen by its reply to the offer of a version; `None` if it may not do that.
    pub(crate) fn chosen(version: u32, reply: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(reply.get(at..at + 4)?.try_into().ok()?));
        (number(0)? <= version).then_some(Self(number(8)?))
    }

    /// Whether it wants a command.
    pub(crate) const fn has(self, command: &Command) -> bool {
        self.0 & command.unwanted == 0
    }

    /// Whether it replies to a command.
    pub(crate) const fn has_reply(self, command: &Command) -> bool {
        self.0 & command.no_reply == 0
    }
}

/// The offer of a version, which begins a session.
pub(crate) fn negotiation(version: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(
        &mut bytes,
        b'O',
        &[&offer(version).map(u32::to_be_bytes).concat()],
    );
    bytes
}

/// Appends a packet with these parts.
pub(crate) fn write(bytes: &mut Vec<u8>, letter: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // Nothing longer than a part of a body is sent.
    let length = u32::try_from(length + 1).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(letter);
    for part in parts {
        bytes.extend_from_slice(part);
    }
}
