//! Checks that a policy service or a milter replies at an endpoint.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Maximum time for a reply; systemd may have to start the daemon.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a reply, in bytes.
const MAX_REPLY_BYTES: u64 = 4096;

/// A request without effect on the records: the client has only connected.
const REQUEST: &[u8] = b"request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=127.0.0.1\nclient_name=localhost\n\n";

/// The first packet of a mail server: version 6 of the milter protocol, all actions and all steps.
const NEGOTIATION: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

/// The last one.
const QUIT: &[u8] = b"\0\0\0\x01Q";

/// Who is expected to reply, for advice.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// What makes the packaged socket.
    packaged: &'static str,
    /// What makes somebody listen.
    listens: &'static str,
}

const POLICY: Expected = Expected {
    packaged: "`systemctl enable --now stargrey.socket` creates the packaged one",
    listens: "`systemctl restart stargrey.socket`, or stargreyd with --unix or --inet",
};

const MILTER: Expected = Expected {
    packaged: "stargrey-milter(7) shows how to switch the packaged one on",
    listens: "switch it on as stargrey-milter(7) shows, or run stargreyd with --milter",
};

/// What is replied at an endpoint of main.cf, `unix:PATH` or `inet:HOST:PORT`: the action.
///
/// # Errors
///
/// A sentence.
pub fn probe(endpoint: &str, queue_directory: &str) -> Result<String, String> {
    asked(endpoint, queue_directory, ask, POLICY)
}

/// The version of the milter protocol that is spoken at a socket of main.cf. No message is begun.
///
/// # Errors
///
/// A sentence.
pub fn probe_milter(socket: &str, queue_directory: &str) -> Result<String, String> {
    asked(socket, queue_directory, negotiate, MILTER)
}

/// A stream in both directions.
trait Duplex: Read + Write {}

impl<S: Read + Write> Duplex for S {}

/// Connects and asks.
fn asked(
    endpoint: &str,
    queue_directory: &str,
    ask: impl Fn(&mut dyn Duplex) -> io::Result<String>,
    expected: Expected,
) -> Result<String, String> {
    if let Some(path) = endpoint.strip_prefix("unix:") {
        let path = Path::new(queue_directory).join(path);
        let replied = UnixStream::connect(&path).and_then(|mut stream| {
            stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
            stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
            ask(&mut stream)
        });
        return replied.map_err(|error| refused(&path.display().to_string(), &error, expected));
    }
    let place = endpoint.strip_prefix("inet:").unwrap_or(endpoint);
    let connected = place.to_socket_addrs().and_then(|mut addresses| {
        let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&address, REPLY_TIMEOUT)
    });
    let replied = connected.and_then(|mut stream| {
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        ask(&mut stream)
    });
    replied.map_err(|error| refused(place, &error, expected))
}

/// Sends the request, and reads the action.
fn ask(stream: &mut dyn Duplex) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut reply = Vec::new();
    let mut stream = stream.take(MAX_REPLY_BYTES);
    let mut chunk = [0; 512];
    while !reply.ends_with(b"\n\n") {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        reply.extend(chunk.iter().take(read));
    }
    let reply = String::from_utf8_lossy(&reply);
    match reply.strip_prefix("action=") {
        Some(action) if action.ends_with("\n\n") => Ok(action.trim_end().to_owned()),
        _ => Err(io::Error::other("the response is not a policy reply")),
    }
}

/// Negotiates, and reads the version.
fn negotiate(stream: &mut dyn Duplex) -> io::Result<String> {
    stream.write_all(NEGOTIATION)?;
    // Length, letter, version; what follows is not of interest.
    let mut reply = [0; 9];
    let other = || io::Error::other("the response is not that of a milter");
    stream.read_exact(&mut reply).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            other()
        } else {
            error
        }
    })?;
    let [_, _, _, length, b'O', version @ ..] = reply else {
        return Err(other());
    };
    // The reply of a milter is not longer than the limit of any reply.
    let rest = u64::from(length).saturating_sub(5);
    io::copy(&mut (&mut *stream).take(rest), &mut io::sink())?;
    stream.write_all(QUIT)?;
    Ok(u32::from_be_bytes(version).to_string())
}

/// Why there is no reply, with advice.
fn refused(place: &str, error: &io::Error, expected: Expected) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others speak for themselves"
    )]
    match error.kind() {
        io::ErrorKind::NotFound => format!("{place} does not exist: {}", expected.packaged),
        io::ErrorKind::ConnectionRefused => {
            format!("no server listens on {place}: {}", expected.listens)
        }
        io::ErrorKind::PermissionDenied => {
            format!("{place} cannot be opened by this user; try sudo")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
            "{place} accepts connections, but does not reply within {} s: see `systemctl status stargrey.service`",
            REPLY_TIMEOUT.as_secs()
        ),
        _ => format!("{place}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message for a reply.
    struct Peer(io::Cursor<&'static [u8]>);

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_whole_policy_reply_is_one() {
        let cases: [(&[u8], Option<&str>); 4] = [
            (b"action=DUNNO\n\n", Some("DUNNO")),
            (b"action=DUNNO\n", None),
            (b"220 mx ESMTP\r\n", None),
            (b"", None),
        ];
        for (reply, want) in cases {
            let got = ask(&mut Peer(io::Cursor::new(reply))).ok();
            assert_eq!(got.as_deref(), want);
        }
    }

    #[test]
    fn only_the_reply_to_a_negotiation_is_one_of_a_milter() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x11\0\0\0\0", Some("6")),
            (b"\0\0\0\x0dO\0\0\0\x02", Some("2")),
            (b"\0\0\0\x0dO\0\0\0", None),
            (b"action=DUNNO\n\n", None),
            (b"", None),
        ];
        for (reply, want) in cases {
            let got = negotiate(&mut Peer(io::Cursor::new(reply))).ok();
            assert_eq!(got.as_deref(), want, "{reply:?}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let said = probe("unix:stargrey/policy", directory.path().to_str().unwrap()).unwrap_err();
        assert!(said.contains("stargrey/policy does not exist"), "{said}");
        assert!(said.contains("stargrey.socket"), "{said}");
        let queue = directory.path().to_str().unwrap();
        let said = probe_milter("unix:stargrey/milter", queue).unwrap_err();
        let want = "stargrey/milter does not exist: stargrey-milter(7) shows";
        assert!(said.contains(want), "{said}");
    }
}
