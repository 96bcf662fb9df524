//! The running daemon: listeners, signals, and an orderly end.
//!
//! The main thread takes connections and signals. Answering, writing, the log and the bus have threads of
//! their own, so that none of them waits for another.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task;

use super::chores::Chores;
use super::failure::Failure;
use super::notify::Notifier;
use super::reload;
use crate::config::{Settings, Verbosity};
use crate::control::Control;
use crate::frontend::bus::{self, Facts, Reloaded};
use crate::frontend::{Lanes, Manner, Reactor, Registry, Service, Socket, serve};
use crate::lookup::MOST_UNDER_WAY;
use crate::policy::{Params, Scheme};
use crate::service::clock::{Clock, SystemClock};
use crate::service::{Gate, Start};

/// Descriptors kept for everything but connections: database, lists, log, sockets, the runtime.
const RESERVED_DESCRIPTORS: usize = 64;

/// Most connections, however many descriptors there are: what this many cost in memory is known.
const MOST_CONNECTIONS: usize = 20_000;

/// How long the end waits for work that cannot be broken off.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Raises the soft limit of descriptors to the hard one, and returns what is in force.
pub(super) fn raise_descriptor_limit() -> usize {
    let resource = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(resource) else {
        return 1024;
    };
    let limit = match setrlimit(resource, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            log::debug!("the descriptor limit stays at {soft}: {error}, ignoring");
            soft
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Serves until a signal ends it.
pub(super) fn run(
    sockets: Vec<Socket>,
    started: Start,
    settings: &Settings,
    descriptors: usize,
) -> Result<(), Failure> {
    let Start {
        gate,
        internals,
        worker,
    } = started;
    let built = Reactor::build();
    let (runtime, main) = built.map_err(|source| system("starting threads", source))?;
    let for_lookups = if settings.lookup.dns_lists.is_empty() {
        0
    } else {
        MOST_UNDER_WAY
    };
    let limit = descriptors
        .saturating_sub(RESERVED_DESCRIPTORS)
        .saturating_sub(for_lookups)
        .clamp(1, MOST_CONNECTIONS);
    let (notifier, told) = Notifier::start();
    let service = Served {
        gate,
        control: Control::new(internals),
        settings,
        notifier,
        limit,
        main,
        look: Arc::new(Notify::new()),
    };
    let (shutdown, is_ending) = watch::channel(false);
    let (bus, reloads) = serve_bus(&service, is_ending)?;
    let served = runtime.block_on(serve_all(sockets, service, reloads, shutdown));
    // With it goes everything that still runs on it and holds the gate or the notifier; a list that a
    // mute file server does not give is not waited for.
    runtime.shutdown_timeout(LAST_WORK);
    if bus.join().is_err() {
        log::error!("the thread of the bus has failed");
    }
    told.wait();
    if worker.join().is_err() {
        log::error!("the thread that writes has failed");
    }
    served
}

/// What the daemon serves with.
struct Served<'s> {
    gate: Gate,
    control: Control,
    settings: &'s Settings,
    notifier: Notifier,
    /// Most connections.
    limit: usize,
    /// The main thread.
    main: Reactor,
    /// When the bus is to look for changes.
    look: Arc<Notify>,
}

async fn serve_all(
    sockets: Vec<Socket>,
    served: Served<'_>,
    reloads: mpsc::Receiver<Asked>,
    shutdown: watch::Sender<bool>,
) -> Result<(), Failure> {
    let Served {
        gate,
        control: _,
        settings,
        notifier,
        limit,
        main,
        look,
    } = served;
    let signals = Signals::new().map_err(|source| system("catching signals", source))?;
    let lanes = Lanes::start().map_err(|source| system("starting threads", source))?;
    let lanes = Arc::new(lanes);
    let service = Service {
        gate: gate.clone(),
        manner: Manner {
            one_answer: settings.one_answer,
            requests_bring_time: settings.requests_bring_time,
            log_decisions: settings.verbosity != Verbosity::Quiet,
        },
        lanes: Arc::clone(&lanes),
        registry: Registry::new(limit),
        shutdown: shutdown.subscribe(),
    };
    let mut wishes = Wishes { signals, reloads };
    let mut listeners: Vec<task::JoinHandle<()>> = Vec::new();
    for socket in sockets {
        log::info!("listening on {}", socket.place());
        let listener = serve(socket, service.clone());
        listeners.push(listener.map_err(|source| system("listening", source))?);
    }
    let chores = Chores {
        gate: gate.clone(),
        notifier: notifier.clone(),
        registry: Arc::clone(&service.registry),
        reactors: lanes.reactors().chain([main]).collect(),
        look,
    };
    drop(lanes);
    let chores = chores.start();
    let chores = chores.map_err(|source| system("starting threads", source))?;
    drop(service);
    notifier.ready();
    log::info!("stargrey {} is ready", env!("CARGO_PKG_VERSION"));
    while let Event::Reload(asked) = wishes.next().await {
        tokio::select! {
            reloaded = reload::reload(&gate, settings, &notifier) => tell(asked, reloaded),
            () = wishes.signals.end() => break,
        }
    }
    // Its last round may be waiting for this thread: it is the writing thread that waits for its end.
    drop(chores);
    notifier.stopping(&gate);
    log::info!("shutting down: answering pending requests first");
    end(&shutdown, listeners).await;
    Ok(())
}

/// Tells the listeners to end, and waits for them.
async fn end(shutdown: &watch::Sender<bool>, listeners: Vec<task::JoinHandle<()>>) {
    if shutdown.send(true).is_err() {
        log::debug!("nobody listens any more");
    }
    for task in listeners {
        if let Err(error) = task.await {
            log::error!("a listener has failed: {error}");
        }
    }
}

/// Serves the D-Bus object on a thread of its own; with it come the wishes for a reload.
fn serve_bus(
    served: &Served<'_>,
    shutdown: watch::Receiver<bool>,
) -> Result<(JoinHandle<()>, mpsc::Receiver<Asked>), Failure> {
    let (reload, reloads) = mpsc::channel(1);
    let facts = Facts {
        started_at: SystemClock.now(),
        mode: mode(&served.settings.params),
    };
    let runtime = runtime()?;
    let control = served.control.clone();
    let look = Arc::clone(&served.look);
    let thread = thread::Builder::new()
        .name("bus".to_owned())
        .spawn(move || {
            runtime.block_on(bus::serve(control, facts, reload, look, shutdown));
            runtime.shutdown_timeout(LAST_WORK);
        });
    let thread = thread.map_err(|source| system("starting threads", source))?;
    Ok((thread, reloads))
}

/// A runtime for the thread that enters it.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| system("starting threads", source))
}

/// What is done to suspicious clients, in a word.
fn mode(params: &Params) -> &'static str {
    match params.tarpit.map(|tarpit| tarpit.scheme) {
        None => "greylist",
        Some(Scheme::Deferring) => "tarpit",
        Some(Scheme::Delaying) => "delay",
        Some(Scheme::Targrey) => "targrey",
    }
}

/// Tells what became of a reload, if somebody waits to be told.
fn tell(asked: Option<Asked>, reloaded: Reloaded) {
    if asked.is_some_and(|asked| asked.send(reloaded).is_err()) {
        log::debug!("who asked for a reload does not wait for it any more");
    }
}

/// Where the answer to who asked for a reload goes.
type Asked = oneshot::Sender<Reloaded>;

/// What is asked for.
enum Event {
    /// By a signal, or by somebody who waits for the answer.
    Reload(Option<Asked>),
    End,
}

/// Where it is asked for: by signals, and over D-Bus.
struct Wishes {
    signals: Signals,
    reloads: mpsc::Receiver<Asked>,
}

impl Wishes {
    async fn next(&mut self) -> Event {
        tokio::select! {
            event = self.signals.next() => event,
            Some(asked) = self.reloads.recv() => Event::Reload(Some(asked)),
        }
    }
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload(None),
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
        }
    }
}

fn system(what: &'static str, source: io::Error) -> Failure {
    Failure::System { what, source }
}
