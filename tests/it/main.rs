//! Integration tests: the real daemon, asked over its real sockets.
//!
//! One program, so that it is linked once; a module for each subject.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod access_list_differences;
mod access_list_files;
mod access_list_state;
mod access_lists;
mod bus;
mod crash;
mod ctl;
mod dns_lists;
mod durability;
mod explain;
mod fuzz;
mod idle;
mod importing;
mod international;
mod journal;
mod list_watch;
mod listening;
mod log_readers;
#[path = "../manual/mod.rs"]
mod manual;
mod metrics;
mod milter;
mod milter_greylist;
#[path = "../peers/mod.rs"]
mod peers;
mod postfix;
mod postgrey;
mod postmap;
mod process;
mod reload;
mod report;
mod sendmail;
mod shared_demotion;
mod shared_model;
mod shared_privacy;
mod shared_records;
mod shared_refusals;
mod shared_routes;
mod shared_trouble;
mod shipped;
mod spamd;
mod status;
mod support;
mod suspicion;
mod trouble;
mod waiting;
mod wire;
