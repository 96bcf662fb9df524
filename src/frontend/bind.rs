//! Sockets that the daemon binds itself; a unix socket's file is removed at the end.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind as bind_socket,
    connect, getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use crate::config::Endpoint;

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Postfix's policy delegation protocol.
    Policy,
    /// The milter protocol.
    Milter,
}

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    pub(super) protocol: Protocol,
    pub(super) kind: SocketKind,
    /// The file to remove at the end; `None` unless this process bound a unix socket.
    pub(super) file: Option<SocketFile>,
}

/// The family of the socket.
#[derive(Debug)]
pub(super) enum SocketKind {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// The file of a unix socket. Dropping this removes the file, unless another one has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) != self.identity {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = self.path.display();
            log::warn!("cannot remove {path}: {error}; ignoring");
        }
    }
}

/// Device and inode of a file: they identify it under any name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Why a socket is not available.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// systemd passed something else.
    #[error("inherited socket {name:?}: {source}")]
    Inherited {
        /// Its name in the unit.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Another server answers there.
    #[error("{0} is in use: another server answers there")]
    InUse(String),
    /// The path exists and is not a socket.
    #[error("{0} exists and is not a socket; remove it or use another path")]
    NotASocket(PathBuf),
    /// A system call failed.
    #[error("{place}: {source}{advice}")]
    System {
        /// The address.
        place: String,
        /// What the system says.
        source: io::Error,
        /// What to do about it, if known.
        advice: String,
    },
}

impl Socket {
    pub(super) const fn unix(protocol: Protocol, listener: UnixListener) -> Self {
        Self {
            protocol,
            kind: SocketKind::Unix(listener),
            file: None,
        }
    }

    pub(super) const fn tcp(protocol: Protocol, listener: TcpListener) -> Self {
        Self {
            protocol,
            kind: SocketKind::Tcp(listener),
            file: None,
        }
    }

    /// What is spoken on it.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The address or path it listens on, for the log.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.kind {
            SocketKind::Unix(listener) => listener
                .local_addr()
                .ok()
                .and_then(|address| Some(address.as_pathname()?.display().to_string()))
                .unwrap_or_else(|| "unix socket".to_owned()),
            SocketKind::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "TCP socket".to_owned(), |address| address.to_string()),
        }
    }

    fn has_path(&self, path: &Path) -> bool {
        match &self.kind {
            SocketKind::Unix(listener) => listener.local_addr().is_ok_and(|address| {
                address.as_pathname().is_some_and(|own| {
                    own == path || identity(own).is_some_and(|own| Some(own) == identity(path))
                })
            }),
            SocketKind::Tcp(_) => false,
        }
    }

    fn has_address(&self, wanted: SocketAddr) -> bool {
        match &self.kind {
            SocketKind::Unix(_) => false,
            SocketKind::Tcp(listener) => listener.local_addr().is_ok_and(|bound| {
                bound == wanted
                    || (bound.port() == wanted.port()
                        && bound.ip().is_unspecified()
                        && (bound.is_ipv6() == wanted.is_ipv6() || takes_both(listener)))
            }),
        }
    }
}

/// Whether a socket on `[::]` accepts IPv4 too, as systemd's do by default.
fn takes_both(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|bound| bound.is_ipv6())
        && getsockopt(listener, sockopt::Ipv6V6Only).is_ok_and(|only| !only)
}

/// Binds `endpoints` and listens, except on addresses that a socket of `inherited` has.
///
/// A unix socket without a server is replaced; one with a live server is an error.
///
/// # Errors
///
/// [`BindError`] for the first endpoint that cannot be bound.
pub fn bind(
    endpoints: &[(Protocol, Endpoint)],
    inherited: &[Socket],
    mode: u32,
    backlog: i32,
) -> Result<Vec<Socket>, BindError> {
    let mut sockets: Vec<Socket> = Vec::new();
    // Wildcard addresses first: they include others.
    let (wide, narrow): (Vec<_>, Vec<_>) = endpoints
        .iter()
        .partition(|(_, endpoint)| matches!(endpoint, Endpoint::Everywhere(_)));
    for (protocol, endpoint) in wide.into_iter().chain(narrow) {
        let protocol = *protocol;
        match endpoint {
            Endpoint::Unix(path) => {
                let known = |socket: &Socket| socket.has_path(path);
                if !inherited.iter().any(known) && !sockets.iter().any(known) {
                    sockets.push(bind_unix(protocol, path, mode, backlog)?);
                }
            }
            Endpoint::Inet(..) | Endpoint::Localhost(_) | Endpoint::Everywhere(_) => {
                bind_inet((protocol, endpoint), inherited, backlog, &mut sockets)?;
            }
        }
    }
    Ok(sockets)
}

/// Whether a server listens on a unix socket. A full queue counts as a server.
fn is_live(path: &Path) -> io::Result<bool> {
    let address = UnixAddr::new(path)?;
    let client = open(AddressFamily::Unix)?;
    match connect(client.as_raw_fd(), &address) {
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn bind_unix(
    protocol: Protocol,
    path: &Path,
    mode: u32,
    backlog: i32,
) -> Result<Socket, BindError> {
    let place = path.display().to_string();
    let system = |source: io::Error| BindError::System {
        advice: advice(path, &source),
        place: place.clone(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {
            if is_live(path).map_err(system)? {
                return Err(BindError::InUse(place));
            }
            fs::remove_file(path).map_err(system)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(system(error)),
    }
    let address = UnixAddr::new(path).map_err(|errno| system(errno.into()))?;
    let descriptor = open(AddressFamily::Unix).map_err(system)?;
    bind_socket(descriptor.as_raw_fd(), &address).map_err(|errno| system(errno.into()))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path),
    };
    // Not through a link: the owner of the directory could have replaced the file by one.
    let bits = Mode::from_bits_truncate(mode);
    match fchmodat(AT_FDCWD, path, bits, FchmodatFlags::NoFollowSymlink) {
        Ok(()) => {}
        // The C library is older, or has no /proc, which it needs for this.
        Err(Errno::EOPNOTSUPP) => {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(system)?;
        }
        Err(errno) => return Err(system(errno.into())),
    }
    start(&descriptor, backlog).map_err(system)?;
    Ok(Socket {
        file: Some(file),
        ..Socket::unix(protocol, UnixListener::from(descriptor))
    })
}

/// Binds every address of the endpoint. Of several addresses, such as one of each family, some may be missing on this
/// machine, but not all.
fn bind_inet(
    (protocol, endpoint): (Protocol, &Endpoint),
    inherited: &[Socket],
    backlog: i32,
    sockets: &mut Vec<Socket>,
) -> Result<(), BindError> {
    let (place, addresses) = match endpoint {
        Endpoint::Unix(_) => return Ok(()),
        Endpoint::Localhost(port) => (
            format!("localhost:{port}"),
            resolve(&[("127.0.0.1", *port), ("::1", *port)]),
        ),
        Endpoint::Everywhere(port) => (
            format!("*:{port}"),
            resolve(&[("0.0.0.0", *port), ("::", *port)]),
        ),
        Endpoint::Inet(host, port) => {
            (format!("{host}:{port}"), resolve(&[(host.as_str(), *port)]))
        }
    };
    let system = |source| BindError::System {
        place: place.clone(),
        source,
        advice: String::new(),
    };
    let mut last = None;
    let mut is_served = false;
    for address in addresses.map_err(system)? {
        let known = |socket: &Socket| socket.has_address(address);
        if inherited.iter().any(known) || sockets.iter().any(known) {
            is_served = true;
            continue;
        }
        match bind_tcp(address, backlog) {
            Ok(listener) => {
                sockets.push(Socket::tcp(protocol, listener));
                is_served = true;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::InUse(address.to_string()));
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if !is_served => Err(system(error)),
        Some(_) | None => Ok(()),
    }
}

/// The addresses of these hosts, each once.
fn resolve(hosts: &[(&str, u16)]) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for host in hosts {
        for address in host.to_socket_addrs()? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let descriptor = open(family)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &true)?;
    }
    bind_socket(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    start(&descriptor, backlog)?;
    Ok(TcpListener::from(descriptor))
}

fn open(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?)
}

fn start(descriptor: &OwnedFd, backlog: i32) -> io::Result<()> {
    // Capped at SOMAXCONN; the kernel applies its own limit too.
    let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
    Ok(listen(descriptor, backlog)?)
}

/// Advice for an error that the unit's sandbox may have caused; empty for others.
fn advice(path: &Path, error: &io::Error) -> String {
    let forbidden = matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    );
    if !forbidden || std::env::var_os("INVOCATION_ID").is_none() {
        return String::new();
    }
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    format!(
        "; the unit's sandbox forbids it: use the socket of stargrey.socket, \
         or add a drop-in with [Service] ReadWritePaths={directory}"
    )
}

#[cfg(test)]
mod tests;
