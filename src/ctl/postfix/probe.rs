//! Checks that a policy service replies at an endpoint.

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

/// What is replied at an endpoint of main.cf, `unix:PATH` or `inet:HOST:PORT`: the action.
///
/// # Errors
///
/// A sentence.
pub fn probe(endpoint: &str, queue_directory: &str) -> Result<String, String> {
    if let Some(path) = endpoint.strip_prefix("unix:") {
        let path = Path::new(queue_directory).join(path);
        return match UnixStream::connect(&path).and_then(over_unix) {
            Ok(action) => Ok(action),
            Err(error) => Err(refused(&path.display().to_string(), &error)),
        };
    }
    let place = endpoint.strip_prefix("inet:").unwrap_or(endpoint);
    let connected = place.to_socket_addrs().and_then(|mut addresses| {
        let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&address, REPLY_TIMEOUT)
    });
    connected
        .and_then(over_tcp)
        .map_err(|error| refused(place, &error))
}

fn over_unix(stream: UnixStream) -> io::Result<String> {
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    ask(stream)
}

fn over_tcp(stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    ask(stream)
}

/// Sends the request, and reads the action.
fn ask(mut stream: impl Read + Write) -> io::Result<String> {
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

/// Why there is no reply, with advice.
fn refused(place: &str, error: &io::Error) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others speak for themselves"
    )]
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{place} does not exist: `systemctl enable --now stargrey.socket` creates the packaged one"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!(
                "no server listens on {place}: `systemctl restart stargrey.socket`, or stargreyd with --unix or --inet"
            )
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
            let got = ask(Peer(io::Cursor::new(reply))).ok();
            assert_eq!(got.as_deref(), want);
        }
    }

    #[test]
    fn a_socket_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let said = probe("unix:stargrey/policy", directory.path().to_str().unwrap()).unwrap_err();
        assert!(said.contains("stargrey/policy does not exist"), "{said}");
        assert!(said.contains("stargrey.socket"), "{said}");
    }
}
