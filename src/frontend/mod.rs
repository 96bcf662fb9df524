//! The ways in: sockets and the policy protocol on them, and the D-Bus object.
//!
//! A front end translates; it decides nothing. It is given its sockets, the gate and a signal to end,
//! so that a test can be given any of them.

mod bind;
pub mod bus;
mod inherit;
mod lanes;
mod listener;
mod policy;
mod registry;
mod seldom;

pub use bind::{BindError, Socket, bind};
pub use inherit::inherited;
pub use lanes::{Lanes, Reactor};
pub use listener::{Service, serve};
pub use policy::Manner;
pub use registry::{HALF_REQUEST_SECONDS, IDLE_SECONDS, Registry};
