//! One HTTP request on standard input, and its response: as much as a collector needs.
//!
//! `GET /metrics` has metrics; every other request gets 404, and what is not a request or has a head of more than
//! 8 KiB gets 400. The connection ends with the response; systemd limits its time and the number of connections.

use std::io::{self, Read};

use super::Format;

/// Maximum bytes of a request's head.
const MAX_HEAD: usize = 8192;

/// What is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The metrics in this format.
    Metrics(Format),
    /// Anything else.
    Other,
    /// Not a request of HTTP, or too long.
    Malformed,
}

impl Request {
    /// Reads a request, up to the empty line after its head.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn read(mut connection: impl Read) -> io::Result<Self> {
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let length = match connection.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            head.extend(buffer.iter().take(length));
            if head.len() > MAX_HEAD {
                return Ok(Self::Malformed);
            }
            if let Some(end) = end_of_head(&head) {
                head.truncate(end);
                return Ok(Self::parse(&head));
            }
            if length == 0 {
                return Ok(Self::Malformed);
            }
        }
    }

    /// The request of this head.
    fn parse(head: &[u8]) -> Self {
        let Ok(head) = std::str::from_utf8(head) else {
            return Self::Malformed;
        };
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some(version), None) =
            (method, target, version, words.next())
        else {
            return Self::Malformed;
        };
        if !version.starts_with("HTTP/1.") {
            return Self::Malformed;
        }
        let path = target.split('?').next().unwrap_or_default();
        if method != "GET" || path != "/metrics" {
            return Self::Other;
        }
        let is_open = lines.any(|line| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            name.eq_ignore_ascii_case("accept") && value.contains("application/openmetrics-text")
        });
        Self::Metrics(if is_open {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        })
    }
}

/// The end of the line before the empty one, if that is there.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = memchr::memchr_iter(b'\n', bytes);
    ends.map(|at| (at, bytes.get(at.saturating_add(1)..).unwrap_or_default()))
        .find(|(_, rest)| rest.starts_with(b"\n") || rest.starts_with(b"\r\n"))
        .map(|(at, _)| at)
}

/// The response with metrics.
#[must_use]
pub fn found(format: Format, body: &str) -> String {
    response("200 OK", format.content_type(), body)
}

/// The response to any other path or method.
#[must_use]
pub fn not_found() -> String {
    response(
        "404 Not Found",
        "text/plain",
        "Metrics are at GET /metrics.\n",
    )
}

/// The response to what is not a request.
#[must_use]
pub fn malformed() -> String {
    response("400 Bad Request", "text/plain", "Not a request.\n")
}

fn response(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_request_has_metrics() {
        let open = "GET /metrics HTTP/1.1\r\nHost: a\r\nACCEPT: text/plain;q=0.5,application/openmetrics-text;version=1.0.0\r\n\r\n";
        let long =
            |length: usize| format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(length));
        let cases = [
            (open, Request::Metrics(Format::OpenMetrics)),
            (
                "GET /metrics HTTP/1.0\n\n",
                Request::Metrics(Format::Prometheus),
            ),
            (
                "GET /metrics?a=b HTTP/1.1\r\n\r\n",
                Request::Metrics(Format::Prometheus),
            ),
            (
                "GET /metrics HTTP/1.1\r\n\r\nHost: a",
                Request::Metrics(Format::Prometheus),
            ),
            ("GET / HTTP/1.1\r\n\r\n", Request::Other),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", Request::Other),
            (
                "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                Request::Other,
            ),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Request::Other),
            ("", Request::Malformed),
            ("\r\n\r\n", Request::Malformed),
            ("GET /metrics\r\n\r\n", Request::Malformed),
            ("GET /metrics HTTP/1.1\r\n", Request::Malformed),
            ("GET /metrics HTTP/2 x\r\n\r\n", Request::Malformed),
            (&long(MAX_HEAD - 30), Request::Metrics(Format::Prometheus)),
            (&long(MAX_HEAD), Request::Malformed),
        ];
        for (text, want) in cases {
            let got = Request::read(text.as_bytes()).unwrap();
            assert_eq!(got, want, "{text}");
        }
        let bytes = b"GET /metrics HTTP/1.1\r\nX: \xff\r\n\r\n";
        assert_eq!(Request::read(&bytes[..]).unwrap(), Request::Malformed);
    }

    #[test]
    fn a_response_says_its_length() {
        let text = found(Format::OpenMetrics, "# EOF\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text;"));
        assert!(text.contains("\r\nContent-Length: 6\r\n") && text.ends_with("\r\n\r\n# EOF\n"));
    }
}
