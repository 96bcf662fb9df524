//! What is asked of the mail server at the beginning: not more than it offers, or the connection would end.

use std::ffi::CString;

use indymilter::{Actions, MacroStage, NegotiateContext, ProtoOpts};

use super::session::Session;

/// The macros that are asked for at the beginning of a session: those of the mail servers' own lists, and more about the
/// client.
const AT_CONNECT: &str = "j {daemon_name} {daemon_addr} {if_name} v _ {client_addr} {client_name} {client_ptr} {client_resolve} {if_addr}";

/// Those that are asked for at HELO and EHLO, which follows STARTTLS: what the mail servers send by themselves, and whether
/// the certificate is verified, which Postfix does not say because it sends no others.
const AT_HELO: &str = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {verify}";

/// The commands that need no reply: nothing is refused before RCPT, and at most the rest of a body is declined after it. Each
/// reply is a turn of the mail server and of this daemon. MAIL has one although nothing is refused there: Postfix writes a
/// command without a reply only with the next one, and its policy requests about the message must find it here.
const WITHOUT_REPLY: ProtoOpts = ProtoOpts::NOREPLY_CONNECT
    .union(ProtoOpts::NOREPLY_HELO)
    .union(ProtoOpts::NOREPLY_HEADER);

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
    let mut without_reply = WITHOUT_REPLY;
    if !session.waits_at_data() {
        without_reply |= ProtoOpts::NOREPLY_DATA;
    }
    context.requested_opts = options & (unwanted | without_reply);
    // Milter protocol 6. An older mail server sends what its own configuration says.
    let sends_macros = actions.contains(Actions::REQUEST_MACROS);
    session.negotiated(context.requested_opts, sends_macros);
    if sends_macros {
        for (stage, names) in [
            (MacroStage::Connect, AT_CONNECT),
            (MacroStage::Helo, AT_HELO),
        ] {
            if let Ok(names) = CString::new(names) {
                context.requested_macros.insert(stage, names);
            }
        }
    }
}
