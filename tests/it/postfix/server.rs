//! A Postfix of the test's own: configuration, queue, data and mailboxes in one temporary directory.
//!
//! It listens on an address of 127.0.0.0/8 that no other instance has, one port for each way to
//! name the policy service ([`Line`]), and delivers to maildirs. A shell that waits for the end of
//! its standard input stops it, so it goes when the value is dropped, and also when the test
//! program is killed.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use nix::unistd::User;
use tempfile::TempDir;

use crate::support::machine::{require_program, require_root};
use crate::support::network::Network;
use crate::support::smtp::{NOBODY, Peer, Session};

/// Postfix's control program, where every distribution has it.
const POSTFIX: &str = "/usr/sbin/postfix";

/// The port of SMTP.
const SMTP: u16 = 25;

/// The user that owns the mailboxes: `nobody`.
const MAILBOX_OWNER: u32 = 65534;

/// Who has a mailbox at example.org.
const MAILBOXES: [&str; 6] = ["anna", "ben", "carl", "dora", "emil", "frida"];

/// How long [`eventually`] tries: so many times, so long.
const TRIES: u32 = 2000;
const PAUSE: Duration = Duration::from_millis(10);

/// Makes each instance's address its own.
static INSTANCES: AtomicU8 = AtomicU8::new(0);

/// The ways to name the policy service in main.cf, each on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// With braces, a timeout and a default action, as the documents recommend; chrooted.
    Documented,
    /// The service and nothing else.
    Bare,
    /// Behind a table of suspicious clients, as a restriction class.
    Class,
    /// The same service in the client, HELO, sender and recipient lists.
    FourTimes,
    /// After `reject_unlisted_recipient`.
    Unlisted,
    /// Not at all: a table is searched in the list of clients.
    Table,
    /// In the list of clients, where [`Table`](Self::Table) has its table.
    Clients,
    /// Not at all, and for the milter there is less time than in main.cf.
    Hasty,
}

impl Line {
    /// The ordinary ones.
    const ALL: [Self; 5] = [
        Self::Documented,
        Self::Bare,
        Self::Class,
        Self::FourTimes,
        Self::Unlisted,
    ];

    /// The rest of the line in master.cf: chroot column, program and what differs from main.cf.
    fn service(self) -> &'static str {
        match self {
            Self::Documented => "y - - smtpd",
            Self::Bare => {
                "n - - smtpd
  -o { smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:stargrey/policy }"
            }
            Self::Class => {
                "n - - smtpd
  -o { smtpd_recipient_restrictions = reject_unauth_destination, check_client_access regexp:$config_directory/suspicious }"
            }
            Self::FourTimes => {
                "n - - smtpd -v
  -o { smtpd_client_restrictions = check_policy_service unix:stargrey/policy }
  -o { smtpd_helo_restrictions = check_policy_service unix:stargrey/policy }
  -o { smtpd_sender_restrictions = check_policy_service unix:stargrey/policy }
  -o { smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:stargrey/policy }"
            }
            Self::Unlisted => {
                "n - - smtpd
  -o { smtpd_recipient_restrictions = reject_unauth_destination, reject_unlisted_recipient, check_policy_service unix:stargrey/policy }"
            }
            Self::Table => {
                "n - - smtpd
  -o { smtpd_client_restrictions = check_client_access regexp:$config_directory/replies }
  -o { smtpd_recipient_restrictions = reject_unauth_destination }"
            }
            Self::Clients => {
                "n - - smtpd
  -o { smtpd_client_restrictions = check_policy_service unix:stargrey/policy }
  -o { smtpd_recipient_restrictions = reject_unauth_destination }"
            }
            Self::Hasty => {
                "n - - smtpd
  -o { smtpd_milters = { unix:stargrey/milter, default_action=accept, command_timeout=2s } }"
            }
        }
    }
}

/// What a Postfix is told about clients and recipients.
#[derive(Debug)]
pub(super) struct Wiring {
    /// On which lines it listens.
    pub(super) lines: Vec<Line>,
    /// Lines of master.cf.
    pub(super) services: String,
    /// The network that it is in, if not that of the test.
    pub(super) network: Option<Network>,
    /// Lines of main.cf.
    pub(super) main: String,
    /// Files beside main.cf: name and content.
    pub(super) tables: Vec<(String, String)>,
}

impl Wiring {
    /// One listener that does what these lines of main.cf say.
    pub(super) fn of(main: &str, tables: &[(String, String)]) -> Self {
        Self {
            lines: vec![Line::Documented],
            services: String::new(),
            network: None,
            main: main.to_owned(),
            tables: tables.to_vec(),
        }
    }

    /// The same in a network of its own, where it listens as these lines of master.cf say.
    pub(super) fn within(self, network: Network, services: &str) -> Self {
        Self {
            lines: Vec::new(),
            services: services.to_owned(),
            network: Some(network),
            ..self
        }
    }

    /// Every way to name the service.
    fn ordinary() -> Self {
        Self {
            lines: Line::ALL.to_vec(),
            services: String::new(),
            network: None,
            main: ASKING.to_owned(),
            tables: vec![("suspicious".to_owned(), SUSPICIOUS.to_owned())],
        }
    }
}

/// A running Postfix.
#[derive(Debug)]
pub(super) struct Postfix {
    directory: TempDir,
    wiring: Wiring,
    listeners: Vec<(Line, SocketAddr)>,
    guard: Option<Child>,
}

impl Postfix {
    /// Starts a Postfix with every way to name the service; returns when it listens.
    pub(super) fn start() -> Self {
        Self::wired(Wiring::ordinary())
    }

    /// Starts a Postfix that is told this; returns when it listens.
    pub(super) fn wired(wiring: Wiring) -> Self {
        require_root("only root can start Postfix");
        require_program(POSTFIX, "postfix");
        let directory = tempfile::Builder::new()
            .prefix("stargrey-postfix-")
            .tempdir()
            .unwrap();
        let mut postfix = Self {
            directory,
            wiring,
            listeners: Vec::new(),
            guard: None,
        };
        postfix.make_directories();
        // Held until Postfix is about to take them.
        let lines = &postfix.wiring.lines;
        let reserved: Vec<TcpListener> = lines.iter().map(|_| reserve()).collect();
        let addresses = reserved.iter().map(|held| held.local_addr().unwrap());
        postfix.listeners = lines.iter().copied().zip(addresses).collect();
        postfix.write_configuration();
        drop(reserved);
        postfix.run();
        postfix
    }

    /// Where the documented line of main.cf looks for the policy service.
    pub(super) fn policy_socket(&self) -> PathBuf {
        self.path().join("queue/stargrey/policy")
    }

    /// Where the documented line of main.cf looks for the milter.
    pub(super) fn milter_socket(&self) -> PathBuf {
        self.path().join("queue/stargrey/milter")
    }

    /// Where a table lies.
    pub(super) fn table(&self, name: &str) -> PathBuf {
        self.path().join("etc").join(name)
    }

    /// Where the smtpd with this line listens.
    pub(super) fn address(&self, line: Line) -> SocketAddr {
        let (_, address) = self
            .listeners
            .iter()
            .find(|(of, _)| *of == line)
            .expect("every line has a listener");
        *address
    }

    /// A session of this client, in whatever network Postfix is.
    pub(super) fn session(&self, line: Line, peer: Peer) -> Session {
        if self.wiring.network.is_some() {
            return Session::introduced(self.connect("127.0.0.1"), peer, NOBODY);
        }
        Session::open(self.address(line), peer)
    }

    /// A connection of the client with this address, in the network that this Postfix has to itself.
    pub(super) fn connect(&self, from: &str) -> TcpStream {
        let connected = self.network().connect(from.parse().unwrap(), SMTP);
        connected.expect("Postfix accepts")
    }

    /// The network that this Postfix has to itself.
    pub(super) fn network(&self) -> &Network {
        let network = self.wiring.network.as_ref();
        network.expect("this Postfix has a network of its own")
    }

    /// Everything that Postfix has logged so far.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.path().join("maillog")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a message in a mailbox and takes it out.
    pub(super) fn message(&self, mailbox: &str) -> String {
        let new = self.path().join("mail").join(mailbox).join("new");
        let path = eventually(&format!("a message for {mailbox}"), || {
            let entry = fs::read_dir(&new).ok()?.next()?;
            Some(entry.unwrap().path())
        });
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        text
    }

    /// How many messages are left in a mailbox once Postfix has nothing to deliver any more.
    pub(super) fn left(&self, mailbox: &str) -> usize {
        let waiting = ["maildrop", "incoming", "active", "deferred"];
        eventually("an empty queue", || {
            let files = waiting.iter().map(|queue| self.queued(queue));
            (files.sum::<usize>() == 0).then_some(())
        });
        let new = self.path().join("mail").join(mailbox).join("new");
        fs::read_dir(new).map_or(0, Iterator::count)
    }

    /// How many files are in a queue, hashed or not.
    pub(super) fn queued(&self, queue: &str) -> usize {
        files_below(&self.path().join("queue").join(queue))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn make_directories(&self) {
        // Whatever the umask: Postfix's own users must get through.
        for name in ["", "etc", "queue", "queue/stargrey", "data", "mail"] {
            let path = self.path().join(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        let owner = User::from_name("postfix")
            .unwrap()
            .expect("Postfix's package makes the user postfix");
        let (uid, gid) = (owner.uid.as_raw(), owner.gid.as_raw());
        chown(self.path().join("data"), Some(uid), Some(gid)).unwrap();
        let nobody = Some(MAILBOX_OWNER);
        chown(self.path().join("mail"), nobody, nobody).unwrap();
    }

    fn write_configuration(&self) {
        let mut mailboxes = String::new();
        for name in MAILBOXES {
            write!(mailboxes, " {{ {name}@example.org = {name}/ }}").unwrap();
        }
        let mut main = MAIN_CF
            .replace("DIRECTORY", self.path().to_str().unwrap())
            .replace("MAILBOXES", &mailboxes)
            .replace("OWNER", &MAILBOX_OWNER.to_string());
        main.push_str(&self.wiring.main);
        let mut master = String::new();
        for (line, address) in &self.listeners {
            writeln!(master, "{address} inet n - {}", line.service()).unwrap();
        }
        master.push_str(&self.wiring.services);
        master.push_str(MASTER_CF);
        let tables = self.wiring.tables.iter();
        let tables = tables.map(|(name, text)| (name.as_str(), text.as_str()));
        let own = [("main.cf", main.as_str()), ("master.cf", &master)];
        for (name, text) in own.into_iter().chain(tables) {
            let path = self.table(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }
    }

    /// Starts a shell that runs this Postfix until the shell's standard input ends, and waits for
    /// its word that Postfix listens. `postfix stop` itself kills, after five seconds, the process
    /// group whose leader the pid file names.
    fn run(&mut self) {
        let said = self.path().join("start");
        let shell = "/bin/sh";
        let network = self.wiring.network.as_ref();
        let mut guard = network.map_or_else(|| Command::new(shell), |it| it.command(shell));
        let mut guard = guard
            .args(["-c", GUARD, "guard"])
            .args([&said, Path::new(POSTFIX), &self.path().join("etc")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut status = String::new();
        let answer = guard.stdout.take().expect("standard output is a pipe");
        self.guard = Some(guard);
        BufReader::new(answer).read_line(&mut status).unwrap();
        assert!(
            status == "0\n",
            "Postfix does not start: {status}{}\n{}",
            fs::read_to_string(said).unwrap_or_default(),
            self.log()
        );
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let stopped = guard.wait();
            if !thread::panicking() {
                let status = stopped.expect("the guard was started by this process");
                assert!(status.success(), "Postfix does not stop: {status}");
            }
        }
    }
}

/// Tries again and again, for at most twenty seconds.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TRIES {
        if let Some(found) = attempt() {
            return found;
        }
        thread::park_timeout(PAUSE);
    }
    panic!("{what}: not within {:?}", PAUSE * TRIES);
}

/// How many files are in a directory and those below it; none where there is no directory.
fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        _ => 1,
    });
    files.sum()
}

/// A free port of an address that hardly anybody else uses.
fn reserve() -> TcpListener {
    let [.., high, low] = process::id().to_be_bytes();
    let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
    let address = Ipv4Addr::new(127, 100 + instance % 100, high, low);
    TcpListener::bind((address, 0)).expect("a loopback address has a free port")
}

/// What the shell does: file for messages, control program, configuration directory.
const GUARD: &str = r#"
"$2" -c "$3" start </dev/null >"$1" 2>&1
status=$?
trap "" PIPE
echo $status
read -r _
exec "$2" -c "$3" stop
"#;

const MAIN_CF: &str = "\
compatibility_level = 2
queue_directory = DIRECTORY/queue
data_directory = DIRECTORY/data
maillog_file = DIRECTORY/maillog
maillog_file_prefixes = DIRECTORY
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_protocols = all
in_flow_delay = 0
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{ MAILBOXES }
virtual_mailbox_base = DIRECTORY/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:OWNER
virtual_gid_maps = static:OWNER
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_error_sleep_time = 0
smtpd_delay_reject = yes
smtpd_relay_restrictions =
";

/// The lines of main.cf that name the policy service.
const ASKING: &str = "\
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service { unix:stargrey/policy, timeout=10s, default_action=DUNNO }
smtpd_restriction_classes = check_greylist
check_greylist = check_policy_service unix:stargrey/policy
";

const MASTER_CF: &str = "\
cleanup unix n - n - 0 cleanup
pickup unix n - n 60 1 pickup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
";

const SUSPICIOUS: &str = "\
/^unknown$/ check_greylist
/^[^.]*[0-9][^0-9.]+[0-9]/ check_greylist
";
