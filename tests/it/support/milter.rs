//! A mail server's side of the milter protocol: its commands, and the replies.

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

const CONNECT: Command = Command::new(b'C', 0x1, 0x1000);
const HELO: Command = Command::new(b'H', 0x2, 0x2000);
const MAIL: Command = Command::new(b'M', 0x4, 0x4000);
const RCPT: Command = Command::new(b'R', 0x8, 0x8000);
const DATA: Command = Command::new(b'T', 0x200, 0x10000);
const HEADER: Command = Command::new(b'L', 0x20, 0x80);
const END_OF_HEADER: Command = Command::new(b'N', 0x40, 0x40000);
const BODY: Command = Command::new(b'B', 0x10, 0x80000);

impl Command {
    const fn new(letter: u8, unwanted: u32, no_reply: u32) -> Self {
        Self {
            letter,
            unwanted,
            no_reply,
        }
    }
}

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
    version: u32,
}

impl MilterSession {
    /// Connects to a milter and negotiates this version of the protocol.
    pub(crate) fn open(socket: &Path, version: u32) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut session = Self {
            stream,
            steps: 0,
            version,
        };
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
        self.connect_from(name, family, &address.to_string())
    }

    /// The same with an address of this family as the mail server writes it.
    pub(crate) fn connect_from(
        &mut self,
        name: &str,
        family: u8,
        address: &str,
    ) -> io::Result<MilterReply> {
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

    /// A message after its recipients: the header's fields and the body. Returns what the milter does to it, each with
    /// its letter, and its last word.
    pub(crate) fn message(
        &mut self,
        header: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<(Vec<(char, String)>, MilterReply)> {
        // Before version 6 there is no DATA.
        if self.steps & DATA.unwanted == 0 && self.version >= 4 {
            let reply = self.say(&DATA, b"")?;
            if reply != MilterReply::Continue {
                return Ok((Vec::new(), reply));
            }
        }
        for (name, value) in header {
            self.say(&HEADER, format!("{name}\0{value}\0").as_bytes())?;
        }
        self.say(&END_OF_HEADER, b"")?;
        for part in body.chunks(65_535) {
            // It may not want any more.
            if self.say(&BODY, part)? != MilterReply::Continue {
                break;
            }
        }
        self.send(b'E', b"")?;
        let mut actions = Vec::new();
        loop {
            let (letter, data) = self.receive()?;
            let text = String::from_utf8_lossy(&data).into_owned();
            match letter {
                b'h' | b'i' | b'm' | b'q' | b'p' => actions.push((char::from(letter), text)),
                letter => return Ok((actions, reply(letter, &data))),
            }
        }
    }

    /// The message is over, or given up.
    pub(crate) fn abort(&mut self) -> io::Result<()> {
        self.send(b'A', b"")
    }

    /// Macros for the next command.
    pub(crate) fn macros(&mut self, command: u8, macros: &[(&str, &str)]) -> io::Result<()> {
        let mut data = vec![command];
        for (name, value) in macros {
            data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.send(b'D', &data)
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
        Ok(reply(letter, &data))
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

/// The reply with this letter.
fn reply(letter: u8, data: &[u8]) -> MilterReply {
    match letter {
        b'c' => MilterReply::Continue,
        b'y' => {
            let text = String::from_utf8_lossy(data);
            MilterReply::Text(text.trim_end_matches('\0').to_owned())
        }
        letter => MilterReply::Letter(char::from(letter)),
    }
}
