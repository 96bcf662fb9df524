//! stargreyctl while the daemon does not answer: what it says, and when it gives up. A test plays systemd.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use stargrey::ctl::args::Arguments;
use stargrey::ctl::render::TerminalStyle;
use stargrey::ctl::session::{Session, Timeouts};
use stargrey::ctl::unit::UNIT_PATH;
use stargrey::ctl::view::View;
use stargrey::ctl::{clock, verbs};
use tokio::runtime::Runtime;

use zbus::{Connection, ObjectPath, connection, interface};

use crate::bus::harness::Bus;
use crate::ctl::stuck;

/// How long a test waits until the unit was looked at three times more.
const LOOKING: Duration = Duration::from_secs(30);

/// `ActiveState`, `SubState`, and the number of the job.
#[derive(Clone, Copy)]
struct State(&'static str, &'static str, u32);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl State {
    #[zbus(property)]
    fn active_state(&self) -> &str {
        self.0
    }

    #[zbus(property)]
    fn sub_state(&self) -> &str {
        self.1
    }

    #[zbus(property)]
    fn job(&self) -> (u32, ObjectPath<'_>) {
        (self.2, ObjectPath::from_static_str_unchecked("/"))
    }
}

/// The last run, and how many there were.
struct Runs {
    result: &'static str,
    status: i32,
    restarts: Arc<AtomicU32>,
    /// How many more there are each time that somebody looks.
    more: u32,
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Runs {
    #[zbus(property)]
    fn result(&self) -> &str {
        self.result
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        self.status
    }

    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        self.restarts.fetch_add(self.more, Ordering::Relaxed)
    }
}

/// A systemd that never gets the daemon to run; gone with this.
struct Systemd {
    _connection: Connection,
    restarts: Arc<AtomicU32>,
}

fn play_systemd(runtime: &Runtime, bus: &Bus, state: State, more: u32) -> Systemd {
    let restarts = Arc::new(AtomicU32::new(3));
    let runs = Runs {
        result: "exit-code",
        status: 78,
        restarts: Arc::clone(&restarts),
        more,
    };
    let address = bus.address();
    let connection = runtime.block_on(async {
        connection::Builder::address(address.as_str())
            .name("org.freedesktop.systemd1")
            .serve_at(UNIT_PATH, state)
            .serve_at(UNIT_PATH, runs)
            .build()
            .await
            .unwrap()
    });
    Systemd {
        _connection: connection,
        restarts,
    }
}

const FAILED: State = State("failed", "failed", 0);
const WAITING: State = State("failed", "failed", 9);
const RESTARTED: State = State("activating", "auto-restart", 0);
const STARTING: State = State("activating", "start", 9);

#[test]
fn a_unit_that_fails_is_not_waited_for() {
    let failed = "stargrey.service does not start: failed (Result: exit-code, status 78), restarted 3 times; \
                  `journalctl -u stargrey.service` shows the reason";
    let restarted = "stargrey.service does not start: auto-restart (Result: exit-code, status 78), restarted 4 times; \
                     `journalctl -u stargrey.service` shows the reason";
    let silent = "no reply from stargreyd; see `systemctl status stargrey.service`";
    let long = Duration::from_secs(60);
    let short = Duration::from_millis(400);
    let cases = [
        ("status", FAILED, 0, long, failed),
        ("reload", FAILED, 0, long, failed),
        ("status", RESTARTED, 1, long, restarted),
        ("reload", RESTARTED, 1, long, restarted),
        // A start may take its time, and one that has failed once is tried again.
        ("status", RESTARTED, 0, short, silent),
        ("reload", STARTING, 1, short, silent),
        // One that has failed is about to be started.
        ("status", WAITING, 0, short, silent),
    ];
    let runtime = Runtime::new().unwrap();
    for (verb, state, more, limit, want) in cases {
        let directory = tempfile::tempdir().unwrap();
        let bus = Bus::start_activating(directory.path());
        let _systemd = play_systemd(&runtime, &bus, state, more);
        let timeouts = Timeouts {
            monitor: limit,
            manager: limit,
            silence: Duration::from_millis(20),
        };
        let view = View {
            terminal: TerminalStyle::plain(),
            json: false,
            now: clock::now(),
        };
        let arguments = Arguments::try_parse_from(["stargreyctl", verb]).unwrap();
        let failure = runtime.block_on(async {
            let address = bus.address();
            let bus = connection::Builder::address(address.as_str());
            let session = Session::begin(bus, timeouts, view).await.unwrap();
            let verb = arguments.verb.unwrap();
            verbs::run(&session, &verb).await.unwrap_err()
        });
        let said = (failure.code(), &*failure.to_string());
        assert_eq!(said, (69, want), "{verb}: {}", state.1);
    }
}

#[test]
fn the_program_says_that_it_waits_and_gives_up_with_the_reason() {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bus = Bus::start_activating(directory.path());
    let _systemd = play_systemd(&runtime, &bus, RESTARTED, 1);
    let output = bus.ctl(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    let [waiting, failing] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("not two lines: {said}");
    };
    let want = "stargreyctl: waiting for stargrey.service to start: auto-restart (Result: exit-code, status 78)";
    assert!(waiting.starts_with(want), "{waiting}");
    let want = "stargreyctl: stargrey.service does not start: auto-restart";
    assert!(failing.starts_with(want), "{failing}");
}

/// A program that waits: what it says first, and what it says from then on.
struct Waiting {
    program: Child,
    stderr: BufReader<ChildStderr>,
}

impl Waiting {
    fn begin(bus: &Bus, verb: &str) -> (Self, String) {
        let mut program = bus
            .ctl(&[verb])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(program.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        (Self { program, stderr }, line)
    }

    /// Ends it; yields all that it has said since.
    fn end(mut self) -> String {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        rest
    }
}

#[test]
fn a_daemon_that_runs_and_does_not_answer_is_named_without_systemd() {
    let runtime = Runtime::new().unwrap();
    let (bus, _connection) = stuck(&runtime);
    let cases = [
        ("statistics", "the reply of stargreyd"),
        (
            "reload",
            "the reply of stargreyd, which may be waiting for polkit",
        ),
    ];
    for (verb, want) in cases {
        let (waiting, line) = Waiting::begin(&bus.bus, verb);
        waiting.end();
        assert_eq!(line, format!("stargreyctl: waiting for {want}\n"), "{verb}");
    }
}

#[test]
fn what_is_waited_for_is_said_once_however_often_the_unit_is_looked_at() {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bus = Bus::start_activating(directory.path());
    let systemd = play_systemd(&runtime, &bus, STARTING, 1);
    let (waiting, line) = Waiting::begin(&bus, "reload");
    assert!(
        line.starts_with("stargreyctl: waiting for stargrey.service to start"),
        "{line}"
    );
    // When the unit is looked at once more, all that follows from the looks before was said.
    let seen = systemd.restarts.load(Ordering::Relaxed);
    let pause = Duration::from_millis(5);
    for _ in 0..LOOKING.as_millis() / pause.as_millis() {
        if systemd.restarts.load(Ordering::Relaxed) >= seen + 3 {
            break;
        }
        thread::park_timeout(pause);
    }
    let looks = systemd.restarts.load(Ordering::Relaxed) - seen;
    assert_eq!(waiting.end(), "");
    assert!(looks >= 3, "{looks}");
}
