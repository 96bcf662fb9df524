//! TLS to a server or a sentinel: whose certificates are good.
//!
//! With a file of authorities the system's are not read, so that it does not matter whether they can be. The system's are
//! hundreds of files: they are read for the first connection, and again when they do not suffice for one.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server::ServerError;
use crate::types::sync::Mutex;

/// The authorities by which the certificate of a server is checked. Its name must be in the certificate, too.
#[derive(Clone)]
pub enum Tls {
    /// Those of the system.
    System(SystemAuthorities),
    /// These alone.
    Authorities(Arc<RootCertStore>),
}

/// The authorities of the system, once they have been read. All clones are one.
#[derive(Clone)]
pub struct SystemAuthorities {
    read: fn() -> Result<RootCertStore, ServerError>,
    known: Arc<Mutex<Option<Arc<RootCertStore>>>>,
}

impl SystemAuthorities {
    fn new(read: fn() -> Result<RootCertStore, ServerError>) -> Self {
        Self {
            read,
            known: Arc::default(),
        }
    }

    /// They are read if they are not known.
    async fn get(&self) -> Result<Arc<RootCertStore>, ServerError> {
        let known = self.known.lock().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        // Requests must not wait for that.
        let reading = tokio::task::spawn_blocking(self.read);
        let read = reading.await;
        let read = Arc::new(read.map_err(|error| ServerError::Other(error.to_string()))??);
        *self.known.lock() = Some(Arc::clone(&read));
        Ok(read)
    }

    /// They are read again for the next connection.
    fn forget(&self) {
        *self.known.lock() = None;
    }
}

impl Tls {
    /// Trusts the authorities of the system, which are not read before the first connection.
    #[must_use]
    pub fn of_system() -> Self {
        Self::System(SystemAuthorities::new(of_system))
    }

    /// Encrypts a connection to the server with this name or address.
    pub(super) async fn encrypt(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ServerError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ServerError::Certificate(format!("{host:?} cannot be in one")))?;
        let authorities = match self {
            Self::Authorities(authorities) => Arc::clone(authorities),
            Self::System(authorities) => authorities.get().await?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Other(error.to_string()))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, stream).await;
        let connected = connected.map_err(|error| refused(&error));
        if let (Self::System(authorities), Err(ServerError::Certificate(_))) = (self, &connected) {
            // Its authority may be installed meanwhile.
            authorities.forget();
        }
        connected
    }
}

impl fmt::Debug for SystemAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemAuthorities")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System(_) => "System",
            Self::Authorities(_) => "Authorities",
        })
    }
}

/// The authorities of the system, as far as they can be read.
fn of_system() -> Result<RootCertStore, ServerError> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(ServerError::Certificate(format!(
            "the system has no certificates of authorities{}",
            why.unwrap_or_default()
        )));
    }
    Ok(authorities)
}

/// Why no encrypted connection was made.
fn refused(error: &io::Error) -> ServerError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(why)) = inner {
        return ServerError::Certificate(why.to_string());
    }
    ServerError::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static READ: AtomicUsize = AtomicUsize::new(0);

    fn counted() -> Result<RootCertStore, ServerError> {
        match READ.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ServerError::Certificate("there are none".to_owned())),
            _ => Ok(RootCertStore::empty()),
        }
    }

    #[tokio::test]
    async fn the_authorities_of_the_system_are_read_once_until_they_do_not_suffice() {
        let authorities = SystemAuthorities::new(counted);
        assert!(authorities.get().await.is_err());
        for connection in [&authorities, &authorities.clone(), &authorities] {
            assert!(connection.get().await.is_ok());
            assert_eq!(READ.load(Ordering::Relaxed), 2);
        }
        authorities.forget();
        assert!(authorities.clone().get().await.is_ok());
        assert_eq!(READ.load(Ordering::Relaxed), 3);
    }
}
