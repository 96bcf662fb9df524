//! Redis and Valkey.
//!
//! The only commands are `GETRANGE`, `TIME` and one script that compares and sets; a user needs no others (see
//! stargrey-shared(7)), and sentinels are asked for the address of the primary. There is one connection, which is
//! pipelined: a pool of them was three times as slow.
//!
//! No more is read of a value than a host of the site can have written, so that whoever can write to the server cannot
//! use up the memory of the hosts.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind};

use super::access::{Access, Wire};
use super::seal::Name;
use super::sentinel::Sentinels;
use super::server::{Connection, Pending, Server, ServerError, Write, Written};
use crate::types::Timestamp;

/// Compares each value, as far as it is read, with the one that was read, and sets or deletes it, or returns the other
/// one. An empty text stands for no value.
const SCRIPT: &str = "\
local out = {}
for i, name in ipairs(KEYS) do
  local value = redis.pcall('GETRANGE', name, 0, ARGV[4 * i])
  if type(value) ~= 'string' then value = '' end
  if value ~= ARGV[4 * i - 3] then
    out[i] = value
  elseif ARGV[4 * i - 2] == '' then
    redis.call('DEL', name)
    out[i] = false
  else
    redis.call('SET', name, ARGV[4 * i - 2], 'PX', ARGV[4 * i - 1])
    out[i] = false
  end
end
return out";

/// A host and a port, as they are written.
fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

static COMPARE_AND_SET: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
    /// Where these sentinels say that the primary of this name is.
    Sentinel(Vec<(String, u16)>, String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => f.write_str(&host_and_port(host, *port)),
            Self::Unix(path) => path.display().fmt(f),
            Self::Sentinel(sentinels, name) => {
                let of = |(host, port): &(String, u16)| host_and_port(host, *port);
                let sentinels: Vec<String> = sentinels.iter().map(of).collect();
                write!(f, "{name} of {}", sentinels.join(", "))
            }
        }
    }
}

/// A server of Redis or Valkey.
pub struct Redis {
    address: String,
    access: Access,
    route: Route,
}

/// The way to the server.
enum Route {
    Tcp(String, u16),
    Unix(PathBuf),
    Sentinels(Sentinels),
}

impl Redis {
    /// The server at `place`.
    #[must_use]
    pub fn new(place: Place, access: Access) -> Self {
        let address = place.to_string();
        let route = match place {
            Place::Tcp(host, port) => Route::Tcp(host, port),
            Place::Unix(path) => Route::Unix(path),
            Place::Sentinel(hosts, name) => Route::Sentinels(Sentinels::new(hosts, name, &access)),
        };
        Self {
            address,
            access,
            route,
        }
    }

    fn wire(&self) -> Pending<Wire> {
        let access = self.access.clone();
        match &self.route {
            Route::Tcp(host, port) => {
                let (host, port) = (host.clone(), *port);
                Box::pin(async move { access.connect(&host, port).await })
            }
            Route::Unix(path) => {
                let path = path.clone();
                Box::pin(async move { access.connect_unix(&path).await })
            }
            Route::Sentinels(sentinels) => sentinels.connect(access),
        }
    }
}

impl Server for Redis {
    fn connect(&self) -> Pending<Arc<dyn Connection>> {
        let wire = self.wire();
        Box::pin(async move {
            let connection: Arc<dyn Connection> = Arc::new(wire.await?);
            Ok(connection)
        })
    }

    fn has_moved(&self) -> Pending<bool> {
        match &self.route {
            Route::Sentinels(sentinels) => sentinels.have_another(),
            Route::Tcp(..) | Route::Unix(_) => Box::pin(async { Ok(false) }),
        }
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Connection for Wire {
    fn get(&self, names: Vec<Name>) -> Pending<Vec<Option<Vec<u8>>>> {
        let mut wire = self.clone();
        Box::pin(async move {
            let mut commands = Pipeline::with_capacity(names.len());
            for name in &names {
                let command = commands.cmd("GETRANGE").arg(name.as_bytes());
                command.arg(0).arg(name.longest());
            }
            let values: Vec<RedisResult<Vec<u8>>> = commands
                .ignore_errors()
                .query_async(&mut wire.connection)
                .await?;
            let read = |value: RedisResult<Vec<u8>>| match value {
                Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
                // A list or a hash, which the script replaces.
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                Err(error) => Err(error.into()),
            };
            values.into_iter().map(read).collect()
        })
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Vec<Written>> {
        let mut wire = self.clone();
        Box::pin(async move {
            let mut call = COMPARE_AND_SET.prepare_invoke();
            for write in &writes {
                let lifetime = write.lifetime.max(Duration::from_millis(1));
                call.key(write.name.as_bytes())
                    .arg(write.read.as_deref().unwrap_or_default())
                    .arg(write.value.as_deref().unwrap_or_default())
                    .arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
                    .arg(write.name.longest());
            }
            let others: Vec<Option<Vec<u8>>> = call.invoke_async(&mut wire.connection).await?;
            let written = |other: Option<Vec<u8>>| match other {
                None => Written::Done,
                Some(value) => Written::Other(Some(value).filter(|value| !value.is_empty())),
            };
            Ok(others.into_iter().map(written).collect())
        })
    }

    fn time(&self) -> Pending<Timestamp> {
        let mut wire = self.clone();
        Box::pin(async move {
            let (seconds, _): (u64, u64) =
                redis::cmd("TIME").query_async(&mut wire.connection).await?;
            Ok(Timestamp::from_seconds(seconds))
        })
    }
}

impl From<RedisError> for ServerError {
    fn from(error: RedisError) -> Self {
        let detail = || error.detail().unwrap_or_default().to_owned();
        match (error.kind(), error.code()) {
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => Self::ReadOnly,
            (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => Self::Loading,
            (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Self::NoPermission(detail()),
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
                Self::NotAuthenticated
            }
            (_, Some("OOM")) => Self::Full,
            (_, Some("MISCONF")) => Self::DiskFailed,
            (_, Some("NOREPLICAS")) => Self::NoReplicas,
            (ErrorKind::Io, _) => Self::Unreachable(error.to_string()),
            _ if error.is_connection_dropped() => Self::Unreachable(error.to_string()),
            _ => Self::of_script(&error.to_string()),
        }
    }
}

impl ServerError {
    /// The error that a script has met, which is only in the text.
    fn of_script(text: &str) -> Self {
        let codes = [
            ("READONLY", Self::ReadOnly),
            ("OOM", Self::Full),
            ("MISCONF", Self::DiskFailed),
            ("NOREPLICAS", Self::NoReplicas),
            ("NOPERM", Self::NoPermission(text.to_owned())),
            // What Redis 7 says of the user, instead of a code.
            (
                "The user executing the script",
                Self::NoPermission(text.to_owned()),
            ),
            ("ACL failure in script", Self::NoPermission(text.to_owned())),
            ("LOADING", Self::Loading),
        ];
        let found = codes.into_iter().find(|(code, _)| text.contains(code));
        found.map_or_else(|| Self::Other(text.to_owned()), |(_, error)| error)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn each_error_of_the_server_is_told_from_the_others() {
        let no_permission = ServerError::NoPermission(String::new());
        let cases = [
            (
                "NOPERM User stargrey has no permissions to run the 'evalsha' command",
                no_permission.clone(),
            ),
            (
                "ERR The user executing the script can't run this command or subcommand script: 70b0, on @user_script:9.",
                no_permission.clone(),
            ),
            (
                "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
                no_permission.clone(),
            ),
            (
                "ERR ACL failure in script: User stargrey has no permissions to run the 'set' command script: 70b0, on @user_script:9.",
                no_permission,
            ),
            (
                "NOAUTH Authentication required.",
                ServerError::NotAuthenticated,
            ),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                ServerError::NotAuthenticated,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                ServerError::Loading,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                ServerError::DiskFailed,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                ServerError::NoReplicas,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                ServerError::Full,
            ),
            (
                "READONLY You can't write against a read only replica.",
                ServerError::ReadOnly,
            ),
            ("ERR unknown", ServerError::Other(String::new())),
        ];
        for (text, want) in cases {
            let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
            let error = reply.and_then(redis::Value::extract_error).unwrap_err();
            let error = ServerError::from(error);
            assert_eq!(
                discriminant(&error),
                discriminant(&want),
                "{text}: {error:?}"
            );
        }
    }
}
