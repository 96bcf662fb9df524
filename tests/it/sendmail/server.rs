//! A Sendmail of the test's own: Debian's, in a root directory and a network of its own.
//!
//! It listens on port 25 of both loopback addresses there. Its clients have the addresses of [`HOSTS`], and others of these
//! networks. It delivers to files. What it was started with goes when the value is dropped.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use tempfile::TempDir;

use crate::postfix::eventually;
use crate::support::network;
use crate::support::unpacked::unpacked;

/// Debian's user `mail`, which writes mailboxes.
const MAILBOX_OWNER: u32 = 8;

/// Who has a mailbox at example.org.
const MAILBOXES: [&str; 3] = ["anna", "ben", "carl"];

/// Addresses and names of its clients; addresses of these networks without a name have none.
const HOSTS: &str = "\
127.0.0.1 mx.example.org localhost
::1 mx.example.org
192.0.2.7 mail.stranger.example
2001:db8::7 mail6.stranger.example
192.0.2.8 dsl-12-34-56-78.isp.example
203.0.113.8 dsl-98-76-54-32.isp.example
";

/// The file that an administrator has, as Debian's but for the names; MORE is replaced.
const MC: &str = "\
define(`_USE_ETC_MAIL_')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA-v4, Port=smtp, Addr=127.0.0.1')dnl
DAEMON_OPTIONS(`Family=inet6, Name=MTA-v6, Port=smtp, Addr=::1')dnl
define(`confDOMAIN_NAME', `mx.example.org')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
MORE
MAILER_DEFINITIONS
MAILER(`local')dnl
MAILER(`smtp')dnl
";

/// Where certificates and keys are.
const CERTIFICATES: &str = "etc/mail/certificates";

/// What else is in /etc, beside mailboxes.
const ETC: [(&str, &str); 5] = [
    ("hosts", HOSTS),
    (
        "nsswitch.conf",
        "hosts: files\npasswd: files\ngroup: files\n",
    ),
    (
        "passwd",
        "root:x:0:0::/:/bin/sh\nmail:x:8:8::/:/bin/sh\nsmmta:x:118:118::/:/bin/sh\n",
    ),
    ("group", "root:x:0:\nmail:x:8:\nsmmta:x:118:\n"),
    (
        "mail/service.switch",
        "hosts files\npasswd files\naliases files\n",
    ),
];

/// What the shell does in the new namespaces: Debian's files, directory of the test.
const START: &str = r#"
set -e
mount -t tmpfs tmpfs "$2/layers"
cd "$2/layers"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work" root
cd root
for name in bin sbin lib lib64; do [ -e $name ] || ln -s usr/$name $name; done
mkdir -p mail run var/spool/mqueue var/lib/sendmail/host_status
cp -R "$2/etc" .
mount --bind "$2/mail" mail
mount --bind "$2/run" run
mkdir -p run/sendmail/mta
ln -sfn /run var/run
ip link set lo up
ip route add local 192.0.2.0/24 dev lo
ip route add local 203.0.113.0/24 dev lo
ip address add 2001:db8::7/128 dev lo nodad
ip address add 2001:db8::8/128 dev lo nodad
chroot . /usr/bin/m4 /etc/mail/sendmail.mc >etc/mail/sendmail.cf
chroot . /usr/libexec/sendmail/sendmail -bi >&2
echo started
# Not in place of the shell: a program with the set-group-ID bit would not be killed with its parent.
chroot . /usr/libexec/sendmail/sendmail -bD -X /run/transcript
exit
"#;

/// A running Sendmail.
#[derive(Debug)]
pub(super) struct Sendmail {
    directory: TempDir,
    child: Child,
}

/// A directory for a Sendmail, and Debian's files.
#[derive(Debug)]
pub(super) struct Prepared {
    directory: TempDir,
    debian: PathBuf,
}

impl Prepared {
    /// Makes the directory; `None`, after a test has said that it has shown nothing, where Sendmail cannot be run.
    pub(super) fn new(test: &str) -> Option<Self> {
        let debian = unpacked("sendmail", test)?;
        let directory = tempfile::Builder::new()
            .prefix("stargrey-sendmail-")
            .tempdir()
            .unwrap();
        for name in ["layers", "mail", "run/stargrey-milter", CERTIFICATES] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        Some(Self { directory, debian })
    }

    /// Where a path that Sendmail has below /run really is.
    pub(super) fn run_path(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix("/run/").expect("it is below /run");
        self.directory.path().join("run").join(below)
    }

    /// Where the certificates and keys are that Sendmail has in /etc/mail/certificates.
    pub(super) fn certificates(&self) -> PathBuf {
        self.directory.path().join(CERTIFICATES)
    }

    /// Starts a Sendmail with these lines in sendmail.mc; returns when it listens.
    pub(super) fn start(self, lines: &str) -> Sendmail {
        let path = self.directory.path();
        let etc = path.join("etc");
        for (name, text) in ETC {
            fs::write(etc.join(name), text).unwrap();
        }
        let mut aliases = String::from("postmaster: root\n");
        for name in MAILBOXES {
            writeln!(aliases, "{name}: /mail/{name}").unwrap();
            let mailbox = path.join("mail").join(name);
            File::create(&mailbox).unwrap();
            chown(mailbox, Some(MAILBOX_OWNER), Some(MAILBOX_OWNER)).unwrap();
        }
        fs::write(etc.join("mail/aliases"), aliases).unwrap();
        fs::write(etc.join("mail/local-host-names"), "example.org\n").unwrap();
        fs::write(etc.join("mail/sendmail.mc"), MC.replace("MORE", lines)).unwrap();
        let log = File::create(path.join("log")).unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
            .args(["/bin/sh", "-c", START, "start"])
            .args([&self.debian, path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let said = child.stdout.take().expect("standard output is a pipe");
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).unwrap();
        let sendmail = Sendmail {
            directory: self.directory,
            child,
        };
        assert_eq!(line, "started\n", "{}", sendmail.log());
        eventually("Sendmail listens", || {
            sendmail.try_connect(Ipv4Addr::LOCALHOST.into()).ok()
        });
        sendmail
    }
}

impl Sendmail {
    /// A connection of the client with this address.
    pub(super) fn connect(&self, from: IpAddr) -> TcpStream {
        self.try_connect(from).expect("Sendmail accepts")
    }

    fn try_connect(&self, from: IpAddr) -> Result<TcpStream, Errno> {
        network::connect(self.child.id(), from, 25)
    }

    /// A command whose network is that of this Sendmail.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let network = format!("--net=/proc/{}/ns/net", self.child.id());
        command.args([&network, program]);
        command
    }

    /// Where the certificates are.
    pub(super) fn certificates(&self) -> PathBuf {
        self.path().join(CERTIFICATES)
    }

    /// Waits for a message in a mailbox and takes it out.
    pub(super) fn message(&self, mailbox: &str) -> String {
        let path = self.path().join("mail").join(mailbox);
        let text = eventually(&format!("a message for {mailbox}"), || {
            let text = fs::read_to_string(&path).unwrap();
            // The empty line is behind it.
            text.ends_with("\n\n").then_some(text)
        });
        File::create(path).unwrap();
        text
    }

    /// What it has said and heard.
    pub(super) fn log(&self) -> String {
        let [errors, transcript] = ["log", "run/transcript"].map(|name| {
            let bytes = fs::read(self.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        errors + &transcript
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
