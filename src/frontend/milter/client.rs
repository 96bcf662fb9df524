//! The client of a session, as the mail server names it.

use std::net::SocketAddr;

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    /// Its address and port.
    pub(super) socket: SocketAddr,
    /// Its address, as text.
    pub(super) address: String,
    /// Its port, as text.
    pub(super) port: String,
    /// Its verified name, or `unknown`.
    pub(super) name: Vec<u8>,
}

impl Client {
    /// The client of a session. A name in brackets is its address: it has no verified name.
    pub(super) fn new(name: &[u8], socket: SocketAddr) -> Self {
        let name = if name.starts_with(b"[") || name.is_empty() {
            b"unknown"
        } else {
            name
        };
        Self {
            socket,
            address: socket.ip().to_canonical().to_string(),
            port: socket.port().to_string(),
            name: name.to_owned(),
        }
    }
}
