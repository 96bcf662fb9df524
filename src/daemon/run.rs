//! The running daemon: listeners, signals, and an orderly shutdown.
//!
//! The main thread accepts connections and handles signals. Reactor threads, writer thread, log and bus are separate
//! threads, so that none of them waits for another.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task;

use super::chores::Chores;
use super::failure::Failure;
use super::notify::Notifier;
use super::reload;
use crate::config::{Settings, Verbosity};
use crate::control::Control;
use crate::frontend::bus::{self, MonitorInfo, ReloadReply, ReloadResult};
use crate::frontend::{
    ConnectionOptions, ListenerContext, Protocol, Reactor, ReactorThreads, Registry, Socket, serve,
};
use crate::lookup::{MOST_DESCRIPTORS, MOST_SPF_DESCRIPTORS};
use crate::policy::{Params, Scheme};
use crate::service::clock::{Clock, SystemClock};
use crate::service::{Gate, Start};

/// Descriptors reserved for everything but connections: database, lists, log, sockets, the runtime.
const RESERVED_DESCRIPTORS: usize = 64;

/// Most connections, even with more descriptors: bounds the memory that they use.
const MOST_CONNECTIONS: usize = 20_000;

/// How long shutdown waits for tasks that cannot be cancelled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Raises the soft limit of descriptors to the hard one, and returns the current limit.
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
    let of = |is_used: bool, most: usize| if is_used { most } else { 0 };
    let for_lists = of(!settings.lookup.dns_lists.is_empty(), MOST_DESCRIPTORS);
    let for_spf = of(settings.lookup.spf, MOST_SPF_DESCRIPTORS);
    // Half of few descriptors, so that Postfix is always answered.
    let for_lookups = for_lists.saturating_add(for_spf).min(descriptors / 2);
    let limit = descriptors
        .saturating_sub(RESERVED_DESCRIPTORS)
        .saturating_sub(for_lookups)
        .clamp(1, MOST_CONNECTIONS);
    let (notifier, notifier_thread) = Notifier::start();
    let service = ServeContext {
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
    // Drops the tasks that still hold the gate or the notifier. Does not wait for a list on a file server that does
    // not reply.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    if bus.join().is_err() {
        log::error!("the D-Bus thread has failed");
    }
    notifier_thread.wait();
    if worker.join().is_err() {
        log::error!("the writer thread has failed");
    }
    served
}

/// The parts that serve requests.
struct ServeContext<'s> {
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
    served: ServeContext<'_>,
    reloads: mpsc::Receiver<ReloadReply>,
    shutdown: watch::Sender<bool>,
) -> Result<(), Failure> {
    let ServeContext {
        gate,
        control,
        settings,
        notifier,
        limit,
        main,
        look,
    } = served;
    let signals = Signals::new().map_err(|source| system("catching signals", source))?;
    let reactors = ReactorThreads::start().map_err(|source| system("starting threads", source))?;
    let reactors = Arc::new(reactors);
    let service = ListenerContext {
        gate: gate.clone(),
        options: ConnectionOptions {
            one_answer: settings.sockets.one_answer,
            requests_bring_time: settings.sockets.accepts_request_time,
            log_decisions: settings.log.verbosity != Verbosity::Quiet,
        },
        reactors: Arc::clone(&reactors),
        registry: Registry::new(limit),
        shutdown: shutdown.subscribe(),
    };
    let mut requests = ReloadRequests { signals, reloads };
    let mut listeners: Vec<task::JoinHandle<()>> = Vec::new();
    for socket in sockets {
        let protocol = match socket.protocol() {
            Protocol::Policy => "",
            Protocol::Milter => " for milter connections",
        };
        log::info!("listening on {}{protocol}", socket.address());
        let listener = serve(socket, service.clone());
        listeners.push(listener.map_err(|source| system("listening", source))?);
    }
    let chores = Chores {
        gate: gate.clone(),
        notifier: notifier.clone(),
        registry: Arc::clone(&service.registry),
        reactors: reactors.reactors().chain([main]).collect(),
        look,
    };
    drop(reactors);
    let chores = chores.start();
    let chores = chores.map_err(|source| system("starting threads", source))?;
    drop(service);
    notifier.ready();
    log::info!("stargrey {} is ready", env!("CARGO_PKG_VERSION"));
    task::spawn(note_options(control));
    while let Event::Reload(reply) = requests.next().await {
        tokio::select! {
            reloaded = reload::reload(&gate, settings, &notifier) => send_result(reply, reloaded),
            () = requests.signals.end() => break,
        }
    }
    // Not joined: its last round may wait for this thread. Joining the writer thread waits for its end.
    drop(chores);
    notifier.stopping(&gate);
    log::info!("shutting down: answering pending requests first");
    end(&shutdown, listeners).await;
    Ok(())
}

/// Notes which options the daemon was started with, so that the report shows when they changed.
async fn note_options(control: Control) {
    let mut digest = blake3::Hasher::new();
    for argument in std::env::args_os().skip(1) {
        digest.update(argument.as_encoded_bytes()).update(b"\0");
    }
    if let Err(error) = control.note_options(digest.finalize().into()).await {
        log::debug!("the options are not noted: {error}");
    }
}

/// Ends the listeners and waits for them.
async fn end(shutdown: &watch::Sender<bool>, listeners: Vec<task::JoinHandle<()>>) {
    if shutdown.send(true).is_err() {
        log::debug!("all listeners have ended");
    }
    for task in listeners {
        if let Err(error) = task.await {
            log::error!("a listener has failed: {error}");
        }
    }
}

/// Serves the D-Bus object on a separate thread; returns the thread and the receiver of its reload requests.
fn serve_bus(
    served: &ServeContext<'_>,
    shutdown: watch::Receiver<bool>,
) -> Result<(JoinHandle<()>, mpsc::Receiver<ReloadReply>), Failure> {
    let (reload, reloads) = mpsc::channel(1);
    let conf = served.settings.lists.greylist_conf.as_ref();
    let info = MonitorInfo {
        started_at: SystemClock.now(),
        mode: mode(&served.settings.params),
        greylist_conf: conf.map_or_else(String::new, |conf| conf.path().display().to_string()),
    };
    let runtime = runtime()?;
    let control = served.control.clone();
    let look = Arc::clone(&served.look);
    let thread = thread::Builder::new()
        .name("bus".to_owned())
        .spawn(move || {
            runtime.block_on(bus::serve(control, info, reload, look, shutdown));
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        });
    let thread = thread.map_err(|source| system("starting threads", source))?;
    Ok((thread, reloads))
}

/// A runtime for the thread that enters it.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| system("starting threads", source))
}

/// The `Mode` property: how suspicious clients are treated.
fn mode(params: &Params) -> &'static str {
    match params.tarpit.map(|tarpit| tarpit.scheme) {
        None => "greylist",
        Some(Scheme::Deferring) => "tarpit",
        Some(Scheme::Delaying) => "delay",
        Some(Scheme::Targrey) => "targrey",
    }
}

/// Sends the result of a reload to the caller that requested it, if there is one.
fn send_result(reply: Option<ReloadReply>, reloaded: ReloadResult) {
    if reply.is_some_and(|reply| reply.send(reloaded).is_err()) {
        log::debug!("the caller that requested a reload is gone");
    }
}

/// What the main loop waits for.
enum Event {
    /// A reload is requested: by SIGHUP, or over D-Bus by a caller that waits for the result.
    Reload(Option<ReloadReply>),
    End,
}

/// The sources of events: signals and D-Bus.
struct ReloadRequests {
    signals: Signals,
    reloads: mpsc::Receiver<ReloadReply>,
}

impl ReloadRequests {
    async fn next(&mut self) -> Event {
        tokio::select! {
            event = self.signals.next() => event,
            Some(reply) = self.reloads.recv() => Event::Reload(Some(reply)),
        }
    }
}

/// The signals that the daemon handles.
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
