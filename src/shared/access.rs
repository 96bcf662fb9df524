//! How a server or a sentinel is connected to: login, database, TLS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::{AbortHandle, JoinSet};

use super::server::ServerError;
use super::tls::Tls;

/// How to connect to a server.
#[derive(Clone, Default)]
pub struct Access {
    /// The number of the database.
    pub database: u32,
    /// The user, if it is not the default one.
    pub user: Option<String>,
    /// The password, if the server wants one.
    pub password: Option<String>,
    /// How it is encrypted, if it is.
    pub tls: Option<Tls>,
}

/// A connection. It is closed with its last clone, whatever was asked over it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// The task that sends and receives.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Access {
    /// The way to a sentinel: encrypted alike, but without a login.
    pub(super) fn of_sentinels(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            ..Self::default()
        }
    }

    /// Connects to a host. The callers have deadlines of their own.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<Wire, ServerError> {
        let stream = connect(host, port).await?;
        match &self.tls {
            Some(tls) => self.log_in(tls.encrypt(host, stream).await?).await,
            None => self.log_in(stream).await,
        }
    }

    /// Connects to a unix socket.
    pub(super) async fn connect_unix(&self, path: &Path) -> Result<Wire, ServerError> {
        self.log_in(UnixStream::connect(path).await?).await
    }

    async fn log_in<S>(&self, stream: S) -> Result<Wire, ServerError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&self.settings(), stream, config).await?;
        let driver = Driver(tokio::spawn(driver).abort_handle());
        Ok(Wire {
            connection,
            _driver: Arc::new(driver),
        })
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.database.into())
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// Connects to the address of a host that accepts first.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in lookup_host((host, port)).await? {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut why = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    while let Some(attempt) = attempts.join_next().await {
        match attempt.map_err(io::Error::other).flatten() {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => why = error,
        }
    }
    Err(why)
}
