//! The callbacks of a connection.

use std::ffi::CString;
use std::sync::Arc;

use indymilter::{Callbacks, Context, EomContext, NegotiateContext, SocketInfo, Status};

use super::session::Session;
use super::{Connection, negotiation};

/// The callbacks. All are there, because a missing one asks the mail server for something that an old one does not have.
pub(super) fn new(connection: &Arc<Connection>) -> Callbacks<Session> {
    let begin = Arc::clone(connection);
    Callbacks::new()
        .on_negotiate(
            move |context: &mut NegotiateContext<Session>, actions, options| {
                let mut session = Session::new(Arc::clone(&begin));
                negotiation::negotiate(context, (actions, options), &mut session);
                context.data = Some(session);
                Box::pin(async { Status::Continue })
            },
        )
        .on_connect(|context, name, socket: SocketInfo| {
            on(context, |session| session.connect(&name, &socket));
            Box::pin(async { Status::Continue })
        })
        .on_helo(|context, name| {
            on(context, |session| session.helo(&name));
            Box::pin(async { Status::Continue })
        })
        .on_mail(|context, arguments| {
            on(context, |session| session.mail(&arguments));
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
        .on_data(|context| {
            Box::pin(async move {
                if let Some(session) = &mut context.data {
                    session.data(&context.macros).await;
                }
                Status::Continue
            })
        })
        .on_header(|context, name, value| {
            on(context, |session| session.header(&name, &value));
            Box::pin(async { Status::Continue })
        })
        .on_eoh(|_| Box::pin(async { Status::Continue }))
        .on_body(|context, bytes| {
            let status = context
                .data
                .as_mut()
                .map_or(Status::Continue, |session| session.body(&bytes));
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
        .on_abort(|context| {
            on(context, Session::abort);
            Box::pin(async { Status::Continue })
        })
        .on_close(|context| {
            on(context, Session::abort);
            Box::pin(async { Status::Continue })
        })
        .on_unknown(|_, _| Box::pin(async { Status::Continue }))
}

/// Does something with the session, which there is after the negotiation.
fn on(context: &mut Context<Session>, act: impl FnOnce(&mut Session)) {
    if let Some(session) = &mut context.data {
        act(session);
    }
}
