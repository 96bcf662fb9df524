//! A mail server's side of the milter protocol: the commands up to RCPT, and the replies.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a reply may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// All actions and all steps that Postfix offers with a version of the protocol.
const fn offer(version: u32) -> [u32; 3] {
    if version < 6 {
        [version, 0x3f, 0x7f]
    } else {
        [version, 0x1ff, 0x001f_ffff]
    }
}

/// A command: its letter, and the bits of those milters that do not want it and of those that do not reply.
struct Command {
    letter: u8,
    unwanted: u32,
    no_reply: u32,
}

const CONNECT: Command = Command {
    letter: b'C',
    unwanted: 0x1,
    no_reply: 0x1000,
};

const HELO: Command = Command {
    letter: b'H',
    unwanted: 0x2,
    no_reply: 0x2000,
};

const MAIL: Command = Command {
    letter: b'M',
    unwanted: 0x4,
    no_reply: 0x4000,
};

const RCPT: Command = Command {
    letter: b'R',
    unwanted: 0x8,
    no_reply: 0x8000,
};

/// What a milter says to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MilterReply {
    /// The mail server goes on.
    Continue,
    /// A reply with a text: code, enhanced code and the rest.
    Text(String),
    /// Another reply, by its letter.
    Letter(char),
}

/// A session.
#[derive(Debug)]
pub(crate) struct MilterSession {
    stream: UnixStream,
    /// What the milter does not want and does not reply to.
    steps: u32,
}

impl MilterSession {
    /// Connects to a milter and negotiates this version of the protocol.
    pub(crate) fn open(socket: &Path, version: u32) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut session = Self { stream, steps: 0 };
        let offered = offer(version).map(u32::to_be_bytes).concat();
        session.send(b'O', &offered)?;
        let (letter, chosen) = session.receive()?;
        let number = |at: usize| Some(u32::from_be_bytes(chosen.get(at..at + 4)?.try_into().ok()?));
        match (letter, number(0), number(8)) {
            (b'O', Some(chosen), Some(steps)) if chosen <= version => session.steps = steps,
            _ => return Err(io::Error::other(format!("{letter} {chosen:?}"))),
        }
        Ok(session)
    }

    /// A client with this name, or `[ADDRESS]`, connects.
    pub(crate) fn connect(&mut self, name: &str, address: IpAddr) -> io::Result<MilterReply> {
        let family = if address.is_ipv4() { b'4' } else { b'6' };
        let mut data = [name.as_bytes(), b"\0"].concat();
        data.push(family);
        data.extend_from_slice(&25_u16.to_be_bytes());
        data.extend_from_slice(format!("{address}\0").as_bytes());
        self.say(&CONNECT, &data)
    }

    /// HELO or EHLO.
    pub(crate) fn helo(&mut self, name: &str) -> io::Result<MilterReply> {
        self.say(&HELO, format!("{name}\0").as_bytes())
    }

    /// MAIL FROM, without options.
    pub(crate) fn mail(&mut self, sender: &str) -> io::Result<MilterReply> {
        self.say(&MAIL, format!("<{sender}>\0").as_bytes())
    }

    /// RCPT TO, without options.
    pub(crate) fn rcpt(&mut self, recipient: &str) -> io::Result<MilterReply> {
        self.say(&RCPT, format!("<{recipient}>\0").as_bytes())
    }

    /// The end of the session.
    pub(crate) fn quit(mut self) -> io::Result<()> {
        self.send(b'Q', b"")
    }

    fn say(&mut self, command: &Command, data: &[u8]) -> io::Result<MilterReply> {
        if self.steps & command.unwanted != 0 {
            return Ok(MilterReply::Continue);
        }
        self.send(command.letter, data)?;
        if self.steps & command.no_reply != 0 {
            return Ok(MilterReply::Continue);
        }
        let (letter, data) = self.receive()?;
        Ok(match letter {
            b'c' => MilterReply::Continue,
            b'y' => {
                let text = String::from_utf8_lossy(&data);
                MilterReply::Text(text.trim_end_matches('\0').to_owned())
            }
            letter => MilterReply::Letter(char::from(letter)),
        })
    }

    fn send(&mut self, letter: u8, data: &[u8]) -> io::Result<()> {
        let length = u32::try_from(data.len() + 1).map_err(io::Error::other)?;
        let packet = [&length.to_be_bytes()[..], &[letter], data].concat();
        self.stream.write_all(&packet)
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet)?;
        let data = packet.split_off(1.min(length));
        let letter = packet.first().copied();
        Ok((letter.ok_or(io::ErrorKind::InvalidData)?, data))
    }
}
