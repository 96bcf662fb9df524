//! Sockets passed by systemd.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use std::os::fd::AsRawFd;

use super::bind::{BindError, Protocol, Socket};

/// The name of milter sockets in their unit (`FileDescriptorName=`).
pub const MILTER_SOCKET: &str = "milter";

/// All inherited sockets, unix and TCP in any mix. On those named `milter` the milter protocol is spoken.
///
/// # Errors
///
/// [`BindError::Inherited`] when one of them is not a listening unix or TCP socket.
pub fn inherited() -> Result<Vec<Socket>, BindError> {
    let passed = sd_notify::listen_fds_with_names().map_err(|source| BindError::Inherited {
        name: "LISTEN_FDS".to_owned(),
        source,
    })?;
    let mut sockets = Vec::new();
    for (raw, name) in passed {
        #[expect(
            unsafe_code,
            reason = "a number from the environment becomes a descriptor"
        )]
        // SAFETY: the service manager opened it for this process (LISTEN_PID was compared), it was
        // found open a moment ago, and this is the only place that takes it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let protocol = if name == MILTER_SOCKET {
            Protocol::Milter
        } else {
            Protocol::Policy
        };
        let socket = classify(protocol, descriptor);
        sockets.push(socket.map_err(|source| BindError::Inherited { name, source })?);
    }
    Ok(sockets)
}

/// Finds out what kind of socket this is.
fn classify(protocol: Protocol, descriptor: OwnedFd) -> io::Result<Socket> {
    let wrong = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if getsockopt(&descriptor.as_fd(), sockopt::SockType)? != SockType::Stream {
        return wrong("is not a stream socket");
    }
    if !getsockopt(&descriptor.as_fd(), sockopt::AcceptConn)? {
        return wrong("does not listen; does its unit say Accept=yes?");
    }
    let address: SockaddrStorage = getsockname(descriptor.as_raw_fd())?;
    match address.family() {
        Some(AddressFamily::Unix) => Ok(Socket::unix(protocol, UnixListener::from(descriptor))),
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            Ok(Socket::tcp(protocol, TcpListener::from(descriptor)))
        }
        Some(_) | None => wrong("is neither a unix nor a TCP socket"),
    }
}
