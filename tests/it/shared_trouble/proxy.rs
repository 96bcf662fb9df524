//! A network between a host and the server that a test cuts: what is sent meanwhile arrives when it is mended.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often a connection looks whether the network is cut.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    ends: AtomicBool,
}

/// A way to a port of this machine.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) port: u16,
    state: Arc<State>,
}

impl Network {
    /// A network that leads to this port.
    pub(super) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let common = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if common.ends.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                let client = client.unwrap();
                pass_on(&client, &server, &common);
                pass_on(&server, &client, &common);
            }
        });
        Self { port, state }
    }

    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::Relaxed);
    }

    pub(super) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

/// Passes on what comes from one side, on a thread that ends with either of them.
fn pass_on(from: &TcpStream, to: &TcpStream, state: &Arc<State>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let state = Arc::clone(state);
    from.set_read_timeout(Some(LOOK)).unwrap();
    to.set_nodelay(true).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while !state.ends.load(Ordering::Relaxed) {
            if state.is_cut.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK);
                continue;
            }
            let is_passed_on = match from.read(&mut buffer) {
                Ok(0) => false,
                Ok(length) => {
                    // What has left one side when the network is cut has not reached the other.
                    while state.is_cut.load(Ordering::Relaxed) {
                        thread::park_timeout(LOOK);
                    }
                    to.write_all(&buffer[..length]).is_ok()
                }
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
            if !is_passed_on {
                break;
            }
        }
        // The other side may have ended it.
        to.shutdown(std::net::Shutdown::Both).ok();
    });
}
