//! A session with a milter as a mail server has it, one command after the other.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::peers::milter::{
    BODY, CONNECT, Command, DATA, END_OF_HEADER, HEADER, HELO, MAIL, PART, RCPT, Steps,
    negotiation, write,
};

/// How long a reply may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

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
    steps: Steps,
    version: u32,
}

impl MilterSession {
    /// Connects to a milter and negotiates this version of the protocol.
    pub(crate) fn open(socket: &Path, version: u32) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&negotiation(version))?;
        let (letter, reply) = receive(&mut stream)?;
        let steps = Steps::chosen(version, &reply).filter(|_| letter == b'O');
        let steps = steps.ok_or_else(|| io::Error::other(format!("{letter} {reply:?}")))?;
        Ok(Self {
            stream,
            steps,
            version,
        })
    }

    /// The letters of the commands after which the mail server waits for a reply.
    pub(crate) fn waits_after(&self) -> String {
        let all = [CONNECT, HELO, MAIL, RCPT, DATA, HEADER, END_OF_HEADER, BODY];
        let waits = |command: &&Command| self.steps.has(command) && self.steps.has_reply(command);
        let waits = all.iter().filter(waits);
        waits.map(|command| char::from(command.letter)).collect()
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
        if self.steps.has(&DATA) && self.version >= 4 {
            let reply = self.say(&DATA, b"")?;
            if reply != MilterReply::Continue {
                return Ok((Vec::new(), reply));
            }
        }
        for (name, value) in header {
            self.say(&HEADER, format!("{name}\0{value}\0").as_bytes())?;
        }
        self.say(&END_OF_HEADER, b"")?;
        for part in body.chunks(PART) {
            // It may not want any more.
            if self.say(&BODY, part)? != MilterReply::Continue {
                break;
            }
        }
        self.send(b'E', b"")?;
        let mut actions = Vec::new();
        loop {
            let (letter, data) = receive(&mut self.stream)?;
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
        if !self.steps.has(command) {
            return Ok(MilterReply::Continue);
        }
        self.send(command.letter, data)?;
        if !self.steps.has_reply(command) {
            return Ok(MilterReply::Continue);
        }
        let (letter, data) = receive(&mut self.stream)?;
        Ok(reply(letter, &data))
    }

    fn send(&mut self, letter: u8, data: &[u8]) -> io::Result<()> {
        let mut packet = Vec::new();
        write(&mut packet, letter, &[data]);
        self.stream.write_all(&packet)
    }
}

/// The next packet: its letter, and the rest.
fn receive(stream: &mut UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet)?;
    let data = packet.split_off(1.min(length));
    let letter = packet.first().copied();
    Ok((letter.ok_or(io::ErrorKind::InvalidData)?, data))
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
