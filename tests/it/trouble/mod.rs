//! What can go wrong around the daemon, one test each: mail flows on as `--on-store-failure` says, the status
//! says what is wrong, and all is well again when the cause is gone.
//!
//! | trouble | where |
//! | --- | --- |
//! | the file system is full, or read-only; a directory is; the disk hangs | [`disk`] |
//! | `--max-size` is reached; the data file is cut off, torn, or another program's | [`database`] |
//! | pages of the data file are overwritten, so that LMDB ends the daemon | [`damage`] |
//! | directory, data file or lock are removed or moved | [`moved`] |
//! | the log is not taken; too few descriptors; clients that do not read; the clock was set back between two starts | [`surroundings`] |
//! | the clock jumps by an hour or a year while the daemon runs | `service::gate` and `service::clock`, where time can be set |
//! | the bus goes away | [`presence`](crate::bus) |
//! | a kill at any moment | [`crash`](crate::crash) |

mod damage;
mod database;
mod disk;
mod mount;
mod moved;
mod surroundings;

const START: u64 = 1_800_000_000;

/// What is answered in trouble with `--on-store-failure=defer`.
const DEFERRED: &str = "DEFER_IF_PERMIT 4.3.0 Greylisting is out of order";
