//! What is asked of the mail server at the beginning: not more than it offers, or the connection would end.

use std::ffi::CString;

use indymilter::{Actions, MacroStage, NegotiateContext, ProtoOpts};

use super::session::Session;

/// The macros that are asked for at the beginning of a session: those of the mail servers' own lists, and more about the
/// client.
const AT_CONNECT: &str = "j {daemon_name} {daemon_addr} {if_name} v _ {client_addr} {client_name} {client_ptr} {client_resolve} {if_addr}";

/// Asks for what the session needs.
pub(super) fn negotiate(
    context: &mut NegotiateContext<Session>,
    (actions, options): (Actions, ProtoOpts),
    session: &mut Session,
) {
    let wanted = Actions::ADD_HEADER | Actions::CHANGE_HEADER | Actions::QUARANTINE;
    context.requested_actions = actions & wanted;
    let mut unwanted = ProtoOpts::NO_UNKNOWN | ProtoOpts::NO_EOH | ProtoOpts::SKIP;
    if !session.wants_body() {
        unwanted |= ProtoOpts::NO_BODY;
    }
    context.requested_opts = options & unwanted;
    session.negotiated(
        !context.requested_opts.contains(ProtoOpts::NO_BODY),
        context.requested_opts.contains(ProtoOpts::SKIP),
    );
    // Milter protocol 6. An older mail server sends what its own configuration says.
    if actions.contains(Actions::REQUEST_MACROS)
        && let Ok(macros) = CString::new(AT_CONNECT)
    {
        context.requested_macros.insert(MacroStage::Connect, macros);
    }
}
