//! Who may: each method of the Manager belongs to an action of polkit. A call is authorized before its arguments are
//! unpacked.
//!
//! | polkit says | root | anybody else |
//! | --- | --- | --- |
//! | yes | served | served |
//! | no | served | refused |
//! | nothing: it is not there, or fails | served | refused |
//!
//! Root is not asked about, as systemd does it: a polkit that hangs does not keep root out. There is no method
//! without an action.
//!
//! # Memory
//!
//! A call is kept whole while polkit is asked, and that takes as long as somebody takes to type a password. So the
//! number of calls is bounded, for each user and for all, and so is their size; root is exempt. The bus and polkit are
//! asked over a connection of their own: on the one that calls come in, the answers would stand behind all calls that
//! have been sent, and each of these would be kept until then.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
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
use super::manager::Manager;
use crate::api::{ACTIONS, Error};

/// How long polkit may take by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take when somebody has to type a password.
const INTERACTION: Duration = Duration::from_secs(300);

/// Calls of others than root that may be under way at once.
const MOST_CALLS: usize = 16;

/// Those of one user: a user cannot keep the others out.
const MOST_OF_A_USER: usize = 4;

/// Bytes of what somebody else than root sends with a call: many times what a thousand usual rows have.
const MOST_SENT: u32 = 4 << 20;

tokio::task_local! {
    /// Who has made the call that this task serves.
    static CALLER: Caller;
}

/// Who has called and may, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    uid: u32,
}

impl Caller {
    /// Who has made the call that is being served.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthorized`] for a call that was not authorized.
    pub(super) fn of_this_call() -> Result<Self, Error> {
        let caller = CALLER.try_with(|caller| *caller);
        caller.map_err(|_| Error::NotAuthorized("This call was not authorized.".to_owned()))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)
    }
}

/// The Manager, whose methods are reached by authorized calls alone.
pub(super) struct Guarded {
    manager: Manager,
    /// To the bus and polkit.
    asking: Connection,
    calls: Calls,
}

/// The calls of others than root that are under way.
#[derive(Debug)]
struct Calls {
    all: Semaphore,
    by_user: Mutex<HashMap<u32, usize>>,
}

/// The place of one of them, free again when it is dropped.
#[derive(Debug)]
struct Place<'c> {
    calls: &'c Calls,
    uid: u32,
    _one: SemaphorePermit<'c>,
}

/// A boxed future of a trait of zbus.
type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

impl Calls {
    fn new() -> Self {
        Self {
            all: Semaphore::new(MOST_CALLS),
            by_user: Mutex::default(),
        }
    }

    /// A place for one more call of this user.
    fn enter(&self, uid: u32) -> Result<Place<'_>, Error> {
        let too_many = |calls: fmt::Arguments<'_>| {
            Error::NotAuthorized(format!(
                "{calls} are under way already, or wait for the consent of polkit: try again later."
            ))
        };
        let mut by_user = self.by_user();
        let count = by_user.get(&uid).copied().unwrap_or_default();
        if count >= MOST_OF_A_USER {
            return Err(too_many(format_args!("{count} calls of user {uid}")));
        }
        let one = self.all.try_acquire();
        let one = one.map_err(|_| too_many(format_args!("{MOST_CALLS} calls")))?;
        by_user.insert(uid, count.saturating_add(1));
        Ok(Place {
            calls: self,
            uid,
            _one: one,
        })
    }

    fn by_user(&self) -> std::sync::MutexGuard<'_, HashMap<u32, usize>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_user = self.calls.by_user();
        if let Some(count) = by_user.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_user.remove(&self.uid);
            }
        }
    }
}

impl Guarded {
    /// Guards this one.
    pub(super) fn new(manager: Manager, asking: Connection) -> Self {
        Self {
            manager,
            asking,
            calls: Calls::new(),
        }
    }

    /// Asks whether the caller may make this call; what is too large, or one too many, is not asked about.
    async fn authorize(
        &self,
        header: &Header<'_>,
        member: &str,
        action: &str,
    ) -> Result<(Caller, Option<Place<'_>>), Error> {
        let uid = uid(&self.asking, header)
            .await
            .map_err(|error| Error::NotAuthorized(format!("Who called is not known: {error}.")))?;
        if uid == 0 {
            return Ok((Caller { uid }, None));
        }
        if header.primary().body_len() > MOST_SENT {
            return Err(invalid(&format!(
                "More than {MOST_SENT} bytes in one call are for root alone: send fewer rows at a time."
            )));
        }
        let place = self.calls.enter(uid)?;
        let consent = consent(&self.asking, header, action).await;
        let caller = decided(consent, uid, member, action)?;
        Ok((caller, Some(place)))
    }
}

impl Interface for Guarded {
    fn name() -> InterfaceName<'static> {
        Manager::name()
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
            let (caller, _place) = authorized.map_err(|error| Box::new(error) as BoxDBusError)?;
            match self.manager.call(server, connection, msg, name) {
                DispatchResult::Async(serving) => CALLER.scope(caller, serving).await,
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
    ) -> Boxed<'f, Option<Result<OwnedVariant, BoxDBusError>>> {
        Box::pin(async { None })
    }

    fn get_all<'i: 'f, 's: 'f, 'c: 'f, 'h: 'f, 'hh: 'f, 'e: 'f, 'ee: 'f, 'f>(
        &'i self,
        _server: &'s ObjectServer,
        _connection: &'c Connection,
        _header: Option<&'h Header<'hh>>,
        _emitter: &'e SignalEmitter<'ee>,
    ) -> Boxed<'f, fdo::Result<HashMap<String, OwnedVariant>>> {
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
    ) -> Boxed<'f, Option<Result<(), BoxDBusError>>> {
        Box::pin(async { None })
    }

    fn introspect_to_writer(&self, writer: &mut dyn fmt::Write, level: usize) {
        self.manager.introspect_to_writer(writer, level);
    }
}

/// Turns polkit's answer into the authorized caller or an error.
fn decided(
    consent: Result<bool, zbus::Error>,
    uid: u32,
    member: &str,
    action: &str,
) -> Result<Caller, Error> {
    let consent = match consent {
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
    consent
        .map(|()| Caller { uid })
        .map_err(Error::NotAuthorized)
}

/// The action that a method belongs to.
fn action_of(member: &str) -> Option<&'static str> {
    let found = ACTIONS
        .iter()
        .find(|(_, members)| members.contains(&member));
    found.map(|(action, _)| *action)
}

/// Whose the connection is that has called, from the bus itself.
async fn uid(connection: &Connection, header: &Header<'_>) -> Result<u32, zbus::Error> {
    let sender = header.sender().ok_or(zbus::Error::MissingField)?;
    let bus = DBusProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    Ok(bus.get_connection_unix_user(sender.clone().into()).await?)
}

/// What polkit says.
async fn consent(
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
    let (flags, patience) = if is_interactive {
        (CheckAuthorizationFlags::ALLOW_USER_INTERACTION, INTERACTION)
    } else {
        (CheckAuthorizationFlags::empty(), PATIENCE)
    };
    let authority = AuthorityProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let details = HashMap::new();
    let asking = authority.check_authorization(&subject, action, &details, flags, "");
    let answer = tokio::time::timeout(patience, asking)
        .await
        .map_err(|_| failure("it does not answer".to_owned()))??;
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
