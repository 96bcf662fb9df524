//! Who may: each method of the Manager belongs to an action of polkit, and polkit is asked each time.
//!
//! | polkit says | root | anybody else |
//! | --- | --- | --- |
//! | yes | served | served |
//! | no | refused | refused |
//! | nothing: it is not there, or fails | served | refused |
//!
//! polkitd itself says yes to root. A method without an action is refused to everybody.
//!
//! A call is kept whole while polkit is asked, and that takes as long as somebody takes to type a password. So
//! only so many may wait, and none of them is large. Root waits without a place of its own, lest others keep it
//! out.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::sync::Semaphore;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::proxy::CacheProperties;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::error::invalid;
use crate::api::{ACTIONS, Error};

/// How long polkit may take by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take when somebody has to type a password.
const INTERACTION: Duration = Duration::from_secs(300);

/// Calls of others than root that may wait for polkit at once.
const MOST_WAITING: usize = 16;

/// Bytes of what somebody else than root sends with a call: many times what a thousand usual rows have.
const MOST_SENT: u32 = 4 << 20;

/// Who has called and may, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    uid: u32,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)
    }
}

/// Asks for consent, for so many calls at once.
#[derive(Debug)]
pub(super) struct Consent {
    places: Semaphore,
}

impl Consent {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self {
            places: Semaphore::new(MOST_WAITING),
        }
    }

    /// Asks whether the caller may call this method.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthorized`] says who may, and how to become one of them; what is too large, or one too many,
    /// is not asked about.
    pub(super) async fn ask(
        &self,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<Caller, Error> {
        let member = header.member().map_or("", |member| member.as_str());
        let action = action_of(member)
            .ok_or_else(|| Error::NotAuthorized(format!("{member} is nobody's to call.")))?;
        let uid = uid(connection, header)
            .await
            .map_err(|error| Error::NotAuthorized(format!("Who called is not known: {error}.")))?;
        let place = if uid == 0 {
            None
        } else {
            if header.primary().body_len() > MOST_SENT {
                return Err(invalid(&format!(
                    "More than {MOST_SENT} bytes in one call are for root alone: send fewer rows at a time."
                )));
            }
            Some(self.places.try_acquire().map_err(|_| {
                Error::NotAuthorized(format!(
                    "{MOST_WAITING} calls wait for the consent of polkit already: try again later."
                ))
            })?)
        };
        let consent = consent(connection, header, action).await;
        drop(place);
        decided(consent, uid, member, action)
    }
}

/// What follows from what polkit says.
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
        Err(_) if uid == 0 => Ok(()),
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
    let bus = DBusProxy::new(connection).await?;
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
