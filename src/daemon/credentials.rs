//! The user and group that the daemon runs as.

use std::io;

use nix::unistd::{Gid, Group, Uid, User, setgid, setgroups, setuid};

use super::failure::Failure;
use crate::config::{Diagnostic, Settings};

/// The user and group to become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credentials {
    user: Uid,
    group: Gid,
}

/// Whether the process may become another user.
pub(super) fn is_root() -> bool {
    Uid::effective().is_root()
}

impl Credentials {
    /// The user and group to become; `None` unless the process is root.
    pub(super) fn of_settings(settings: &Settings) -> Result<Option<Self>, Failure> {
        if !is_root() {
            return Ok(None);
        }
        let missing = |option, name: &str| {
            Failure::Wrong(vec![Diagnostic::option(
                option,
                format!("{name:?} does not exist; create it, or name another"),
            )])
        };
        let user = User::from_name(&settings.process.user)
            .map_err(|errno| system("users", errno.into()))?;
        let group = Group::from_name(&settings.process.group)
            .map_err(|errno| system("groups", errno.into()))?;
        Ok(Some(Self {
            user: user
                .ok_or_else(|| missing("--user", &settings.process.user))?
                .uid,
            group: group
                .ok_or_else(|| missing("--group", &settings.process.group))?
                .gid,
        }))
    }

    /// uid and gid.
    pub(super) fn ids(self) -> (u32, u32) {
        (self.user.as_raw(), self.group.as_raw())
    }

    /// Becomes that user, permanently.
    pub(super) fn assume(self) -> Result<(), Failure> {
        if self.user.is_root() {
            log::warn!("--user: running as root, which stargrey does not need");
        }
        setgroups(&[self.group])
            .and_then(|()| setgid(self.group))
            .and_then(|()| setuid(self.user))
            .map_err(|errno| system("giving up root's privileges", errno.into()))
    }
}

fn system(what: &'static str, source: io::Error) -> Failure {
    Failure::System { what, source }
}
