//! A small SMTP client, which Postfix lets pretend by XCLIENT to be any other host.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for a reply before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What XCLIENT says of a client that has not logged in.
pub(crate) const NOBODY: &str = "[UNAVAILABLE]";

/// Who the mail seems to come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The verified host name; `None` when there is none, as Postfix's `unknown`.
    pub(crate) name: Option<&'static str>,
    /// What the address's PTR record says, right or wrong.
    pub(crate) reverse_name: &'static str,
    /// The address; an IPv6 one with `IPV6:` before it.
    pub(crate) address: &'static str,
}

impl Peer {
    /// A host whose name is right.
    pub(crate) const fn new(name: &'static str, address: &'static str) -> Self {
        Self {
            name: Some(name),
            reverse_name: name,
            address,
        }
    }
}

/// What the server said, on however many lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    text: String,
}

impl Reply {
    /// Whether the server agreed.
    pub(crate) fn is_good(&self) -> bool {
        self.text.starts_with(['2', '3'])
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// One SMTP session.
#[derive(Debug)]
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Connects, says who the client is and greets.
    pub(crate) fn open(server: SocketAddr, peer: Peer) -> Self {
        Self::authenticated(server, peer, NOBODY)
    }

    /// The same for a client that has logged in as this user.
    pub(crate) fn authenticated(server: SocketAddr, peer: Peer, user: &str) -> Self {
        let stream = TcpStream::connect(server).expect("Postfix accepts");
        Self::introduced(stream, peer, user)
    }

    /// The same on a connection.
    pub(crate) fn introduced(stream: TcpStream, peer: Peer, user: &str) -> Self {
        let mut session = Self::over(stream);
        let port = session.stream.get_ref().local_addr().unwrap().port();
        session.must(&format!(
            "XCLIENT NAME={} REVERSE_NAME={} ADDR={} PORT={port} LOGIN={user}",
            peer.name.unwrap_or("[UNAVAILABLE]"),
            peer.reverse_name,
            peer.address
        ));
        session.must("EHLO helo.example");
        session
    }

    /// Waits for the server's first words on a connection.
    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut session = Self {
            stream: BufReader::new(stream),
        };
        let banner = session.reply();
        assert!(banner.is_good(), "{banner}");
        session
    }

    /// Greets on a connection, as the host that it is.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        let mut session = Self::over(stream);
        session.must("EHLO helo.example");
        session
    }

    /// Waits for replies for so long, and not as long as usual.
    pub(crate) fn wait_for_up_to(&self, time: Duration) {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
    }

    /// One command, whatever the reply.
    pub(crate) fn command(&mut self, line: &str) -> Reply {
        self.say(line);
        self.reply()
    }

    /// Sends a line, or several at once, and waits for nothing.
    pub(crate) fn say(&mut self, lines: &str) {
        self.stream
            .get_mut()
            .write_all(format!("{lines}\r\n").as_bytes())
            .expect("the server reads");
    }

    /// Begins a message; any message begun before is forgotten.
    pub(crate) fn mail(&mut self, sender: &str) {
        self.must("RSET");
        self.must(&format!("MAIL FROM:<{sender}>"));
    }

    /// Names one recipient.
    pub(crate) fn rcpt(&mut self, recipient: &str) -> Reply {
        self.command(&format!("RCPT TO:<{recipient}>"))
    }

    /// Begins a message and names one recipient.
    pub(crate) fn attempt(&mut self, sender: &str, recipient: &str) -> Reply {
        self.mail(sender);
        self.rcpt(recipient)
    }

    /// Sends the message itself, with a header of its own, to the recipients that were accepted.
    pub(crate) fn data(&mut self) {
        self.must("DATA");
        self.must("Subject: hello\r\n\r\nIt is me.\r\n.");
    }

    fn must(&mut self, line: &str) {
        let reply = self.command(line);
        assert!(reply.is_good(), "{line}: {reply}");
    }

    /// What the server says next.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            self.stream
                .read_line(&mut line)
                .expect("the server answers");
            assert!(line.ends_with("\r\n"), "the server hung up after {text:?}");
            text.push_str(line.trim_end());
            if line.get(3..4) != Some("-") {
                return Reply { text };
            }
            text.push('\n');
        }
    }
}
