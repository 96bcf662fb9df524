//! `pass` and `forget`: change records.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::{Answer, bare, network, shared_state, shown, triplets};
use crate::api::{
    CLIENTS, DOMAIN, Dict, EVERYTHING, FromRow, MONITOR, RECIPIENT, Row, SENDER, SLEEPS, STATE,
    STATE_PASSED, STATE_WAITING, TRIPLETS,
};
use crate::ctl::args::{Forget, State};
use crate::ctl::client::{ClientArgument, filtered, filtered_by_name};
use crate::ctl::exit;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::render::Plain;
use crate::ctl::resolver::{Resolver, System};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::counted;

/// Lets a triplet pass; for a client name, one for each of its addresses.
pub(super) async fn pass(
    session: &Session,
    client: &str,
    sender: &str,
    recipient: &str,
) -> Result<Answer, Failure> {
    let (sender, recipient) = (bare(sender), bare(recipient));
    let clients = match network::typed(client) {
        Some(network) => {
            network::find(session, network, Some(sender), Some(recipient)).await?;
            vec![network.address().to_string()]
        }
        None if is_known_domain(session, client, sender, recipient).await? => {
            vec![client.to_owned()]
        }
        None => {
            let addresses = addresses(client, &System)?.into_iter();
            addresses.map(|address| address.to_string()).collect()
        }
    };
    let manager = session.manager().await?;
    let mut sentences = Vec::new();
    for client in clients {
        let call = manager.allow(&client, sender, recipient);
        session.ask("Allow", call).await?;
        sentences.push(format!(
            "{client}: {} to {} passes from now on.",
            Plain(shown(sender)),
            Plain(recipient)
        ));
    }
    Ok(Answer::done(&session.view, &sentences.join("\n")))
}

/// Whether this is the domain that such a triplet has. Most names are none, and refused as such.
async fn is_known_domain(
    session: &Session,
    client: &str,
    sender: &str,
    recipient: &str,
) -> Result<bool, Failure> {
    let filter = filtered(Some(client))
        .with(SENDER, sender)
        .with(RECIPIENT, recipient)
        .build();
    if !filter.contains_key(DOMAIN) {
        return Ok(false);
    }
    let found = triplets::each(session, &filter, |_| ControlFlow::Break(())).await;
    match found {
        Err(Failure::Refused(_)) => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The addresses of a client.
fn addresses(client: &str, resolver: &impl Resolver) -> Result<Vec<IpAddr>, ArgumentError> {
    let typed = ClientArgument::read(client)?;
    if let Some(address) = typed.address {
        return Ok(vec![address]);
    }
    let addresses = resolver.addresses(typed.name.unwrap_or_default());
    if addresses.is_empty() {
        return Err(ArgumentError::NoAddress(client.to_owned()));
    }
    Ok(addresses)
}

/// Deletes records.
pub(super) async fn forget(session: &Session, options: &Forget) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let client = options.client.as_deref();
    let mut removed = [0; REMOVED.len()];
    for of_client in [filtered_by_name(client), Some(filtered(client))] {
        let Some(of_client) = of_client else { continue };
        let filter = filter(of_client, options);
        let forgotten = session.ask("Forget", manager.forget(&filter)).await?;
        for (sum, key) in removed.iter_mut().zip(REMOVED) {
            *sum += forgotten.number(key).unwrap_or_default();
        }
    }
    // They are deleted, whether or not that is known.
    let properties = session.properties(MONITOR).await.unwrap_or_default();
    let is_shared = shared_state::is_on(&properties);
    Ok(answer(removed, is_shared, &session.view))
}

/// What `Forget` counts.
const REMOVED: [&str; 3] = [TRIPLETS, CLIENTS, SLEEPS];

/// A filter of `forget`, for the records of a client.
fn filter(of_client: Row, options: &Forget) -> Dict {
    let state = options.state.map(|state| match state {
        State::Waiting => STATE_WAITING,
        State::Passed => STATE_PASSED,
    });
    of_client
        .with_some(SENDER, options.sender.as_deref().map(bare))
        .with_some(RECIPIENT, options.recipient.as_deref().map(bare))
        .with_some(STATE, state)
        .with_some(EVERYTHING, options.everything.then_some(true))
        .build()
}

/// The message about the records that were deleted at this host; those of other hosts are not counted.
fn answer(removed: [u64; REMOVED.len()], is_shared: bool, view: &View) -> Answer {
    let [triplets, clients, sleeps] = removed;
    let is_any = triplets > 0 || clients > 0 || sleeps > 0;
    let (here, follow) = if is_shared {
        (" at this host", "; the other hosts follow")
    } else {
        ("", "")
    };
    let text = if view.json {
        json::shown(&serde_json::json!({ TRIPLETS: triplets, CLIENTS: clients, SLEEPS: sleeps }))
    } else if is_any {
        format!(
            "Deleted{here}: {}, {}, {}{follow}.\n",
            counted(triplets, "triplet", "triplets"),
            counted(clients, "client", "clients"),
            counted(sleeps, "sleep", "sleeps")
        )
    } else {
        format!("No matching records{here}{follow}.\n")
    };
    let code = if is_any { exit::OK } else { exit::NO };
    Answer { text, code }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::ctl::args::{Arguments, Verb};
    use crate::ctl::resolver::tests::Table;

    #[test]
    fn what_was_forgotten_is_counted() {
        let view = View::of_80_columns();
        let some = answer([2, 1, 0], false, &view);
        assert_eq!(
            some,
            Answer::yes("Deleted: 2 triplets, 1 client, 0 sleeps.\n")
        );
        assert_eq!(
            answer([0, 0, 0], false, &view),
            Answer::no("No matching records.\n")
        );
        let of_site = [
            (
                [2, 1, 0],
                Answer::yes(
                    "Deleted at this host: 2 triplets, 1 client, 0 sleeps; the other hosts follow.\n",
                ),
            ),
            (
                [0, 0, 0],
                Answer::no("No matching records at this host; the other hosts follow.\n"),
            ),
        ];
        for (removed, want) in of_site {
            assert_eq!(answer(removed, true, &view), want);
        }
        let json = answer([2, 1, 0], true, &View::of_json());
        let want = "{\n  \"clients\": 1,\n  \"sleeps\": 0,\n  \"triplets\": 2\n}\n";
        assert_eq!(json, Answer::yes(want));
    }

    #[test]
    fn only_what_was_said_is_in_the_filter() {
        let cases: [(&[&str], &str); 5] = [
            (&["--client=a.b[192.0.2.7]"], r#"{"client":"192.0.2.7"}"#),
            (&["--client=example.org"], r#"{"domain":"example.org"}"#),
            (&["--everything"], r#"{"everything":true}"#),
            (
                &["--sender=<>", "--state=passed"],
                r#"{"sender":"","state":"passed"}"#,
            ),
            (
                &["--client=192.0.2.0/24", "--recipient=<bob@example.net>"],
                r#"{"client":"192.0.2.0/24","recipient":"bob@example.net"}"#,
            ),
        ];
        for (options, want) in cases {
            let line = ["stargreyctl", "forget"].iter().chain(options);
            let arguments = Arguments::parse_from(line);
            let Some(Verb::Forget(options)) = arguments.verb else {
                panic!("{want}");
            };
            assert_eq!(
                json::object(&filter(filtered(options.client.as_deref()), &options)).to_string(),
                want
            );
        }
    }

    #[test]
    fn a_name_stands_for_all_its_addresses() {
        let table = Table(&[], &[("mx.example.org", &["192.0.2.1", "2001:db8::1"])]);
        let found = addresses("mx.example.org", &table).unwrap();
        assert_eq!(found.len(), 2);
        let found = addresses("2001:DB8::1", &table).unwrap();
        assert_eq!(found.first().unwrap().to_string(), "2001:db8::1");
        let found = addresses("unknown[192.0.2.7]", &table).unwrap();
        assert_eq!(found.first().unwrap().to_string(), "192.0.2.7");
    }

    #[test]
    fn what_cannot_pass_is_told_what_to_write() {
        let cases = [
            (
                "mx.example.net",
                "has no address in the DNS: give its address",
            ),
            (
                "192.0.2.0/24",
                "is a network without such a triplet: give the address",
            ),
            ("", "the client is missing: give"),
        ];
        for (client, want) in cases {
            let error = addresses(client, &Table(&[], &[])).unwrap_err().to_string();
            assert!(error.contains(want), "{client}: {error}");
            assert!(!error.contains("--address"), "{client}: {error}");
        }
    }
}
