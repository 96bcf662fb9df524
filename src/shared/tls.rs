//! TLS to a server or a sentinel: whose certificates are good.
//!
//! With a file of authorities the system's are not read, so that it does not matter whether they can be.

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

/// The authorities by which the certificate of a server is checked. Its name must be in the certificate, too.
#[derive(Clone)]
pub enum Tls {
    /// Those of the system, which are read for each connection.
    System,
    /// These alone.
    Authorities(Arc<RootCertStore>),
}

impl Tls {
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
            // Hundreds of files, and requests must not wait for that.
            Self::System => tokio::task::spawn_blocking(of_system)
                .await
                .map_err(|error| ServerError::Other(error.to_string()))??,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Other(error.to_string()))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| refused(&error))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Authorities(_) => "Authorities",
        })
    }
}

/// The authorities of the system, as far as they can be read.
fn of_system() -> Result<Arc<RootCertStore>, ServerError> {
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
    Ok(Arc::new(authorities))
}

/// Why no encrypted connection was made.
fn refused(error: &io::Error) -> ServerError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(why)) = inner {
        return ServerError::Certificate(why.to_string());
    }
    ServerError::Unreachable(error.to_string())
}
