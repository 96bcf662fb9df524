//! Authorization: each method of the Manager belongs to a polkit action. A call is authorized before its arguments are
//! deserialized.
//!
//! | polkit says | root | anybody else |
//! | --- | --- | --- |
//! | yes | served | served |
//! | no | served | refused |
//! | nothing: it is missing, or fails | served | refused |
//!
//! As in systemd, polkit is not asked about root: a polkit that hangs does not lock root out. Every method has an
//! action.
//!
//! # Memory
//!
//! A call stays in memory while polkit decides, possibly as long as it takes to type a password. So at most
//! [`MAX_CALLS`] calls of [`MAX_CALL_BYTES`] bytes are in progress, and [`MAX_CALLS_PER_USER`] of one user. Root is
//! exempt, so that others cannot block it.
//!
//! Requests to the bus and to polkit use a separate connection. On the connection that receives the calls, each reply
//! would queue after all calls sent before it, and all of these would stay in memory until then.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use zbus::fdo::{self, DBusProxy};
use zbus::message::{Flags, Header};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::proxy::CacheProperties;
use zbus::{BoxDBusError, Connection, Message, ObjectServer, OwnedVariant, Variant};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::error::invalid;
use crate::api::{ACTIONS, Error};
use crate::types::sync::{Mutex, MutexGuard};

/// How long polkit may take without a user's interaction.
const POLKIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take if the user has to type a password.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(300);

/// Most calls in progress, root's not counted.
const MAX_CALLS: usize = 16;

/// Most of them for one user, so that a user cannot block the others.
const MAX_CALLS_PER_USER: usize = 4;

/// Most bytes of a call, except root's: many times those of a thousand typical rows.
const MAX_CALL_BYTES: u32 = 4 << 20;

tokio::task_local! {
    /// The caller whose call this task serves.
    static AUTHORIZED_CALLER: AuthorizedCaller;
}

/// The user that made a call and is authorized for it; displayed in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AuthorizedCaller {
    uid: u32,
}

impl AuthorizedCaller {
    /// The caller of the call being served.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthorized`] for a call that was not authorized.
    pub(super) fn of_this_call() -> Result<Self, Error> {
        let caller = AUTHORIZED_CALLER.try_with(|caller| *caller);
        caller.map_err(|_| Error::NotAuthorized("This call was not authorized.".to_owned()))
    }
}

impl fmt::Display for AuthorizedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)
    }
}

/// An interface, the Manager's, that authorizes each call before it passes it on.
pub(super) struct Authorizing<I> {
    inner: I,
    /// For requests to the bus and to polkit.
    outgoing: Connection,
    slots: CallSlots,
}

/// Counts the calls in progress, root's excepted.
#[derive(Debug)]
struct CallSlots {
    all: Semaphore,
    by_user: Mutex<HashMap<u32, usize>>,
}

/// The slot of one call, freed when it is dropped.
#[derive(Debug)]
struct CallSlot<'c> {
    slots: &'c CallSlots,
    uid: u32,
    _one: SemaphorePermit<'c>,
}

/// The future type in the signatures of zbus's `Interface`.
type BoxedFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

impl CallSlots {
    fn new() -> Self {
        Self {
            all: Semaphore::new(MAX_CALLS),
            by_user: Mutex::default(),
        }
    }

    /// Takes a slot for one more call of this user.
    fn enter(&self, uid: u32) -> Result<CallSlot<'_>, Error> {
        let too_many = |calls: fmt::Arguments<'_>| {
            Error::NotAuthorized(format!(
                "{calls} are under way already, or wait for the consent of polkit: try again later."
            ))
        };
        let mut by_user = self.by_user();
        let count = by_user.get(&uid).copied().unwrap_or_default();
        if count >= MAX_CALLS_PER_USER {
            return Err(too_many(format_args!("{count} calls of user {uid}")));
        }
        let one = self.all.try_acquire();
        let one = one.map_err(|_| too_many(format_args!("{MAX_CALLS} calls")))?;
        by_user.insert(uid, count.saturating_add(1));
        Ok(CallSlot {
            slots: self,
            uid,
            _one: one,
        })
    }

    fn by_user(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.by_user.lock()
    }
}

impl Drop for CallSlot<'_> {
    fn drop(&mut self) {
        let mut by_user = self.slots.by_user();
        if let Some(count) = by_user.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_user.remove(&self.uid);
            }
        }
    }
}

impl<I> Authorizing<I> {
    /// Wraps `inner`; `outgoing` is the connection for requests to the bus and to polkit.
    pub(super) fn new(inner: I, outgoing: Connection) -> Self {
        Self {
            inner,
            outgoing,
            slots: CallSlots::new(),
        }
    }

    /// Authorizes a call. A call that is too large or one too many is refused before polkit is asked.
    async fn authorize(
        &self,
        header: &Header<'_>,
        member: &str,
        action: &str,
    ) -> Result<(AuthorizedCaller, Option<CallSlot<'_>>), Error> {
        let uid = uid(&self.outgoing, header)
            .await
            .map_err(|error| Error::NotAuthorized(format!("The caller is unknown: {error}.")))?;
        if uid == 0 {
            return Ok((AuthorizedCaller { uid }, None));
        }
        if header.primary().body_len() > MAX_CALL_BYTES {
            return Err(invalid(&format!(
                "Only root may send more than {MAX_CALL_BYTES} bytes in one call: send fewer rows at a time."
            )));
        }
        let slot = self.slots.enter(uid)?;
        let polkit_reply = ask_polkit(&self.outgoing, header, action).await;
        let caller = authorized_caller(polkit_reply, uid, member, action)?;
        Ok((caller, Some(slot)))
    }
}

impl<I: Interface> Interface for Authorizing<I> {
    fn name() -> InterfaceName<'static> {
        I::name()
    }

    fn call<'call>(
        &'call self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        msg: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        let Some(action) = action_of(&name) else {
            return DispatchResult::NotFound;
        };
        DispatchResult::Async(Box::pin(async move {
            let authorized = self.authorize(&msg.header(), &name, action).await;
            let (caller, _slot) = authorized.map_err(|error| Box::new(error) as BoxDBusError)?;
            match self.inner.call(server, connection, msg, name) {
                DispatchResult::Async(serving) => AUTHORIZED_CALLER.scope(caller, serving).await,
                DispatchResult::NotFound | DispatchResult::RequiresMut => {
                    Err(fdo::Error::UnknownMethod("There is no such method.".to_owned()).into())
                }
            }
        }))
    }

    fn call_mut<'call>(
        &'call mut self,
        _server: &'call ObjectServer,
        _connection: &'call Connection,
        _msg: &'call Message,
        _name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    // The Manager has no properties.

    fn get<'i: 'f, 'n: 'f, 's: 'f, 'c: 'f, 'h: 'f, 'hh: 'f, 'e: 'f, 'ee: 'f, 'f>(
        &'i self,
        _property: &'n str,
        _server: &'s ObjectServer,
        _connection: &'c Connection,
        _header: Option<&'h Header<'hh>>,
        _emitter: &'e SignalEmitter<'ee>,
    ) -> BoxedFuture<'f, Option<Result<OwnedVariant, BoxDBusError>>> {
        Box::pin(async { None })
    }

    fn get_all<'i: 'f, 's: 'f, 'c: 'f, 'h: 'f, 'hh: 'f, 'e: 'f, 'ee: 'f, 'f>(
        &'i self,
        _server: &'s ObjectServer,
        _connection: &'c Connection,
        _header: Option<&'h Header<'hh>>,
        _emitter: &'e SignalEmitter<'ee>,
    ) -> BoxedFuture<'f, fdo::Result<HashMap<String, OwnedVariant>>> {
        Box::pin(async { Ok(HashMap::new()) })
    }

    // Not the default, which takes the lock for writing: calls that wait for polkit hold it for reading, and every
    // later call, root's too, would queue behind them.
    fn set<'call>(
        &'call self,
        _property: &'call str,
        _value: &'call Variant<'_>,
        _server: &'call ObjectServer,
        _connection: &'call Connection,
        _header: Option<&'call Header<'_>>,
        _emitter: &'call SignalEmitter<'_>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn set_mut<
        'i: 'f,
        'n: 'f,
        'v: 'f,
        'vv: 'f,
        's: 'f,
        'c: 'f,
        'h: 'f,
        'hh: 'f,
        'e: 'f,
        'ee: 'f,
        'f,
    >(
        &'i mut self,
        _property: &'n str,
        _value: &'v Variant<'vv>,
        _server: &'s ObjectServer,
        _connection: &'c Connection,
        _header: Option<&'h Header<'hh>>,
        _emitter: &'e SignalEmitter<'ee>,
    ) -> BoxedFuture<'f, Option<Result<(), BoxDBusError>>> {
        Box::pin(async { None })
    }

    fn introspect_to_writer(&self, writer: &mut dyn fmt::Write, level: usize) {
        self.inner.introspect_to_writer(writer, level);
    }
}

/// Turns polkit's reply into the authorized caller or an error.
fn authorized_caller(
    polkit_reply: Result<bool, zbus::Error>,
    uid: u32,
    member: &str,
    action: &str,
) -> Result<AuthorizedCaller, Error> {
    let authorized = match polkit_reply {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!(
            "{member} needs the consent of polkit to {action}: \
             call as root, or let a rule of polkit allow that action to user {uid}."
        )),
        Err(error) => Err(format!(
            "{member} is for root alone while polkit cannot be asked ({error}): \
             call as root, or install polkit and let a rule allow {action} to user {uid}."
        )),
    };
    authorized
        .map(|()| AuthorizedCaller { uid })
        .map_err(Error::NotAuthorized)
}

/// The polkit action of a method.
fn action_of(member: &str) -> Option<&'static str> {
    let found = ACTIONS
        .iter()
        .find(|(_, members)| members.contains(&member));
    found.map(|(action, _)| *action)
}

/// The uid of the caller, as the bus knows it.
async fn uid(connection: &Connection, header: &Header<'_>) -> Result<u32, zbus::Error> {
    let sender = header.sender().ok_or(zbus::Error::MissingField)?;
    let bus = DBusProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    Ok(bus.get_connection_unix_user(sender.clone().into()).await?)
}

/// Whether polkit authorizes the caller for this action.
async fn ask_polkit(
    connection: &Connection,
    header: &Header<'_>,
    action: &str,
) -> Result<bool, zbus::Error> {
    let failure = |text: String| zbus::Error::Failure(text);
    let subject =
        Subject::new_for_message_header(header).map_err(|error| failure(error.to_string()))?;
    let is_interactive = header
        .primary()
        .flags()
        .contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let (flags, limit) = if is_interactive {
        (
            CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
            INTERACTIVE_TIMEOUT,
        )
    } else {
        (CheckAuthorizationFlags::empty(), POLKIT_TIMEOUT)
    };
    let authority = AuthorityProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let details = HashMap::new();
    let request = authority.check_authorization(&subject, action, &details, flags, "");
    let answer = tokio::time::timeout(limit, request)
        .await
        .map_err(|_| failure("no reply".to_owned()))??;
    Ok(answer.is_authorized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_without_an_action_has_none() {
        assert_eq!(action_of("Backup"), Some("org.stargrey.Greylist1.backup"));
        for member in ["", "backup", "GetStatistics"] {
            assert_eq!(action_of(member), None, "{member}");
        }
    }
}
