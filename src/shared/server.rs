//! What a server of shared values can do. The real one is [`Redis`](super::Redis).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::seal::Name;
use crate::types::Timestamp;

/// Why the server has not done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It cannot be reached, or the connection was lost.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// It is not who it should be.
    #[error("its certificate is refused: {0}; see --shared-ca")]
    Certificate(String),
    /// The sentinels do not know the primary.
    #[error("no sentinel knows where the primary is: {0}")]
    NoPrimary(String),
    /// It did not reply in time.
    #[error("no reply within {} ms", .0.as_millis())]
    Slow(Duration),
    /// It takes no writes, because it is a replica.
    #[error("it is a read-only replica (READONLY)")]
    ReadOnly,
    /// Its memory is used up, and it may not drop anything.
    #[error("its memory is used up (OOM): raise maxmemory, or set maxmemory-policy volatile-ttl")]
    Full,
    /// It takes no writes, because it cannot store its data on disk.
    #[error("it cannot write its data to disk (MISCONF); see its log")]
    DiskFailed,
    /// It takes no writes, because too few replicas would get them.
    #[error("too few of its replicas are connected (NOREPLICAS)")]
    NoReplicas,
    /// It takes no writes, because another one is the primary.
    #[error("the sentinels name another primary")]
    Moved,
    /// Its user may not do that.
    #[error("its user lacks a permission (NOPERM): {0}; see stargrey-shared(7) for the ACL")]
    NoPermission(String),
    /// User or password are missing or wrong.
    #[error("it refuses user or password; see --shared-secret")]
    NotAuthenticated,
    /// It is starting.
    #[error("it is loading its data (LOADING)")]
    Loading,
    /// Another error.
    #[error("{0}")]
    Other(String),
}

impl ServerError {
    /// Whether it is only writing that fails, so that records can still be asked for.
    pub(super) const fn is_of_writes(&self) -> bool {
        match self {
            Self::Full | Self::DiskFailed | Self::NoReplicas => true,
            Self::Unreachable(_)
            | Self::Certificate(_)
            | Self::NoPrimary(_)
            | Self::Slow(_)
            | Self::ReadOnly
            | Self::Moved
            | Self::NoPermission(_)
            | Self::NotAuthenticated
            | Self::Loading
            | Self::Other(_) => false,
        }
    }
}

/// A reply to wait for.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, ServerError>> + Send>>;

/// A write: done if the value is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub name: Name,
    /// The value that was read, as far as it was; `None` if there was none.
    pub read: Option<Vec<u8>>,
    /// The new value; `None` deletes it.
    pub value: Option<Vec<u8>>,
    /// Its lifetime; at least a millisecond.
    pub lifetime: Duration,
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It was done.
    Done,
    /// Nothing was done, because there is this value in place of the one that was read.
    Other(Option<Vec<u8>>),
}

/// A server.
pub trait Server: Send + Sync {
    /// Connects.
    fn connect(&self) -> Pending<Arc<dyn Connection>>;

    /// Whether another server has taken the place of the one that was connected to last.
    fn has_moved(&self) -> Pending<bool>;

    /// Where it is, for messages; without a password.
    fn address(&self) -> String;
}

/// A connection, which serves any number of tasks at once.
pub trait Connection: Send + Sync {
    /// The values of these keys. Of one that is longer than [`Name::longest`] there is one byte more than that.
    fn get(&self, names: Vec<Name>) -> Pending<Vec<Option<Vec<u8>>>>;

    /// Writes these, all in one step, and yields the result of each.
    fn write(&self, writes: Vec<Write>) -> Pending<Vec<Written>>;

    /// The server's time.
    fn time(&self) -> Pending<Timestamp>;
}
