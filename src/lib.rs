//! stargrey: greylisting for Postfix, as a system daemon.
//!
//! Postfix sends a request to a *policy server* for each recipient of each message. This one defers unknown triplets:
//! if a client network has never delivered mail from this sender to this recipient, the client must retry later. Mail
//! servers retry, most spam software does not. A triplet that was retried passes, and after a few successful retries a
//! client is auto-whitelisted.
//!
//! # The path of a request
//!
//! ```text
//! socket → frontend → protocol::policy::Decoder → policy::Attempt
//!        → service::Gate        the pipeline; Explain uses it too, in look mode
//!            policy::plan(attempt, evidence, rules)
//!              Settled, Replied: reply
//!              Ask: the store is read first; if its records let the attempt pass, nothing is looked up;
//!                   else lookup::ask(all missing evidence, one deadline), and plan again
//!              Case: continue
//!            would it wait, and are there other hosts? → shared::ask, and the case has their records
//!            store: facts         read on the task of the connection, merged with the write-behind buffer
//!            Case::facts, Case::decide    → Outcome { verdict, reason, because, changes }
//!              nothing durable: reply; the other changes are written with a later commit
//!              something durable: the writer thread decides again inside its transaction,
//!              commits a batch, and replies to all its requests
//!        → one log record, one counter → protocol::policy::write_reply → socket
//! ```
//!
//! The decision itself is a pure function of attempt, evidence, records, time and rules. Nothing in
//! [`policy`] reads a clock, a file, a socket or the environment, and nothing in it logs.
//!
//! # The modules and their dependencies
//!
//! | module | holds | may use |
//! | --- | --- | --- |
//! | [`types`] | time, addresses and networks, printable text, locks | – |
//! | [`protocol`] | bytes to requests, answers to bytes | types |
//! | [`policy`] | the core: plan, decide, lists, keys, texts | types |
//! | [`api`] | the D-Bus contract: names, errors, rows, proxies | – |
//! | [`lookup`] | DNS lists and SPF, on a separate thread: cache, deadline, budgets, silent zones; spamd | types, policy |
//! | [`store`] | records in LMDB, or in memory for tests and replays | types, policy |
//! | [`config`] | options and list files, with every error | types, policy |
//! | [`shared`] | records of the other hosts of a site, on a separate thread: Redis, keys and values, publishing | types, policy, store |
//! | [`service`] | the gate, the writer thread, the clock, counters, the decision log | types, policy, store, lookup, shared |
//! | [`control`] | tasks of administrators: entries, records, counters, explanations | types, policy, store, service, shared |
//! | [`frontend`] | sockets and connections, the D-Bus object | types, protocol, policy, api, service, control, config |
//! | [`ctl`] | the control program: verbs, import readers, rendering | types, api, policy, config |
//! | [`daemon`] | the program: start-up, signals, reload, log, notifications, replay | all |
//!
//! A layer names another by its path from the root, `crate::layer`; `tests/layering.rs` fails on an arrow that is not
//! in this table, and on modules inside a layer that use each other in a circle. There are two places with unsafe code:
//! one opens LMDB's file, the other takes over the sockets that systemd passes by number.
//!
//! # Where to begin
//!
//! [`policy::greylist`] is the rule and its state table; [`policy::Case::decide`] combines it with the auto-whitelist.
//! [`service`] explains how a decision becomes durable, [`store::lmdb`] the format on disk, and [`daemon::main`] the
//! order of the start. stargreyd(8), stargrey-lists(5) and stargrey(7) are the documentation for administrators; tests
//! compare them with the code.

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
pub mod shared;
pub mod store;
pub mod types;
