//! Listening addresses: the values of `--unix` and `--inet`.

use std::path::PathBuf;

use super::value;

/// A listening address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A host name or address, and a port.
    Inet(String, u16),
    /// A port on the loopback addresses of both families.
    Localhost(u16),
    /// A port on all addresses of both families.
    Everywhere(u16),
}

impl Endpoint {
    /// `[HOST:]PORT`; an IPv6 address in brackets, or without them if the last colon is the port's.
    pub(super) fn inet(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (None, text),
        };
        let port = value::number(port, 1, u16::MAX).map_err(|_| {
            format!("{text:?} is not [HOST:]PORT with a port from 1 to 65535; write an IPv6 address in brackets")
        })?;
        let host = host.map(|host| {
            host.strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host)
        });
        match host {
            None => Ok(Self::Localhost(port)),
            Some("*") => Ok(Self::Everywhere(port)),
            Some("") => Err(format!("{text:?} has no host before the colon")),
            Some(host) if host.contains(['[', ']']) => {
                Err(format!("{text:?} has unbalanced brackets"))
            }
            Some(host) => Ok(Self::Inet(host.to_owned(), port)),
        }
    }

    /// A socket as mail servers write it for their milters: `unix:PATH`, `inet:HOST:PORT`, and Sendmail's `local:PATH`,
    /// `inet:PORT@HOST` and `inet6:PORT@HOST`.
    pub(super) fn milter(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest.split_once('@')) {
            ("unix" | "local", _) => Self::unix(rest),
            ("inet" | "inet6", Some((port, host))) => Self::inet(&format!("{host}:{port}")),
            ("inet" | "inet6", None) => Self::inet(rest),
            _ => Err(format!("{text:?} is neither unix:PATH nor inet:HOST:PORT")),
        }
    }

    /// The path of a unix socket.
    pub(super) fn unix(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("the path is empty".to_owned());
        }
        Ok(Self::Unix(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milter_sockets_are_parsed_as_mail_servers_write_them() {
        let host = |host: &str, port| Endpoint::Inet(host.to_owned(), port);
        let cases = [
            ("unix:/run/m", Some(Endpoint::Unix("/run/m".into()))),
            ("local:/run/m", Some(Endpoint::Unix("/run/m".into()))),
            ("inet:127.0.0.1:8890", Some(host("127.0.0.1", 8890))),
            ("inet:8890@localhost", Some(host("localhost", 8890))),
            ("inet6:8890@::1", Some(host("::1", 8890))),
            ("inet:8890", Some(Endpoint::Localhost(8890))),
            ("unix:", None),
            ("/run/m", None),
            ("inet:", None),
            ("8890", None),
        ];
        for (text, want) in cases {
            assert_eq!(Endpoint::milter(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn endpoints_are_parsed() {
        let host = |host: &str, port| Endpoint::Inet(host.to_owned(), port);
        let cases = [
            ("10023", Some(Endpoint::Localhost(10023))),
            ("127.0.0.1:10023", Some(host("127.0.0.1", 10023))),
            ("[::1]:10023", Some(host("::1", 10023))),
            ("::1:10023", Some(host("::1", 10023))),
            ("localhost:60000", Some(host("localhost", 60000))),
            ("*:10023", Some(Endpoint::Everywhere(10023))),
            (":10023", None),
            ("0", None),
            ("host", None),
            ("[::1]", None),
            ("[::1", None),
            ("::1]:10023", None),
            ("65536", None),
        ];
        for (text, want) in cases {
            assert_eq!(Endpoint::inet(text).ok(), want, "{text}");
        }
    }
}
