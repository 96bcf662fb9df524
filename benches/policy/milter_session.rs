//! A session with a milter as Postfix has it, with macros, on the thread of the load generator.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::load::connect;
use crate::peers::milter::{
    BODY, CONNECT, Command, DATA, END_OF_HEADER, HEADER, HELO, MAIL, PART, RCPT, Steps,
    negotiation, write,
};

/// The version of the protocol.
const VERSION: u32 = 6;

/// Length and letter of a packet.
const HEAD: usize = 5;

/// Macros that Postfix 3.7 sends with each command.
const MACROS: [(u8, &[u8]); 4] = [
    (
        b'C',
        b"j\0mx.example.org\0{daemon_name}\0mx.example.org\0{daemon_addr}\x00192.0.2.1\0v\0Postfix 3.7.11\0",
    ),
    (b'H', b"{tls_version}\0\0"),
    (
        b'M',
        b"{mail_mailer}\0smtp\0{mail_host}\0\0{mail_addr}\0sender\0",
    ),
    (
        b'R',
        b"{rcpt_mailer}\0local\0{rcpt_host}\0\0{rcpt_addr}\0recipient\0",
    ),
];

/// The header of each message.
const FIELDS: [(&str, &str); 8] = [
    (
        "Received",
        "from mx.sender.example by relay.sender.example; Fri, 27 Nov 2026 10:00:00 +0000",
    ),
    ("Date", "Fri, 27 Nov 2026 10:00:00 +0000"),
    ("From", "Ann <ann@sender.example>"),
    ("To", "Bob <bob@example.org>"),
    ("Subject", "minutes of the meeting"),
    ("Message-ID", "<20261127100000.1@sender.example>"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=us-ascii"),
];

/// A session under way.
pub(crate) struct MilterSession {
    stream: UnixStream,
    steps: Steps,
    step_bits: u32,
    /// What is to be written.
    output: Vec<u8>,
    /// What was read, from the next packet on.
    input: Vec<u8>,
}

impl MilterSession {
    /// A client of this name and address connects and says HELO.
    pub(crate) async fn open(socket: &Path, name: &str, address: &str) -> io::Result<Self> {
        let mut stream = connect(socket).await?;
        stream.write_all(&negotiation(VERSION)).await?;
        let mut input = Vec::new();
        let (letter, length) = packet(&mut stream, &mut input).await?;
        let chosen = input.get(HEAD..length).unwrap_or_default();
        let bits = chosen.get(8..).and_then(<[u8]>::first_chunk);
        let step_bits = bits.map_or(0, |bits| u32::from_be_bytes(*bits));
        let steps = Steps::chosen(VERSION, chosen).filter(|_| letter == b'O');
        let steps = steps.ok_or(io::ErrorKind::InvalidData)?;
        input.drain(..length);
        let mut session = Self {
            stream,
            steps,
            step_bits,
            output: Vec::new(),
            input,
        };
        let port = 25_u16.to_be_bytes();
        let client: [&[u8]; 6] = [
            name.as_bytes(),
            b"\0",
            b"4",
            &port,
            address.as_bytes(),
            b"\0",
        ];
        session.accepted(&CONNECT, &client).await?;
        session.accepted(&HELO, &[name.as_bytes(), b"\0"]).await?;
        Ok(session)
    }

    /// The bits of what the milter has negotiated.
    pub(crate) const fn step_bits(&self) -> u32 {
        self.step_bits
    }

    /// A message of this sender begins.
    pub(crate) async fn mail(&mut self, sender: &str) -> io::Result<()> {
        self.accepted(&MAIL, &[b"<", sender.as_bytes(), b">\0"])
            .await
    }

    /// Whether a recipient is accepted; otherwise it is deferred.
    pub(crate) async fn rcpt(&mut self, recipient: &str) -> io::Result<bool> {
        let parts: [&[u8]; 3] = [b"<", recipient.as_bytes(), b">\0"];
        match self.say(&RCPT, &parts).await? {
            (b'c', _) => Ok(true),
            (b'y', Some(b'4')) | (b't', _) => Ok(false),
            other => Err(unexpected(other)),
        }
    }

    /// The message is given up.
    pub(crate) async fn abort(&mut self) -> io::Result<()> {
        write(&mut self.output, b'A', &[]);
        self.flush().await
    }

    /// DATA and the header.
    pub(crate) async fn header(&mut self) -> io::Result<()> {
        self.accepted(&DATA, &[]).await?;
        for (name, value) in FIELDS {
            let parts: [&[u8]; 4] = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"];
            self.accepted(&HEADER, &parts).await?;
        }
        self.accepted(&END_OF_HEADER, &[]).await
    }

    /// A part of the body. Whether more is wanted.
    pub(crate) async fn body(&mut self, bytes: &[u8]) -> io::Result<bool> {
        for part in bytes.chunks(PART) {
            match self.say(&BODY, &[part]).await? {
                (b'c', _) if self.steps.has(&BODY) => {}
                // It does not want it, or not the rest.
                (b'c' | b's', _) => return Ok(false),
                other => return Err(unexpected(other)),
            }
        }
        Ok(true)
    }

    /// The end of a message, which must be accepted.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        write(&mut self.output, b'E', &[]);
        self.flush().await?;
        loop {
            match self.reply().await? {
                // It adds a field to the header or changes one.
                (b'h' | b'i' | b'm', _) => {}
                (b'c', _) => return Ok(()),
                other => return Err(unexpected(other)),
            }
        }
    }

    /// The end of the session; returns when the milter has ended it, too.
    pub(crate) async fn quit(mut self) -> io::Result<()> {
        write(&mut self.output, b'Q', &[]);
        self.flush().await?;
        let end = self.stream.read_buf(&mut self.input).await?;
        if end == 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    async fn accepted(&mut self, command: &Command, parts: &[&[u8]]) -> io::Result<()> {
        match self.say(command, parts).await? {
            (b'c', _) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// A command with its macros, if it is wanted; letter and next byte of the reply.
    async fn say(&mut self, command: &Command, parts: &[&[u8]]) -> io::Result<(u8, Option<u8>)> {
        if !self.steps.has(command) {
            return Ok((b'c', None));
        }
        if let Some((letter, macros)) = MACROS.iter().find(|(of, _)| *of == command.letter) {
            write(&mut self.output, b'D', &[&[*letter], macros]);
        }
        write(&mut self.output, command.letter, parts);
        if !self.steps.has_reply(command) {
            return Ok((b'c', None));
        }
        self.flush().await?;
        self.reply().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    async fn reply(&mut self) -> io::Result<(u8, Option<u8>)> {
        let (letter, length) = packet(&mut self.stream, &mut self.input).await?;
        let next = self
            .input
            .get(HEAD..length)
            .and_then(<[u8]>::first)
            .copied();
        self.input.drain(..length);
        Ok((letter, next))
    }
}

fn unexpected((letter, next): (u8, Option<u8>)) -> io::Error {
    let next = next.map(char::from);
    io::Error::other(format!(
        "a milter replied {:?} {next:?}",
        char::from(letter)
    ))
}

/// Reads until there is a packet: its letter, and its length with the head.
async fn packet(stream: &mut UnixStream, input: &mut Vec<u8>) -> io::Result<(u8, usize)> {
    loop {
        if let Some((length, [letter, ..])) = input.split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
            if input.len() >= length + HEAD - 1 {
                return Ok((*letter, length + HEAD - 1));
            }
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
