//! Why the daemon does not start, and the exit code for it.

use std::io;

use super::exit;
use crate::config::Diagnostic;
use crate::frontend::BindError;
use crate::service::StartError;
use crate::store::LockError;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Options or lists are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<Diagnostic>),
    /// There is nothing to listen on.
    #[error("no socket: start stargrey.socket or stargrey-milter.socket, or give --unix or --inet")]
    NoSocket,
    /// A socket is not available.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// The database's lock is not available.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The options do not fit the database, or the writer thread cannot be started.
    #[error("{0}")]
    Start(#[from] StartError),
    /// A system call failed, such as those that drop privileges.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Failure {
    /// The exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Wrong(_)
            | Self::NoSocket
            | Self::Bind(BindError::NotASocket(_) | BindError::Inherited { .. })
            | Self::Start(StartError::Privacy(_)) => exit::CONFIG,
            Self::Bind(BindError::InUse(_)) => exit::UNAVAILABLE,
            Self::Bind(BindError::System { source, .. })
            | Self::Lock(LockError::File { source, .. })
            | Self::System { source, .. } => by_kind(source),
            Self::Lock(LockError::Held(_)) => exit::TEMPFAIL,
            Self::Start(StartError::Thread(_)) => exit::OSERR,
        }
    }
}

/// The exit code for a failed system call.
fn by_kind(error: &io::Error) -> u8 {
    let forbidden = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    if forbidden.contains(&error.kind()) {
        exit::NOPERM
    } else {
        exit::OSERR
    }
}
