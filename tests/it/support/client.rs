//! A policy client: what Postfix's smtpd does, byte by byte if a test wants it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to the policy service.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<Stream>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Client {
    /// Connects to a unix socket.
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(Stream::Unix(stream)),
        })
    }

    /// Connects to a TCP address, `127.0.0.1:10023` say.
    pub(crate) fn tcp(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(Stream::Tcp(stream)),
        })
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Sends one request, blank line and all. Values are bytes: addresses need not be UTF-8.
    pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        attributes: &[(N, V)],
    ) -> io::Result<()> {
        let mut bytes = b"request=smtpd_access_policy\n".to_vec();
        for (name, value) in attributes {
            bytes.extend_from_slice(name.as_ref());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_ref());
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        self.send(bytes)
    }

    /// The next answer without `action=`; `None` when the daemon closed the connection instead.
    pub(crate) fn answer(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut blank = Vec::new();
        self.stream.read_until(b'\n', &mut blank)?;
        assert_eq!(blank, b"\n", "an answer ends with an empty line");
        let line = String::from_utf8(line).expect("an answer is UTF-8");
        let action = line
            .strip_prefix("action=")
            .expect("an answer begins with action=");
        Ok(Some(action.trim_end_matches('\n').to_owned()))
    }

    /// Asks and gets the action; a connection that closes instead fails the test.
    pub(crate) fn ask<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, attributes: &[(N, V)]) -> String {
        self.request(attributes).expect("the request is taken");
        self.answer()
            .expect("an answer comes")
            .expect("the connection stays open")
    }

    /// Whether the daemon closes the connection without another byte.
    pub(crate) fn is_closed_without_answer(&mut self) -> bool {
        matches!(self.answer(), Ok(None))
    }
}

/// A request about the triplet of this number.
pub(crate) fn nth_request(n: usize) -> Vec<(&'static str, String)> {
    let sender = format!("s{n}x@example.org");
    rcpt("mx.example", "192.0.2.7", &sender, "joe@example.net")
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

/// The attributes of a RCPT as Postfix sends the ones that matter here.
pub(crate) fn rcpt<'a>(
    client_name: &'a str,
    client_address: &'a str,
    sender: &'a str,
    recipient: &'a str,
) -> Vec<(&'static str, &'a str)> {
    vec![
        ("protocol_state", "RCPT"),
        ("protocol_name", "ESMTP"),
        ("client_address", client_address),
        ("client_name", client_name),
        ("reverse_client_name", client_name),
        ("helo_name", "helo.example"),
        ("sender", sender),
        ("recipient", recipient),
        ("recipient_count", "0"),
        ("queue_id", ""),
        ("size", "0"),
        ("etrn_domain", ""),
        ("stress", ""),
    ]
}
