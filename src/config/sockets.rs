//! Options of sockets and their connections.

use super::diagnostic::Diagnostics;
use super::endpoint::Endpoint;
use super::options::Options;
use super::value;

/// The settings of sockets and their connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSettings {
    /// Listening addresses besides the inherited sockets.
    pub endpoints: Vec<Endpoint>,
    /// Listening addresses for milter connections besides the inherited sockets.
    pub milters: Vec<Endpoint>,
    /// Permission bits of unix sockets.
    pub mode: u32,
    /// Connections that may wait to be accepted; 1 to 65535.
    pub backlog: i32,
    /// Whether to close a connection after its first reply.
    pub one_answer: bool,
    /// Whether a request may set the time of its decision.
    pub accepts_request_time: bool,
}

/// Reads the options.
pub(super) fn read(options: &Options, found: &mut Diagnostics) -> SocketSettings {
    let mode = value::mode(&options.socketmode);
    let backlog = value::number(&options.listen_queue_size, 1, 65_535);
    SocketSettings {
        endpoints: endpoints(options, found),
        milters: milters(options, found),
        mode: found.take("--socketmode", mode, 0),
        backlog: found.take("--listen-queue-size", backlog, 1),
        one_answer: options.exim,
        accepts_request_time: options.policy_test_time,
    }
}

fn milters(options: &Options, found: &mut Diagnostics) -> Vec<Endpoint> {
    let mut milters = Vec::new();
    for text in &options.milter {
        match Endpoint::milter(text) {
            Ok(endpoint) => milters.push(endpoint),
            Err(message) => found.error("--milter", message),
        }
    }
    milters
}

fn endpoints(options: &Options, found: &mut Diagnostics) -> Vec<Endpoint> {
    let unix = options.unix.iter();
    let unix = unix.map(|path| ("--unix", Endpoint::unix(path)));
    let inet = options.inet.iter();
    let inet = inet.map(|address| ("--inet", Endpoint::inet(address)));
    let mut endpoints = Vec::new();
    for (option, endpoint) in unix.chain(inet) {
        match endpoint {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(message) => found.error(option, message),
        }
    }
    endpoints
}
