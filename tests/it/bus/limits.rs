//! What a caller can make the daemon keep, whoever it is.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use stargrey::api::{Dict, MANAGER, NAME, PATH, Row};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use zbus::{OwnedVariant, Signature, Type, Variant};

use super::OnBus;
use super::harness::NOBODY;

/// MiB that the daemon may take besides the message itself, which is in buffers of the bus too.
const MOST_TAKEN: u64 = 80;

/// MiB that calls of others than root may take, and what of it may stay.
const MOST_OF_OTHERS: u64 = 48;
const MOST_LEFT: u64 = 24;

/// Calls of one user that may wait for polkit.
const MOST_OF_A_USER: u32 = 4;

/// So many rows of one entry, `{"": 7}`; they are never all in the memory of the test.
struct Tiny(usize);

impl Type for Tiny {
    const SIGNATURE: &'static Signature = Vec::<Dict>::SIGNATURE;
}

impl Serialize for Tiny {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = HashMap::from([("", Variant::new(7_u8))]);
        serializer.collect_seq((0..self.0).map(|_| &row))
    }
}

/// What a line of a process's status says about its memory, in MiB: `VmHWM` the most, `VmRSS` what it has.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() / 1024
}

/// Calls Import; what is told.
async fn import(connection: &zbus::Connection, body: &(impl Serialize + Type)) -> String {
    let call = connection.call_method(Some(NAME), PATH, Some(MANAGER), "Import", body);
    call.await.err().map(|error| error.to_string()).unwrap()
}

/// Root's arguments are unpacked without a question, and within bounds all the same.
#[test]
fn rows_without_number_do_not_fill_the_memory() {
    let on = OnBus::start(&[]);
    let (runtime, connection) = on.bus.connect();
    let before = memory(on.daemon.pid(), "VmHWM");
    runtime.block_on(async {
        let refusal = import(&connection, &(Tiny(600_000), true)).await;
        assert!(refusal.contains("at most 1000 rows"), "{refusal}");
        let numbers = vec![7_u8; 8 << 20];
        let nested = vec![Row::new().with("sender", numbers).build()];
        let refusal = import(&connection, &(nested, true)).await;
        assert!(refusal.contains("not of type \"ay\""), "{refusal}");
    });
    let taken = memory(on.daemon.pid(), "VmHWM") - before;
    assert!(taken < MOST_TAKEN, "{taken} MiB");
    on.manager(&["ResetStatistics"]).good();
}

/// A polkit whose administrator has not typed the password yet.
struct Patient {
    asked: Arc<Semaphore>,
    typed: Arc<Semaphore>,
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Patient {
    #[expect(clippy::too_many_arguments, reason = "polkit's")]
    async fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        details: HashMap<String, String>,
        flags: u32,
        cancellation: String,
    ) -> (bool, bool, HashMap<String, String>) {
        drop((subject, action, details, flags, cancellation));
        self.asked.add_permits(1);
        drop(self.typed.acquire().await);
        (true, false, HashMap::new())
    }
}

/// A call that is not waited for.
fn begin(on: &OnBus, uid: &str) -> Child {
    Command::new("setpriv")
        .arg(format!("--reuid={uid}"))
        .args(["--clear-groups", "busctl", "--timeout=60"])
        .arg(format!("--address={}", on.bus.address()))
        .args(["call", NAME, PATH, MANAGER, "ResetStatistics"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A polkit on a bus that says nothing until it is let go.
struct Hanging {
    runtime: Runtime,
    _connection: zbus::Connection,
    asked: Arc<Semaphore>,
    typed: Arc<Semaphore>,
}

impl Hanging {
    fn start(on: &OnBus) -> Self {
        let (runtime, connection) = on.bus.connect();
        let asked = Arc::new(Semaphore::new(0));
        let typed = Arc::new(Semaphore::new(0));
        let polkit = Patient {
            asked: Arc::clone(&asked),
            typed: Arc::clone(&typed),
        };
        runtime.block_on(async {
            let path = "/org/freedesktop/PolicyKit1/Authority";
            connection.object_server().at(path, polkit).await.unwrap();
            let name = "org.freedesktop.PolicyKit1";
            connection.request_name(name).await.unwrap();
        });
        Self {
            runtime,
            _connection: connection,
            asked,
            typed,
        }
    }

    /// Waits until it was asked about so many calls more.
    fn until_asked(&self, count: u32) {
        self.runtime.block_on(async {
            let asking = self.asked.acquire_many(count);
            let asking = tokio::time::timeout(Duration::from_secs(30), asking).await;
            asking.unwrap().unwrap().forget();
        });
    }
}

#[test]
fn only_so_many_calls_wait_for_polkit_and_fewer_of_each_user() {
    let on = OnBus::start(&[]);
    let polkit = Hanging::start(&on);
    let call = ["ResetStatistics"];
    let mut calls = Vec::new();
    for uid in [NOBODY, "1", "2", "3"] {
        calls.extend((0..MOST_OF_A_USER).map(|_| begin(&on, uid)));
        polkit.until_asked(MOST_OF_A_USER);
        if uid == NOBODY {
            let refusal = on.bus.call_as_nobody(MANAGER, &call).refused();
            assert!(refusal.contains("4 calls of user 65534"), "{refusal}");
        }
    }
    let mut one_more = begin(&on, "4");
    assert!(!one_more.wait().unwrap().success(), "16 calls wait already");
    polkit.typed.close();
    for mut call in calls {
        assert!(call.wait().unwrap().success());
    }
    let again = on.bus.call_as_nobody(MANAGER, &call);
    assert_eq!(again.good(), "", "who waited has left the place");
}

#[test]
fn root_is_served_while_polkit_hangs() {
    let on = OnBus::start(&[]);
    let polkit = Hanging::start(&on);
    let call = ["call", NAME, PATH, MANAGER, "ResetStatistics"];
    let soon = ["--timeout=10"];
    assert_eq!(on.bus.busctl(&[&soon[..], &call].concat()).good(), "");
    assert_eq!(polkit.asked.available_permits(), 0, "polkit is not asked");

    // A call that waits holds the object; a write to it must not queue, or what comes later queues behind it.
    let mut waiting = begin(&on, NOBODY);
    polkit.until_asked(1);
    let set = ["set-property", NAME, PATH, MANAGER, "Paused", "b", "true"];
    let refusal = on.bus.busctl_as_nobody(&[&soon[..], &set].concat());
    let refusal = refusal.refused();
    assert!(refusal.contains("property"), "{refusal}");
    assert_eq!(on.bus.busctl(&[&soon[..], &call].concat()).good(), "");
    polkit.typed.close();
    assert!(waiting.wait().unwrap().success());
}

/// A file that stargreyctl sends in one call of 3.6 MB.
fn write_large_rows(file: &Path) {
    let address = |c: &str| format!("{}@example.org", c.repeat(1750));
    let (sender, recipient) = (address("s"), address("r"));
    let mut text = format!("{}\n", stargrey::ctl::import::header());
    for number in 0..1000 {
        let row = serde_json::json!({
            "kind": "triplet", "network": format!("192.0.{}.0/24", number % 256),
            "sender": sender, "recipient": recipient,
            "state": "passed", "first": 1, "passed": 1, "last": 1, "mails": 1,
        });
        text.push_str(&row.to_string());
        text.push('\n');
    }
    text.push_str(&stargrey::ctl::import::trailer(1000).to_string());
    fs::write(file, text).unwrap();
}

/// Calls Import with these rows.
fn begin_import(on: &OnBus, file: &Path) -> Child {
    Command::new("setpriv")
        .arg(format!("--reuid={NOBODY}"))
        .args(["--clear-groups", env!("CARGO_BIN_EXE_stargreyctl")])
        .args(["import", "json"])
        .arg(file)
        .env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_hundred_large_calls_of_a_stranger_take_little_memory() {
    let on = OnBus::start(&[]);
    let polkit = Hanging::start(&on);
    let file = on.daemon.path().join("rows");
    write_large_rows(&file);
    let before = memory(on.daemon.pid(), "VmRSS");
    let waiting: Vec<_> = (0..MOST_OF_A_USER)
        .map(|_| begin_import(&on, &file))
        .collect();
    polkit.until_asked(MOST_OF_A_USER);
    let refused: Vec<_> = (0..100).map(|_| begin_import(&on, &file)).collect();
    for mut call in refused {
        assert!(!call.wait().unwrap().success());
    }
    on.manager(&["ResetStatistics"]).good();
    let most = memory(on.daemon.pid(), "VmHWM") - before;
    for mut call in waiting {
        call.kill().unwrap();
        call.wait().unwrap();
    }
    polkit.typed.close();
    on.manager(&["ResetStatistics"]).good();
    let left = memory(on.daemon.pid(), "VmRSS").saturating_sub(before);
    assert!(most < MOST_OF_OTHERS, "{most} MiB");
    assert!(left < MOST_LEFT, "{left} MiB");
}
