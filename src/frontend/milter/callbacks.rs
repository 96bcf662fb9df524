//! The callbacks of a connection.

use std::ffi::CString;
use std::sync::Arc;

use indymilter::{Callbacks, Context, EomContext, NegotiateContext, ProtoOpts, SocketInfo, Status};

use super::session::Session;
use super::{Connection, negotiation};

/// The callbacks. All are there, because a missing one asks the mail server for something that an old one does not have.
pub(super) fn new(connection: &Arc<Connection>) -> Callbacks<Session> {
    with_content(with_envelope(Callbacks::new(), connection))
}

/// Adds those up to the recipients of a message, and those that end it early.
fn with_envelope(
    callbacks: Callbacks<Session>,
    connection: &Arc<Connection>,
) -> Callbacks<Session> {
    let begin = Arc::clone(connection);
    callbacks
        .on_negotiate(
            move |context: &mut NegotiateContext<Session>, actions, options| {
                let mut session = Session::new(Arc::clone(&begin));
                negotiation::negotiate(context, (actions, options), &mut session);
                context.data = Some(session);
                Box::pin(async { Status::Continue })
            },
        )
        .on_connect(|context, name, socket: SocketInfo| {
            let status = on(context, ProtoOpts::NOREPLY_CONNECT, |session| {
                session.connect(&name, &socket);
            });
            Box::pin(async move { status })
        })
        .on_helo(|context, name| {
            let status = on(context, ProtoOpts::NOREPLY_HELO, |session| {
                session.helo(&name);
            });
            Box::pin(async move { status })
        })
        .on_mail(|context, arguments| {
            // Always with a reply: see `negotiation`.
            if let Some(session) = &mut context.data {
                session.mail(&arguments);
            }
            Box::pin(async { Status::Continue })
        })
        .on_rcpt(|context, arguments: Vec<CString>| {
            Box::pin(async move {
                let Some(session) = &mut context.data else {
                    return Status::Continue;
                };
                session
                    .recipient(&arguments, &context.macros, &mut context.reply)
                    .await
            })
        })
        .on_abort(|context| {
            abort(context);
            Box::pin(async { Status::Continue })
        })
        .on_close(|context| {
            abort(context);
            Box::pin(async { Status::Continue })
        })
        .on_unknown(|_, _| Box::pin(async { Status::Continue }))
}

/// Adds those from DATA to the end of a message that is sent as a whole.
fn with_content(callbacks: Callbacks<Session>) -> Callbacks<Session> {
    callbacks
        .on_data(|context| {
            Box::pin(async move {
                let Some(session) = &mut context.data else {
                    return Status::Continue;
                };
                session.data(&context.macros).await;
                session.carry_on(ProtoOpts::NOREPLY_DATA)
            })
        })
        .on_header(|context, name, value| {
            let status = on(context, ProtoOpts::NOREPLY_HEADER, |session| {
                session.header(&name, &value);
            });
            Box::pin(async move { status })
        })
        .on_eoh(|_| Box::pin(async { Status::Continue }))
        .on_body(|context, bytes| {
            let status = context
                .data
                .as_mut()
                .map_or(Status::Continue, |session| session.body(bytes.into()));
            Box::pin(async move { status })
        })
        .on_eom(|context: &mut EomContext<Session>| {
            Box::pin(async move {
                let EomContext {
                    data,
                    macros,
                    reply,
                    actions,
                } = context;
                match data {
                    Some(session) => session.end_of_message(macros, reply, actions).await,
                    None => Status::Continue,
                }
            })
        })
}

/// Does something with the session, which there is after the negotiation, and lets the mail server go on.
fn on(
    context: &mut Context<Session>,
    no_reply: ProtoOpts,
    act: impl FnOnce(&mut Session),
) -> Status {
    let Some(session) = &mut context.data else {
        return Status::Continue;
    };
    act(session);
    session.carry_on(no_reply)
}

/// The message ends, if there is one.
fn abort(context: &mut Context<Session>) {
    if let Some(session) = &mut context.data {
        session.abort();
    }
}
