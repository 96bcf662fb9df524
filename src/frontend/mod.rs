//! The front ends: listening sockets with the policy protocol and the milter protocol, and the D-Bus object.
//!
//! A front end translates; it decides nothing. Sockets, gate and shutdown signal are arguments, so that a test can
//! pass its own.

mod bind;
pub mod bus;
mod inherit;
mod listener;
mod milter;
mod policy;
mod reactor;
mod registry;
mod wake_gated;

pub use bind::{BindError, Protocol, Socket, bind};
pub use inherit::{MILTER_SOCKET, inherited};
pub use listener::{ListenerContext, serve};
pub use milter::serve_milter_stream;
pub use policy::ConnectionOptions;
pub use reactor::{Reactor, ReactorThreads};
pub use registry::{IDLE_SECONDS, PARTIAL_REQUEST_SECONDS, Registry};
