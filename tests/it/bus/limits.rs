//! What a caller can make the daemon keep, whoever it is.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use stargrey::api::{Dict, MANAGER, NAME, PATH, Row};
use tokio::sync::Semaphore;
use zbus::{OwnedVariant, Signature, Type, Variant};

use super::OnBus;
use super::harness::NOBODY;

/// MiB that the daemon may take besides the message itself, which is in buffers of the bus too.
const MOST_TAKEN: u64 = 80;

/// Calls that may wait for polkit.
const MOST_WAITING: u32 = 16;

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

/// The most memory that a process has had, in MiB.
fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() / 1024
}

/// Calls Import; what is told.
async fn import(connection: &zbus::Connection, body: &(impl Serialize + Type)) -> String {
    let call = connection.call_method(Some(NAME), PATH, Some(MANAGER), "Import", body);
    call.await.err().map(|error| error.to_string()).unwrap()
}

/// The arguments are unpacked before it is known who calls, so that root's call shows what anybody's would take.
#[test]
fn rows_without_number_do_not_fill_the_memory() {
    let on = OnBus::start(&[]);
    let (runtime, connection) = on.bus.connect();
    let before = most_memory(on.daemon.pid());
    runtime.block_on(async {
        let refusal = import(&connection, &(Tiny(600_000), true)).await;
        assert!(refusal.contains("at most 1000 rows"), "{refusal}");
        let numbers = vec![7_u8; 8 << 20];
        let nested = vec![Row::new().with("sender", numbers).build()];
        let refusal = import(&connection, &(nested, true)).await;
        assert!(refusal.contains("none of type \"ay\""), "{refusal}");
    });
    let taken = most_memory(on.daemon.pid()) - before;
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

#[test]
fn only_so_many_calls_wait_for_polkit_and_root_is_not_kept_out() {
    let on = OnBus::start(&[]);
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
    let until_asked = |count| {
        runtime.block_on(async {
            let asking = asked.acquire_many(count);
            let asking = tokio::time::timeout(Duration::from_secs(30), asking).await;
            asking.unwrap().unwrap().forget();
        });
    };
    let mut calls: Vec<_> = (0..MOST_WAITING).map(|_| begin(&on, NOBODY)).collect();
    until_asked(MOST_WAITING);
    let call = ["ResetStatistics"];
    let refusal = on.bus.call_as_nobody(MANAGER, &call).refused();
    assert!(refusal.contains("16 calls wait"), "{refusal}");
    calls.push(begin(&on, "0"));
    until_asked(1);
    typed.close();
    for mut call in calls {
        assert!(call.wait().unwrap().success());
    }
    let again = on.bus.call_as_nobody(MANAGER, &call);
    assert_eq!(again.good(), "", "who waited has left the place");
}
