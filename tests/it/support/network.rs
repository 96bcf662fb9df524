//! A network of a test's own: loopback alone. Its port 53 and the addresses of documentation are free there, so that
//! programs which ask the name server of `/etc/resolv.conf` can be run as they are.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use tempfile::TempDir;

use super::machine::{may_mount, not_proven, require_root};

/// What the shell does in the new namespaces, until its standard input ends. Without the file, the name server is the one
/// that it would name.
const HOLD: &str = r#"
set -e
[ ! -e /etc/resolv.conf ] || mount --bind "$1" /etc/resolv.conf
ip link set lo up
ip route add local 192.0.2.0/24 dev lo
ip route add local 198.51.100.0/24 dev lo
echo ready
read -r _ || exit 0
"#;

/// A network with a `/etc/resolv.conf` that names 127.0.0.1. Clients have the addresses of 192.0.2.0/24 and
/// 198.51.100.0/24. What was started in it may outlive this value, which only keeps it open for more.
#[derive(Debug)]
pub(crate) struct Network {
    holder: Child,
    _directory: TempDir,
}

impl Network {
    /// Makes one; `None`, after a test with this name has said that it has shown nothing, where that cannot be done.
    pub(crate) fn new(test: &str) -> Option<Self> {
        require_root("only root can make a network");
        if !may_mount() {
            not_proven(test, "this machine does not let root mount file systems");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let resolver = directory.path().join("resolv.conf");
        fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "/bin/sh", "-c", HOLD, "hold"])
            .arg(&resolver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = holder.stdout.take().expect("standard output is a pipe");
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "no network");
        Some(Self {
            holder,
            _directory: directory,
        })
    }

    /// A command in this network.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.holder.id());
        command.args([&target, "--net", "--mount", program]);
        command
    }

    /// A connection of the client with this address to a port of the same network.
    pub(crate) fn connect(&self, from: IpAddr, port: u16) -> Result<TcpStream, Errno> {
        connect(self.holder.id(), from, port)
    }

    /// Does this on a thread in the network.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.holder.id(), work).expect("root can enter the network")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// Does this on a thread in the network of a process.
fn inside<T: Send>(process: u32, work: impl FnOnce() -> T + Send) -> Result<T, Errno> {
    let network = File::open(format!("/proc/{process}/ns/net")).unwrap();
    let work = || {
        // Of this thread alone.
        setns(&network, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// A connection of the client with this address to the loopback address of its family, in the network of a process.
pub(crate) fn connect(process: u32, from: IpAddr, port: u16) -> Result<TcpStream, Errno> {
    inside(process, || {
        let (family, to) = match from {
            IpAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::LOCALHOST)),
            IpAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::LOCALHOST.into()),
        };
        let stream = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let address = |ip, port| SockaddrStorage::from(SocketAddr::new(ip, port));
        socket::bind(stream.as_raw_fd(), &address(from, 0))?;
        socket::connect(stream.as_raw_fd(), &address(to, port))?;
        Ok(TcpStream::from(stream))
    })?
}
