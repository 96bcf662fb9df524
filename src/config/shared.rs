//! Options of the records that the hosts of a site share, and the file with the site's secret.
//!
//! # The secret
//!
//! ```text
//! key = 64 hexadecimal digits
//! user = NAME                  ; if the server wants one
//! password = PASSWORD
//! ```
//!
//! Blank lines and lines that begin with `#` are ignored. `stargreyctl shared-key` writes such a file.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::environment::Environment;
use super::file;
use super::options::Options;

/// The port of Redis and Valkey.
const PORT: u16 = 6379;

/// The port of their sentinels.
const SENTINEL_PORT: u16 = 26_379;

/// Length of the key, in bytes.
const KEY_LENGTH: usize = 32;

/// The option of the certificates.
const CA: &str = "--shared-ca";

/// The permissions of others than owner and group.
const FOR_OTHERS: u32 = 0o007;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedPlace {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
    /// Where these sentinels, each a host name or address and a port, say that the primary of this name is.
    Sentinel(Vec<(String, u16)>, String),
}

/// The settings of shared records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSettings {
    /// Where the server is.
    pub place: SharedPlace,
    /// The number of its database.
    pub database: u32,
    /// Whether the connection is encrypted.
    pub uses_tls: bool,
    /// The file with the certificates by which that of the server is checked; without one, those of the system.
    pub ca: Option<PathBuf>,
    /// The file with the secret.
    pub secret: PathBuf,
    /// The name of this host.
    pub hostname: String,
}

/// The secret of a site.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret {
    /// The key of hashes.
    pub key: [u8; KEY_LENGTH],
    /// The user of the server, if it is not its default one.
    pub user: Option<String>,
    /// The password, if the server wants one.
    pub password: Option<String>,
}

/// Reads the options; `None` if nothing is shared.
pub(super) fn read(
    options: &Options,
    environment: &Environment,
    found: &mut Diagnostics,
) -> Option<SharedSettings> {
    let Some(text) = &options.shared else {
        if options.shared_secret.is_some() {
            found.warn(
                "--shared-secret",
                "has no effect without --shared; ignoring",
            );
        }
        if options.shared_ca.is_some() {
            found.warn(CA, "has no effect without --shared; ignoring");
        }
        return None;
    };
    let place = server(text).map(Some);
    let place = found.take("--shared", place, None);
    let Some(secret) = &options.shared_secret else {
        found.error(
            "--shared-secret",
            "is missing: --shared needs a file that stargreyctl shared-key has written, the same on each host",
        );
        return None;
    };
    let secret = found.absolute("--shared-secret", secret.into())?;
    let ServerUrl {
        place,
        database,
        uses_tls,
    } = place?;
    let ca = match &options.shared_ca {
        Some(_) if !uses_tls => {
            let message = "has no effect without rediss:// in --shared; ignoring";
            found.warn(CA, message);
            None
        }
        Some(file) => Some(found.absolute(CA, file.into())?),
        None => None,
    };
    let hostname = options.hostname.as_ref().unwrap_or(&environment.hostname);
    Some(SharedSettings {
        place,
        database,
        uses_tls,
        ca,
        secret,
        hostname: hostname.clone(),
    })
}

/// What the URL of a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServerUrl {
    place: SharedPlace,
    database: u32,
    uses_tls: bool,
}

/// A server, and the number of a database.
fn server(text: &str) -> Result<ServerUrl, String> {
    let form = || {
        format!(
            "{text:?} is not redis://HOST[:PORT]/DB, redis+sentinel://HOST[:PORT][,HOST[:PORT]...]/NAME[/DB], \
             one of these with rediss for TLS, or unix:PATH"
        )
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(ServerUrl {
                place: SharedPlace::Unix(path.into()),
                database: 0,
                uses_tls: false,
            })
        } else {
            Err("write the path of the socket from / on".to_owned())
        };
    }
    if text.contains('@') {
        return Err("user and password belong in the file of --shared-secret".to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let (uses_tls, has_sentinels) = match scheme {
        "redis" => (false, false),
        "rediss" => (true, false),
        "redis+sentinel" => (false, true),
        "rediss+sentinel" => (true, true),
        _ => return Err(form()),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (place, database) = if has_sentinels {
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        let sentinels = hosts
            .split(',')
            .map(|host| host_and_port(host, SENTINEL_PORT));
        let sentinels = sentinels.collect::<Option<Vec<_>>>().ok_or_else(form)?;
        if name.is_empty() || name.contains(['?', '#']) {
            return Err(form());
        }
        (SharedPlace::Sentinel(sentinels, name.to_owned()), database)
    } else {
        let (host, port) = host_and_port(hosts, PORT).ok_or_else(form)?;
        (SharedPlace::Tcp(host, port), path)
    };
    let database = match database {
        "" => Ok(0),
        number => number.parse().map_err(|_| form()),
    };
    Ok(ServerUrl {
        place,
        database: database?,
        uses_tls,
    })
}

/// A host name or address, and its port or this one.
fn host_and_port(text: &str, otherwise: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) | None => (text, otherwise),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let is_host = !host.is_empty() && !host.contains(['[', ']', '?', '#', ',']);
    is_host.then(|| (host.to_owned(), port))
}

impl SharedSettings {
    /// Reads the secret.
    ///
    /// # Errors
    ///
    /// If others may read the file, a line is invalid, or the key is missing.
    pub fn read_secret(&self) -> Result<SharedSecret, Diagnostic> {
        let path = &self.secret;
        let bytes = open_to_few(path)
            .and_then(|()| file::read(path))
            .map_err(|error| file::unreadable("--shared-secret", path, &error))?;
        parse(path, &String::from_utf8_lossy(&bytes))
    }

    /// Reads the certificates by which that of the server is checked; `None` if those are the system's.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has no certificate, or has one that is damaged.
    pub fn read_ca(&self) -> Result<Option<RootCertStore>, Diagnostic> {
        let Some(path) = &self.ca else {
            return Ok(None);
        };
        let bytes = file::read(path).map_err(|error| file::unreadable(CA, path, &error))?;
        let authorities = authorities(&bytes);
        let authorities = authorities
            .map_err(|why| Diagnostic::option(CA, format!("{}: {why}", path.display())))?;
        Ok(Some(authorities))
    }
}

/// The certificates of a file (PEM). Other things in it, such as keys, are left out.
fn authorities(bytes: &[u8]) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(bytes)) {
        let damaged = |why: &dyn fmt::Display| format!("certificate {number} is damaged: {why}");
        let certificate = certificate.map_err(|error| damaged(&error))?;
        let added = authorities.add(certificate);
        added.map_err(|error| damaged(&error))?;
    }
    if authorities.is_empty() {
        return Err("has no certificate (PEM)".to_owned());
    }
    Ok(authorities)
}

/// Checks that others than owner and group cannot read a file.
fn open_to_few(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & FOR_OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "everybody may read it (mode {:04o}); set it to 0640 with the group of stargreyd",
        mode & 0o7777
    )))
}

/// Reads the lines of a secret.
fn parse(path: &Path, text: &str) -> Result<SharedSecret, Diagnostic> {
    let (mut key, mut user, mut password) = (None, None, None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |message: &str| Diagnostic::line(path, number, message);
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("is not NAME = VALUE"))?;
        let (name, value) = (name.trim(), value.trim());
        match name {
            "key" => {
                let bytes = hexadecimal(value);
                key = Some(bytes.ok_or_else(|| wrong("the key is not 64 hexadecimal digits"))?);
            }
            "user" => user = Some(value.to_owned()),
            "password" => password = Some(value.to_owned()),
            _ => return Err(wrong("is not about key, user or password")),
        }
    }
    let missing = || Diagnostic::file(path, "has no key; stargreyctl shared-key writes one");
    Ok(SharedSecret {
        key: key.ok_or_else(missing)?,
        user,
        password,
    })
}

/// The bytes of a key.
fn hexadecimal(text: &str) -> Option<[u8; KEY_LENGTH]> {
    let mut key = [0; KEY_LENGTH];
    if text.len() != 2 * KEY_LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(key)
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_parsed() {
        let url = |place, database, uses_tls| {
            Some(ServerUrl {
                place,
                database,
                uses_tls,
            })
        };
        let tcp =
            |host: &str, port, database| url(SharedPlace::Tcp(host.into(), port), database, false);
        let unix = |path: &str| url(SharedPlace::Unix(path.into()), 0, false);
        let sentinel = |hosts: &[(&str, u16)], name: &str, database, uses_tls| {
            let hosts = hosts.iter().map(|(host, port)| ((*host).into(), *port));
            let place = SharedPlace::Sentinel(hosts.collect(), name.into());
            url(place, database, uses_tls)
        };
        let tls =
            |host: &str, port, database| url(SharedPlace::Tcp(host.into(), port), database, true);
        for (text, want) in [
            ("redis://db.example", tcp("db.example", 6379, 0)),
            ("redis://db.example/", tcp("db.example", 6379, 0)),
            ("redis://db.example:7000/3", tcp("db.example", 7000, 3)),
            ("redis://[2001:db8::1]:7000/3", tcp("2001:db8::1", 7000, 3)),
            ("redis://[2001:db8::1]/3", tcp("2001:db8::1", 6379, 3)),
            (
                "unix:/run/valkey/valkey.sock",
                unix("/run/valkey/valkey.sock"),
            ),
            ("rediss://db.example:6380/2", tls("db.example", 6380, 2)),
            (
                "redis+sentinel://s1.example,192.0.2.2:7000,[2001:db8::3]:1/mail",
                sentinel(
                    &[
                        ("s1.example", 26_379),
                        ("192.0.2.2", 7000),
                        ("2001:db8::3", 1),
                    ],
                    "mail",
                    0,
                    false,
                ),
            ),
            (
                "rediss+sentinel://s1.example/mail/3",
                sentinel(&[("s1.example", 26_379)], "mail", 3, true),
            ),
            ("redis+sentinel://s1.example", None),
            ("redis+sentinel://s1.example//1", None),
            ("redis+sentinel://s1.example,/mail", None),
            ("redis+sentinel://s1.example/mail/x", None),
            ("redis://a.example,b.example/", None),
            ("unix:valkey.sock", None),
            ("redis://", None),
            ("redis://db.example:0/", None),
            ("redis://db.example/x", None),
            ("redis://db.example?db=1", None),
            ("http://db.example/", None),
            ("db.example", None),
        ] {
            assert_eq!(server(text).ok(), want, "{text}");
        }
        for text in [
            "redis://me:secret@db.example/",
            "rediss://me:secret@db.example/",
        ] {
            let error = server(text).unwrap_err();
            assert!(error.contains("--shared-secret"), "{text}: {error}");
            assert!(!error.contains("secret@"), "no password is shown: {error}");
        }
    }

    #[test]
    fn a_secret_is_read_and_what_is_wrong_with_it_is_named() {
        let path = Path::new("/etc/stargrey/shared-secret");
        let key = "0123456789abcdefABCDEF0123456789".repeat(2);
        let text = format!("# of the site\n\nkey = {key}\nuser=mx\npassword = a = b\n");
        let secret = parse(path, &text).unwrap();
        assert_eq!((secret.key[0], secret.key[31]), (0x01, 0x89));
        assert_eq!(secret.user.as_deref(), Some("mx"));
        assert_eq!(secret.password.as_deref(), Some("a = b"));
        for (text, want) in [
            ("", "has no key"),
            ("key = 0123", "1: the key is not"),
            ("\nkey", "2: is not NAME = VALUE"),
            ("name = x", "1: is not about"),
        ] {
            let error = parse(path, text).unwrap_err().to_string();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }
}
