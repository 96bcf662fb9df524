//! The load on a host while the server of shared records has trouble: each attempt goes to the host, and to a twin that
//! has seen the same attempts and shares nothing.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stargrey::service::clock::monotonic;
use stargrey::shared::DEADLINE;
use stargrey::types::sync::{Mutex, RwLock};

use crate::support::{Client, rcpt};

/// Connections to each host.
const CONNECTIONS: usize = 2;

/// Time between two attempts of a connection.
const PACE: Duration = Duration::from_millis(4);

/// A request that takes less was not held up by the server.
const QUICK: Duration = Duration::from_millis(200);

/// Who sends: an address of a network of its own, a sender and a recipient.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) address: Ipv4Addr,
    pub(super) sender: String,
}

pub(super) const RECIPIENT: &str = "joe@x.example";

impl Mail {
    /// Every tenth number is of one client.
    fn of(number: usize) -> Self {
        let network = u8::try_from(number % 10).unwrap();
        Self {
            address: Ipv4Addr::new(203, 0, network, 7),
            sender: format!("n{number}x@sender.example"),
        }
    }
}

/// What a host answered, beside its twin.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: usize,
    /// Attempts with a better answer than the twin's.
    pub(super) better: usize,
    /// Those with a worse one.
    pub(super) worse: Vec<String>,
    pub(super) longest: Duration,
    /// The longest of the twin: what the machine, and not the server, costs.
    pub(super) longest_alone: Duration,
    /// Attempts that were held up and whose twins were not.
    pub(super) held_up: usize,
}

impl Tally {
    /// The longest that a request may take.
    pub(super) fn limit(&self) -> Duration {
        DEADLINE + self.longest_alone + Duration::from_secs(1)
    }
}

struct State {
    /// Held while the clock is moved, so that a host and its twin see one time.
    clock: RwLock<()>,
    next: AtomicUsize,
    /// What was tried at any host.
    tried: Mutex<Vec<Mail>>,
    tallies: Vec<Mutex<Tally>>,
    ends: AtomicBool,
}

/// A load that is running.
pub(super) struct Load {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins with the sockets of each host and its twin.
    pub(super) fn start(hosts: &[(PathBuf, PathBuf)]) -> Self {
        let state = Arc::new(State {
            clock: RwLock::default(),
            next: AtomicUsize::new(0),
            tried: Mutex::default(),
            tallies: hosts.iter().map(|_| Mutex::default()).collect(),
            ends: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (host, (socket, twin)) in hosts.iter().enumerate() {
            for _ in 0..CONNECTIONS {
                let (state, socket, twin) = (Arc::clone(&state), socket.clone(), twin.clone());
                threads.push(thread::spawn(move || {
                    let connect = |path: &PathBuf| Client::unix(path).unwrap();
                    let mut clients = (connect(&socket), connect(&twin));
                    while !state.ends.load(Ordering::Relaxed) {
                        state.attempt(host, &mut clients);
                        thread::park_timeout(PACE);
                    }
                }));
            }
        }
        Self { state, threads }
    }

    /// Waits until each host has had so many more attempts.
    pub(super) fn goes_on_for(&self, attempts: usize) {
        let of = |tally: &Mutex<Tally>| tally.lock().attempts;
        let before: Vec<usize> = self.state.tallies.iter().map(of).collect();
        super::wait_for("the load", || {
            let is_failed = self.threads.iter().any(JoinHandle::is_finished);
            assert!(!is_failed, "the load has ended");
            let tallies = self.state.tallies.iter();
            tallies
                .zip(&before)
                .all(|(tally, before)| of(tally) >= before + attempts)
        });
    }

    /// Moves the clock while nothing is asked.
    pub(super) fn with_no_request<T>(&self, change: impl FnOnce() -> T) -> T {
        let _alone = self.state.clock.write();
        change()
    }

    /// Ends it, and yields what each host answered.
    pub(super) fn end(self) -> Vec<Tally> {
        self.state.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("the load goes on");
        }
        let tallies = self.state.tallies.iter();
        tallies
            .map(|tally| std::mem::take(&mut *tally.lock()))
            .collect()
    }
}

impl State {
    /// One attempt at a host and at its twin: of a new mail, or of one that was tried at any host.
    fn attempt(&self, host: usize, clients: &mut (Client, Client)) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mail = {
            let mut tried = self.tried.lock();
            if number.is_multiple_of(2) || tried.is_empty() {
                tried.push(Mail::of(number));
                Mail::of(number)
            } else {
                // Spread over all, and in no step with the hosts.
                tried[number * 7919 % tried.len()].clone()
            }
        };
        let address = mail.address.to_string();
        let request = rcpt("mx.sender.example", &address, &mail.sender, RECIPIENT);
        let _same_time = self.clock.read();
        let timed = |client: &mut Client| {
            let begun = monotonic();
            let answer = client.ask(&request);
            (answer, monotonic().saturating_sub(begun))
        };
        let (answer, took) = timed(&mut clients.0);
        let (alone, took_alone) = timed(&mut clients.1);
        let mut tally = self.tallies[host].lock();
        tally.attempts += 1;
        match wait(&answer).cmp(&wait(&alone)) {
            std::cmp::Ordering::Less => tally.better += 1,
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => {
                let said = format!("{mail:?}: {answer}, and alone {alone}");
                tally.worse.push(said);
            }
        }
        tally.longest = tally.longest.max(took);
        tally.longest_alone = tally.longest_alone.max(took_alone);
        tally.held_up += usize::from(took >= QUICK && took_alone < QUICK / 2);
    }
}

/// The seconds that an answer makes a mail wait.
fn wait(answer: &str) -> u64 {
    let Some((_, rest)) = answer.split_once("try again in ") else {
        let passes = answer == "DUNNO" || answer.starts_with("PREPEND");
        assert!(passes, "{answer}");
        return 0;
    };
    let (seconds, _) = rest.split_once(" second").expect("a number of seconds");
    seconds.parse().unwrap()
}
