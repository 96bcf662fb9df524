//! Ways to the server of shared records: TLS, with certificates that are made here, and sentinels with a failover.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stargrey::ctl::verbs;
use stargrey::service::clock::monotonic;
use tempfile::TempDir;

use crate::shared_records::{
    GREYLISTED, Redis, Site, free_port, is_sharing, last_state, options, page_lines, wait_for,
};
use crate::support::{Daemon, rcpt, remark};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed (make check-deps)");
    assert!(output.status.success(), "{arguments}: {output:?}");
}

/// Makes an authority, and a certificate of it for 127.0.0.1.
fn make_certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        directory,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
    );
    openssl(
        directory,
        &format!("req {key} -keyout server.key -out server.csr -subj /CN=redis"),
    );
    fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
}

/// A server with TLS, its port, and its authority as an option of a host.
fn server_with_tls() -> (Redis, u16, String) {
    let port = free_port();
    let redis = Redis::with(&|directory| {
        make_certificates(directory);
        let options = format!(
            "--tls-port {port} --tls-cert-file server.pem --tls-key-file server.key \
             --tls-ca-cert-file ca.pem --tls-auth-clients no"
        );
        options.split_whitespace().map(str::to_owned).collect()
    });
    let ca = redis.directory.path().join("ca.pem");
    let ca = format!("--shared-ca={}", ca.display());
    (redis, port, ca)
}

#[test]
fn a_server_with_tls_is_used_if_its_certificate_is_of_the_authority_and_not_otherwise() {
    let (redis, port, ca) = server_with_tls();
    let url = format!("rediss://127.0.0.1:{port}/0");
    let site = Site::of(redis, &url, "", &[&ca]);
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
    site.wait_for_keys(4);
    site.clock.advance(300);
    assert!(site.ask(1, "ann@sender.example").starts_with("PREPEND"));

    // Another authority, the system's, a name that the certificate does not have, and a file without a certificate.
    let other = tempfile::tempdir().unwrap();
    make_certificates(other.path());
    let other_ca = format!("--shared-ca={}", other.path().join("ca.pem").display());
    let none = format!("--shared-ca={}", other.path().join("names").display());
    let by_name = url.replace("127.0.0.1", "localhost");
    let refused = "its certificate is refused";
    for (what, url, more, want) in [
        ("another authority", &url, vec![other_ca.as_str()], refused),
        ("the system's", &url, vec![], refused),
        ("another name", &by_name, vec![ca.as_str()], refused),
        (
            "no certificate",
            &url,
            vec![none.as_str()],
            "has no certificate (PEM)",
        ),
    ] {
        let host = Daemon::start(&options(url, &site.secret, &more));
        host.log_until(|log| last_state(log).is_some_and(|line| line.contains(want)));
        let mail = rcpt(
            "mx.sender.example",
            "203.0.113.7",
            "a@b.example",
            "joe@x.example",
        );
        assert!(host.ask(&mail).starts_with(GREYLISTED), "{what}");
    }
}

#[test]
fn with_a_file_of_authorities_those_of_the_system_need_not_be_readable() {
    let (redis, port, ca) = server_with_tls();
    let url = format!("rediss://127.0.0.1:{port}/0");
    let site = Site::of(redis, &url, "", &[&ca]);
    let none = "the system has no certificates of authorities";
    for (more, want) in [
        (
            vec!["--hostname=mx3.example", &ca],
            "records are shared with",
        ),
        (vec!["--hostname=mx4.example"], none),
    ] {
        let clock = site.clock.option();
        let more = [more, vec![clock.as_str()]].concat();
        let mut host = Daemon::prepare();
        host.set_options(&options(&url, &site.secret, &more));
        let mut command = host.command();
        command.env("SSL_CERT_FILE", "/nonexistent");
        command.env("SSL_CERT_DIR", "/nonexistent");
        host.start_command(command);
        host.log_until(|log| last_state(log).is_some_and(|line| line.contains(want)));
    }
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_refused_by_the_check_with_the_name_of_the_option() {
    let directory = tempfile::tempdir().unwrap();
    make_certificates(directory.path());
    let secret = directory.path().join("secret");
    fs::write(&secret, verbs::shared_key().unwrap().text).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let good = fs::read_to_string(directory.path().join("ca.pem")).unwrap();
    let block =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let key = fs::read_to_string(directory.path().join("ca.key")).unwrap();
    for (text, want) in [
        (good.clone(), None),
        (format!("{key}{good}{good}"), None),
        (key, Some("has no certificate (PEM)")),
        (block("AAAA"), Some("certificate 1 is damaged: ")),
        (
            good.clone() + &block("!"),
            Some("certificate 2 is damaged: "),
        ),
        (
            good.replace("-----END", "----END"),
            Some("certificate 1 is damaged: "),
        ),
    ] {
        let ca = directory.path().join("authorities");
        fs::write(&ca, &text).unwrap();
        let more = [
            &format!("--shared-ca={}", ca.display()),
            "--check",
            "--user=root",
            "--group=root",
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args(options("rediss://127.0.0.1/0", &secret, &more))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let code = if want.is_some() { 78 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{text}: {said}");
        let want = want.map(|want| format!("--shared-ca: {}: {want}", ca.display()));
        assert!(said.contains(&want.unwrap_or_default()), "{text}: {said}");
    }
}

/// A sentinel; killed when dropped.
struct Sentinel {
    _directory: TempDir,
    port: u16,
    child: Child,
}

impl Sentinel {
    /// A sentinel of the primary on this port.
    fn of(primary: u16) -> Self {
        let port = free_port();
        Self::with(port, &format!("port {port}\n"), (primary, 2))
    }

    /// A sentinel that is alone, of the primary on this port, by TLS with these certificates.
    fn with_tls(primary: u16, certificates: &Path) -> Self {
        let port = free_port();
        let at = certificates.display();
        let options = format!(
            "port 0\ntls-port {port}\ntls-replication yes\ntls-auth-clients no\n\
             tls-cert-file {at}/server.pem\ntls-key-file {at}/server.key\ntls-ca-cert-file {at}/ca.pem\n"
        );
        Self::with(port, &options, (primary, 1))
    }

    /// A sentinel on a port, with options, a primary and a quorum.
    fn with(port: u16, options: &str, (primary, quorum): (u16, u32)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        // The lines of the manual page, with the addresses of the tests, and less patience.
        let lines = page_lines("sentinel ").join("\n");
        assert_eq!(lines.lines().count(), 4, "the page has them");
        let lines = lines
            .replace("192.0.2.1 6379 2", &format!("127.0.0.1 {primary} {quorum}"))
            .replace("mail 5000", "mail 500");
        let text =
            format!("{options}bind 127.0.0.1\n{lines}\nsentinel failover-timeout mail 3000\n");
        fs::write(&file, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (make check-deps)");
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_for("the sentinel", listens);
        Self {
            _directory: directory,
            port,
            child,
        }
    }

    /// The output of redis-cli.
    fn cli(&self, arguments: &str) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn server_and_sentinel_are_both_reached_by_tls() {
    let (redis, port, ca) = server_with_tls();
    let sentinel = Sentinel::with_tls(port, redis.directory.path());
    let url = format!("rediss+sentinel://127.0.0.1:{}/mail/0", sentinel.port);
    let site = Site::of(redis, &url, "", &[&ca]);
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
    site.wait_for_keys(4);
    site.clock.advance(300);
    assert!(site.ask(1, "ann@sender.example").starts_with("PREPEND"));

    // Neither is reached without TLS, nor with another authority.
    let other = tempfile::tempdir().unwrap();
    make_certificates(other.path());
    let other_ca = format!("--shared-ca={}", other.path().join("ca.pem").display());
    for (url, more, want) in [
        (url.replace("rediss", "redis"), vec![], "no sentinel knows"),
        (url, vec![other_ca.as_str()], "its certificate is refused"),
    ] {
        let host = Daemon::start(&options(&url, &site.secret, &more));
        host.log_until(|log| last_state(log).is_some_and(|line| line.contains(want)));
    }
}

/// A replica of a server, and the sentinels that let it take over.
pub(crate) struct Failover {
    pub(crate) replica: Redis,
    sentinels: Vec<Sentinel>,
}

impl Failover {
    /// The URL of the site.
    pub(crate) fn url(&self) -> String {
        let places = self.sentinels.iter();
        let places = places.map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        let places: Vec<String> = places.collect();
        format!("redis+sentinel://{}/mail/0", places.join(","))
    }
}

/// Starts a replica and three sentinels of a server; returns when they know each other.
pub(crate) fn failover(primary: &Redis) -> Failover {
    let of_primary = primary.port.to_string();
    let replica =
        Redis::with(&|_| vec!["--replicaof".to_owned(), format!("127.0.0.1 {of_primary}")]);
    // Each logs in at the other, as the manual page says.
    for line in page_lines("master") {
        let (option, value) = line.split_once(' ').expect("a value");
        for server in [primary, &replica] {
            server.cli(&["config", "set", option, value]);
        }
    }
    assert_eq!(
        replica.cli(&["config", "get", "masteruser"]),
        "masteruser\nreplica\n"
    );
    wait_for("the replica", || {
        replica
            .cli(&["info", "replication"])
            .contains("master_link_status:up")
    });
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::of(primary.port)).collect();
    wait_for("the sentinels know each other and the replica", || {
        sentinels.iter().all(|sentinel| {
            let known = sentinel.cli("sentinel master mail");
            let value = |name: &str| {
                let mut lines = known.lines().skip_while(|line| *line != name);
                lines.nth(1).map(str::to_owned)
            };
            value("num-other-sentinels").as_deref() == Some("2")
                && value("num-slaves").as_deref() == Some("1")
        })
    });
    Failover { replica, sentinels }
}

/// The users of the replica and the sentinels. Sentinels that are refused go on as the default user.
const OF_SERVERS: [&str; 3] = ["default", "replica", "sentinel"];

/// The output of redis-cli as a user of its own, who may do anything.
pub(crate) fn as_admin(server: &Redis, command: &str) -> String {
    let login = ["--user", "admin", "--pass", "any", "--no-auth-warning"];
    let words: Vec<&str> = command.split(' ').collect();
    server.cli(&[&login[..], &words[..]].concat())
}

/// Lets nobody in but the hosts, which have another user, and [`as_admin`].
pub(crate) fn shut_out(server: &Redis) {
    let admin = "acl setuser admin on nopass ~* &* +@all";
    let words: Vec<&str> = admin.split(' ').collect();
    assert_eq!(server.cli(&words).trim(), "OK");
    for user in OF_SERVERS {
        let off = as_admin(server, &format!("acl setuser {user} off"));
        assert_eq!(off.trim(), "OK");
        as_admin(server, &format!("client kill user {user}"));
    }
}

/// Lets in again whom [`shut_out`] has not.
pub(crate) fn let_in(server: &Redis) {
    for user in OF_SERVERS {
        let on = as_admin(server, &format!("acl setuser {user} on"));
        assert_eq!(on.trim(), "OK");
    }
}

#[test]
fn a_primary_that_takes_no_writes_is_left_when_the_sentinels_have_made_another_one() {
    let primary = Redis::with(&|_| vec!["--min-replicas-to-write".to_owned(), "1".to_owned()]);
    let failover = failover(&primary);
    let url = failover.url();
    let replica = &failover.replica;
    let site = Site::of(
        primary,
        &url,
        "user = stargrey\npassword = CHANGE-THIS\n",
        &[],
    );
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));

    // The replica and the sentinels are cut off from the primary; the hosts are not.
    shut_out(&site.redis);
    let is_primary = || replica.cli(&["role"]).starts_with("master");
    wait_for("the new primary", is_primary);
    let role = as_admin(&site.redis, "role");
    assert!(role.starts_with("master"), "{role}");

    for (host, sender) in ["bob@sender.example", "cid@sender.example"]
        .iter()
        .enumerate()
    {
        assert!(site.ask(host, sender).starts_with(GREYLISTED));
        site.hosts[host].log_until(|log| log.contains("the sentinels name another primary"));
    }
    site.hosts.iter().for_each(is_sharing);
    let records = || -> usize { replica.cli(&["dbsize"]).trim().parse().unwrap() };
    wait_for("all records", || records() >= 6);
    site.clock.advance(300);
    assert!(site.ask(1, "bob@sender.example").starts_with("PREPEND"));
    assert!(site.ask(0, "cid@sender.example").starts_with("PREPEND"));
    assert!(site.ask(1, "ann@sender.example").starts_with("PREPEND"));
}

#[test]
fn after_a_failover_under_load_the_new_primary_has_all_records() {
    let primary = Redis::with(&|_| Vec::new());
    let failover = failover(&primary);
    let url = failover.url();
    let replica = &failover.replica;
    let mut site = Site::of(primary, &url, "", &[]);

    let sender = |n: usize| format!("n{n}x@sender.example");
    let mut attempts = 0;
    let mut longest = Duration::ZERO;
    let mut attempt = |site: &Site| {
        let begun = monotonic();
        let answer = site.ask(0, &sender(attempts));
        longest = longest.max(monotonic().saturating_sub(begun));
        assert!(answer.starts_with(GREYLISTED), "{answer}");
        attempts += 1;
        attempts
    };
    while attempt(&site) < 500 {}
    site.redis.kill();
    let is_primary = || replica.cli(&["role"]).starts_with("master");
    let begun = monotonic();
    while !is_primary() {
        attempt(&site);
        assert!(monotonic().saturating_sub(begun) < Duration::from_secs(30));
    }
    let failover = monotonic().saturating_sub(begun);
    // It may have come back already.
    site.hosts[0].log_until(|log| log.contains("are not shared with"));
    site.hosts.iter().for_each(is_sharing);
    while attempt(&site) % 100 != 0 {}
    let records = || -> usize { replica.cli(&["dbsize"]).trim().parse().unwrap() };
    let at_first = records();
    wait_for("all records", || records() >= attempts + 3);
    site.clock.advance(300);
    let lost = (0..attempts).filter(|n| !site.ask(1, &sender(*n)).starts_with("PREPEND"));
    assert_eq!(lost.count(), 0);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    remark(&format!(
        "failover: a new primary after {failover:.1?}; {attempts} records, {} of them sent after it; \
         the longest request {longest:.0?}",
        (attempts + 3).saturating_sub(at_first)
    ));
}
