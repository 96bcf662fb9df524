//! stargrey: greylisting for Postfix, as a system daemon.
//!
//! Postfix asks a *policy server* about each recipient of each message. This one makes strangers wait: a
//! client network that has never delivered from this sender to this recipient is told to come back later.
//! Mail servers do, most spamware does not. Who has come back passes, and a client that has shown a few
//! times that it comes back is not made to wait any more.
//!
//! # The way of a request
//!
//! ```text
//! socket → frontend → protocol::policy::Decoder → policy::Attempt
//!        → service::Gate        the one pipeline; Explain goes through it too, in look mode
//!            policy::plan(attempt, evidence, rules)
//!              Settled: reply
//!              Ask: the store is looked at first; if its records let the attempt pass, nothing is asked;
//!                   else lookup::ask(all that is missing, one deadline), and plan again
//!              Case: go on
//!            store: facts         read on the connection's own task, write-behind buffer merged
//!            Case::facts, Case::decide    → Outcome { verdict, reason, because, changes }
//!              nothing durable: reply; what was only seen is written with a later commit
//!              something durable: the writer thread decides again inside its transaction,
//!              commits a batch, and replies to all of it
//!        → one log record, one counter → protocol::policy::write_reply → socket
//! ```
//!
//! The decision itself is a pure function of attempt, evidence, records, time and rules. Nothing in
//! [`policy`] reads a clock, a file, a socket or the environment, and nothing in it logs.
//!
//! # The modules, and who may use whom
//!
//! | module | holds | may use |
//! | --- | --- | --- |
//! | [`types`] | time, addresses and networks, printable text, locks | – |
//! | [`protocol`] | bytes to requests, answers to bytes | types |
//! | [`policy`] | the core: plan, decide, lists, keys, texts | types |
//! | [`api`] | the D-Bus contract: names, errors, rows, proxies | – |
//! | [`lookup`] | what is asked outside, on a thread of its own: cache, deadline, silent zones | types, policy |
//! | [`store`] | records in LMDB, or in memory for tests | types, policy |
//! | [`config`] | options and list files, with every complaint | types, policy |
//! | [`service`] | the gate, the writing thread, the clock, counters, the decision log | types, policy, store, lookup |
//! | [`control`] | what administrators ask: entries, records, counters, why | types, policy, store, service |
//! | [`frontend`] | sockets and connections, the D-Bus object | types, protocol, policy, api, service, control, config |
//! | [`ctl`] | the control program: verbs, import readers, rendering | types, api |
//! | [`daemon`] | the program: start-up, signals, reload, log, notifications | all |
//!
//! A layer reaches another by its path from the root, `crate::layer`; `tests/layering.rs` fails on
//! an arrow that is not in this table. Unsafe code stands in two places: where LMDB's file is opened, and where the
//! sockets are taken over that systemd names by their numbers.
//!
//! # Where to begin
//!
//! [`policy::greylist`] is the rule and its state table; [`policy::Case::decide`] puts it together with the
//! auto-whitelist. [`service`] says how a decision becomes durable, [`store::lmdb`] how records lie on disk,
//! and [`daemon::main`] in which order the program starts. What an administrator sees is described in
//! stargreyd(8), stargrey-lists(5) and stargrey(7), which tests hold against the code.

pub mod api;
pub mod config;
pub mod control;
pub mod ctl;
pub mod daemon;
pub mod frontend;
pub mod lookup;
pub mod policy;
pub mod protocol;
pub mod service;
pub mod store;
pub mod types;
