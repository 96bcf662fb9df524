//! How a server or a sentinel is connected to: login, database, TLS.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
};

use super::server::ServerError;

/// How to connect to a server.
#[derive(Clone, Default, PartialEq, Eq)]
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

/// How a connection is encrypted. A server is checked by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates (PEM) by which that of the server is checked; without them, the system's.
    pub ca: Option<Vec<u8>>,
}

impl Access {
    /// The way to a sentinel: encrypted alike, but without a login.
    pub(super) fn of_sentinels(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            ..Self::default()
        }
    }

    /// The client of a server.
    pub(super) fn client(&self, host: &str, port: u16) -> Result<Client, ServerError> {
        let host = host.to_owned();
        let Some(tls) = &self.tls else {
            let info = ConnectionAddr::Tcp(host, port).into_connection_info()?;
            return Ok(Client::open(info.set_redis_settings(self.settings()))?);
        };
        let address = ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        };
        let info = address.into_connection_info()?;
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: tls.ca.clone(),
        };
        // It is set already after the first time.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let info = info.set_redis_settings(self.settings());
        Ok(Client::build_with_tls(info, certificates)?)
    }

    pub(super) fn settings(&self) -> RedisConnectionInfo {
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

/// Connects. The callers have deadlines of their own.
pub(super) async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
