//! Sockets: bound, inherited, refused, removed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::support::{Client, Daemon, rcpt};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn is_answered(mut client: Client) -> bool {
    let request = rcpt("mx.example", "192.0.2.7", "a@example.org", "b@example.net");
    client.ask(&request).starts_with("DEFER_IF_PERMIT")
}

#[test]
fn unix_and_tcp_add_up_and_a_bare_port_is_localhost_on_both_families() {
    let (bare, v6) = (free_port(), free_port());
    let directory = tempfile::tempdir().unwrap();
    let second = directory.path().join("second");
    let daemon = Daemon::start(&[
        format!("--unix={}", second.display()),
        format!("--inet={bare}"),
        format!("--inet=[::1]:{v6}"),
        "--socketmode=0640".to_owned(),
        "--listen-queue-size=65535".to_owned(),
    ]);
    assert!(is_answered(daemon.connect()));
    assert!(is_answered(Client::unix(&second).unwrap()));
    for address in [
        format!("127.0.0.1:{bare}"),
        format!("[::1]:{bare}"),
        format!("[::1]:{v6}"),
    ] {
        assert!(is_answered(Client::tcp(&address).unwrap()), "{address}");
    }
    let mode = fs::metadata(&second).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_stale_socket_is_replaced_and_its_file_is_gone_at_the_end() {
    let mut daemon = Daemon::prepare();
    drop(UnixListener::bind(daemon.socket()).unwrap());
    daemon.run::<&str>(&[]);
    assert!(is_answered(daemon.connect()));
    assert!(daemon.stop().success());
    assert!(!daemon.socket().exists());
}

#[test]
fn a_live_socket_is_refused_with_the_code_for_it() {
    let daemon = Daemon::prepare();
    let _live = UnixListener::bind(daemon.socket()).unwrap();
    let status = daemon.command().status().unwrap();
    assert_eq!(status.code(), Some(69));
    assert!(daemon.log().contains("another server answers there"));
    assert!(daemon.socket().exists());
}

#[test]
fn a_second_daemon_on_the_same_database_is_refused() {
    let daemon = Daemon::start::<&str>(&[]);
    let second = daemon.path().join("second");
    let status = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
        .arg(format!("--unix={}", second.display()))
        .arg(format!("--dbdir={}", daemon.path().join("db").display()))
        .args(["--user=root", "--group=root"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(75));
    assert!(!second.exists(), "the lock comes before the socket");
    assert!(is_answered(daemon.connect()));
}

#[test]
fn sockets_that_were_handed_over_are_served_and_left_in_place() {
    let daemon = Daemon::prepare();
    let handed = daemon.path().join("handed");
    let port = free_port();
    let plain = daemon.command();
    let mut activate = Command::new("systemd-socket-activate")
        .arg(format!("--listen={}", handed.display()))
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--listen=[::1]:{port}"))
        .args(plain.get_program().to_str())
        .args(plain.get_args())
        .arg(format!("--inet=127.0.0.1:{port}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-socket-activate is there (package systemd)");
    let connected = std::iter::repeat_with(|| Client::unix(&handed))
        .take(1_000_000)
        .inspect(|_| std::thread::yield_now())
        .find_map(Result::ok);
    assert!(is_answered(connected.expect("the socket appears")));
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert!(is_answered(Client::tcp(&address).unwrap()), "{address}");
    }
    assert!(is_answered(daemon.connect()), "its own socket as well");
    let pid = activate.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(killed.success());
    activate.wait().unwrap();
    assert!(handed.exists(), "systemd's socket stays");
    assert!(!daemon.socket().exists(), "its own is removed");
}
