//! Spam filters that come before our milter: rspamd, and a milter of the test's own that has bogofilter or bsfilter say
//! what a message is.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use indymilter::{Actions, Callbacks, Config, ContextActions, EomContext, Status};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::support::program::wait_until_said;

/// A Bayesian filter with a database of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bayes {
    Bogofilter,
    Bsfilter,
}

/// What the filters are trained with, more of which will come.
const SPAM: [&str; 3] = [
    "Subject: cheap watches\n\nBuy cheap replica watches now, discount casino pills\n",
    "Subject: casino offer\n\nDiscount casino: cheap pills, replica watches, an offer\n",
    "Subject: replica pills\n\nAn offer of discount watches and casino pills, cheap\n",
];
const HAM: [&str; 3] = [
    "Subject: Monday\n\nDear Anna, shall we meet on Monday about the quarterly report?\n",
    "Subject: the report\n\nDear Anna, the quarterly report is ready for the meeting\n",
    "Subject: meeting\n\nDear Anna, we discuss the report in the meeting on Monday\n",
];

impl Bayes {
    /// The field that it writes.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Bogofilter => "X-Bogosity",
            Self::Bsfilter => "X-Spam-Probability",
        }
    }

    /// Trains it with a handful of mails.
    pub(super) fn train(self, directory: &Path) {
        let (spam, ham): (&[&str], &[&str]) = match self {
            Self::Bogofilter => (&["-s"], &["-n"]),
            Self::Bsfilter => (&["--add-spam"], &["--add-clean"]),
        };
        for (texts, options) in [(SPAM, spam), (HAM, ham)] {
            for text in texts {
                self.run(directory, options, text.as_bytes());
            }
        }
        if matches!(self, Self::Bsfilter) {
            self.run(directory, &["--update"], b"");
        }
    }

    /// What it writes for a message: the value of its field.
    fn judge(self, directory: &Path, message: &[u8]) -> String {
        let options: &[&str] = match self {
            Self::Bogofilter => &["-v"],
            Self::Bsfilter => &["--pipe", "--insert-probability"],
        };
        let said = self.run(directory, options, message);
        let name = format!("{}: ", self.field());
        let value = said.lines().find_map(|line| line.strip_prefix(&name));
        value
            .unwrap_or_else(|| panic!("{self:?}: {said}"))
            .to_owned()
    }

    /// Runs it with a message; what it says.
    fn run(self, directory: &Path, options: &[&str], message: &[u8]) -> String {
        let (program, home) = match self {
            Self::Bogofilter => ("bogofilter", "-d"),
            Self::Bsfilter => ("bsfilter", "--homedir"),
        };
        let mut child = Command::new(program)
            .arg(home)
            .arg(directory)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error} (make check-deps installs it)"));
        let mut input = child.stdin.take().expect("standard input is a pipe");
        input.write_all(message).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A milter that has a filter say what a message is; it ends with this.
#[derive(Debug)]
pub(super) struct BayesMilter {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Of the filter's database.
    _directory: TempDir,
}

impl BayesMilter {
    /// Trains the filter and listens there.
    pub(super) fn start(bayes: Bayes, socket: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        bayes.train(directory.path());
        let (end, ended) = oneshot::channel::<()>();
        let callbacks = callbacks(bayes, directory.path().to_owned());
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        fs::set_permissions(socket, Permissions::from_mode(0o666)).unwrap();
        let config = Config {
            actions: Actions::ADD_HEADER,
            ..Config::default()
        };
        let serve = async move {
            let listener = UnixListener::from_std(listener).unwrap();
            let served = indymilter::run(listener, callbacks, config, ended).await;
            served.unwrap();
        };
        let thread = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(serve);
        });
        Self {
            end: Some(end),
            thread: Some(thread),
            _directory: directory,
        }
    }
}

/// Collects a message, and writes the field at its end.
fn callbacks(bayes: Bayes, directory: PathBuf) -> Callbacks<Vec<u8>> {
    Callbacks::new()
        .on_mail(|context, _| {
            context.data = Some(Vec::new());
            Box::pin(async { Status::Continue })
        })
        .on_header(|context, name, value| {
            let message = context.data.get_or_insert_default();
            message.extend([name.to_bytes(), b": ", value.to_bytes(), b"\n"].concat());
            Box::pin(async { Status::Continue })
        })
        .on_eoh(|context| {
            context.data.get_or_insert_default().push(b'\n');
            Box::pin(async { Status::Continue })
        })
        .on_body(|context, bytes| {
            context.data.get_or_insert_default().extend(&*bytes);
            Box::pin(async { Status::Continue })
        })
        .on_eom(move |context: &mut EomContext<Vec<u8>>| {
            let message = context.data.take().unwrap_or_default();
            let value = bayes.judge(&directory, &message);
            Box::pin(async move {
                context
                    .actions
                    .add_header(bayes.field(), value)
                    .await
                    .unwrap();
                Status::Continue
            })
        })
}

impl Drop for BayesMilter {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the milter failed");
        }
    }
}

/// rspamd as a milter, with these files of its local.d; killed when dropped.
#[derive(Debug)]
pub(super) struct Rspamd {
    child: Child,
    _directory: TempDir,
}

/// What rspamd logs when it listens.
const STARTED: &str = "listening for control commands";

/// What a site need not have: other processes, DNS, Redis. SOCKET is replaced.
const LOCAL: [(&str, &str); 14] = [
    ("local.d/worker-normal.inc", "enabled = false;\n"),
    ("local.d/worker-controller.inc", "enabled = false;\n"),
    ("local.d/worker-fuzzy.inc", "enabled = false;\n"),
    (
        "local.d/worker-proxy.inc",
        "bind_socket = \"SOCKET mode=0666\";\nmilter = yes;\ncount = 1;\n\
         upstream \"local\" { default = yes; self_scan = yes; }\n",
    ),
    ("local.d/redis.conf", "enabled = false;\n"),
    ("local.d/rbl.conf", "enabled = false;\n"),
    ("local.d/hfilter.conf", "enabled = false;\n"),
    ("local.d/asn.conf", "enabled = false;\n"),
    ("local.d/phishing.conf", "enabled = false;\n"),
    ("local.d/fuzzy_check.conf", "enabled = false;\n"),
    (
        "local.d/options.inc",
        "dns { nameserver = [\"127.0.0.1:9\"]; timeout = 0.1s; retransmits = 1; }\n\
         disable_hyperscan = true;\n",
    ),
    ("local.d/logging.inc", "type = \"console\";\n"),
    // Nothing is refused: what becomes of a message is ours to say.
    (
        "local.d/actions.conf",
        "reject = 1000; add_header = 900; greylist = null;\n",
    ),
    (
        "rspamd.local.lua",
        "config['regexp']['TEST_CASINO'] = { re = '/casino/i{body}', score = 20 }\n\
         config['regexp']['TEST_POKER'] = { re = '/poker/i{body}', score = 5 }\n",
    ),
];

impl Rspamd {
    /// Starts it, to listen there; returns when it does.
    pub(super) fn start(socket: &Path, files: &[(String, String)]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stargrey-rspamd-")
            .tempdir()
            .unwrap();
        let path = directory.path();
        fs::create_dir(path.join("local.d")).unwrap();
        for (name, text) in LOCAL {
            let text = text.replace("SOCKET", &socket.display().to_string());
            fs::write(path.join(name), text).unwrap();
        }
        for (name, text) in files {
            fs::write(path.join("local.d").join(name), text).unwrap();
        }
        let variable = |name: &str| format!("--var={name}={}", path.display());
        let child = Command::new("rspamd")
            .args(["-f", "-i", "-c", "/etc/rspamd/rspamd.conf"])
            .args(["DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR"].map(variable))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rspamd is there (make check-deps installs it)");
        let mut rspamd = Self {
            child,
            _directory: directory,
        };
        wait_until_said(&mut rspamd.child, STARTED);
        assert!(socket.exists(), "rspamd does not listen");
        rspamd
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // It ends its own processes.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}
