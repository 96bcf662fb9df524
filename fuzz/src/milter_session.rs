//! A session of a mail server with the milter, served as the daemon serves it, but without a socket.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use jiff::tz::TimeZone;
use stargrey::config::tables::{self, TableFile};
use stargrey::config::{Diagnostics, greylist_conf};
use stargrey::frontend::serve_milter_stream;
use stargrey::policy::checks::{MessageChecks, Place};
use stargrey::policy::{Lists, Params, Ruleset, Texts};
use stargrey::service::clock::Clock;
use stargrey::service::{Gate, Start};
use stargrey::store::memory::MemoryStore;
use stargrey::types::{Span, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// Rules that keep all of a message, and write what the mail server has said into replies and header fields.
const CONF: &str = "\
sm_macro \"forged\" \"{client_resolve}\" \"FORGED\"
ratelimit \"many\" rcpt 3 / 1m key \"%f\"
racl blacklist sm_macro \"forged\" msg \"%h and %f for %r\"
racl blacklist ratelimit \"many\" code \"550\" ecode \"5.7.1\" msg \"%r\"
racl greylist rcpt /waits/ msg \"%f waits %R\"
racl whitelist rcpt /added/ addheader \"X-Added: %h|%f|%r|%M{i}|%M{j}\"
racl whitelist default
dacl greylist header \"casino\"
dacl blacklist body \"malware\" msg \"%f %r\"
dacl blacklist rcptcount >= 9 msg \"too many\"
dacl whitelist msgsize > 100 addheader \"X-Large: %f|%M{j}\"
";

/// Tables that change the header.
const HEADER_CHECKS: &str = "\
/^X-Drop:/ IGNORE
/^X-Hold:/ HOLD %why
/^X-Old: (.*)$/ REPLACE X-New: $1
/^X-Before: (.*)$/ PREPEND X-Put: $1
/^Subject:.*spam(.*)$/ REJECT 100% $1
";

/// Actions and steps that Postfix offers.
const NEGOTIATION: &[u8] = b"O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

/// Ends a packet in an input that has no lengths.
const END: u8 = 0xff;

/// How long a session may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Threads of the runtime.
const THREAD: &str = "milter-target";

/// Panics in sessions: a runtime catches those of its tasks.
static PANICS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread runs a session.
    static IS_SERVING: Cell<bool> = const { Cell::new(false) };
}

/// A clock that stands still.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn since_boot(&self) -> Span {
        Span::from_seconds(1000)
    }
}

/// A milter session: it ends, it is the same however its bytes are cut, and what is said has nothing in it that ends a
/// reply or a header field early.
///
/// An input that begins with a zero is what the mail server sends. Any other is its packets without their lengths, each
/// ended by a byte 0xff, and after a negotiation: so that changes of the input leave the packets whole.
pub fn milter_session(bytes: &[u8]) {
    watch_panics();
    let before = PANICS.load(Ordering::Relaxed);
    let session = match bytes.first() {
        Some(0) | None => bytes.to_vec(),
        Some(_) => framed(bytes),
    };
    let at_once = usize::from(bytes.last().copied().unwrap_or_default()) + 1;
    let said = serve(&session, 1 << 21);
    assert_eq!(serve(&session, at_once), said);
    assert_eq!(PANICS.load(Ordering::Relaxed), before);
    examine(&said);
}

/// Counts the panics of sessions.
fn watch_panics() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_blocking = std::thread::current().name() == Some(THREAD);
            if is_blocking || IS_SERVING.try_with(Cell::get).unwrap_or(false) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            hook(info);
        }));
    });
}

/// Packets with their lengths.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let packets = bytes.split(|byte| *byte == END);
    let packets = [NEGOTIATION].into_iter().chain(packets);
    let mut session = Vec::new();
    for packet in packets {
        let length = u32::try_from(packet.len()).expect("a short packet");
        session.extend_from_slice(&length.to_be_bytes());
        session.extend_from_slice(packet);
    }
    session
}

/// The rules of all sessions.
fn rules() -> Ruleset {
    let path = Path::new("greylist.conf");
    let (conf, findings) = greylist_conf::parse(path, CONF.as_bytes());
    assert!(findings.errors.is_empty(), "{:?}", findings.errors);
    let purpose = greylist_conf::Purpose {
        has_milter: true,
        ..greylist_conf::Purpose::PLAIN
    };
    let (chain, findings) = greylist_conf::compile(path, &conf, purpose);
    assert!(findings.errors.is_empty(), "{:?}", findings.errors);
    let mut checks = MessageChecks::default();
    let file = TableFile::parse("regexp:checks").expect("a kind");
    let (tables, mut errors) = (&mut checks.header, Diagnostics::default());
    tables::add_check(
        tables,
        Place::Header,
        &file,
        HEADER_CHECKS.as_bytes(),
        &mut errors,
    );
    assert!(errors.errors.is_empty(), "{:?}", errors.errors);
    let lists = Lists {
        chain: chain.expect("no errors"),
        checks,
        ..Lists::default()
    };
    let texts = Texts::new("450", "wait", "X-Greylist: %d", "mx", TimeZone::UTC);
    Ruleset::new(Params::default(), lists, texts.expect("texts"))
}

/// What a new daemon says to these bytes, of which so many at most are read at once.
fn serve(bytes: &[u8], at_once: usize) -> Vec<u8> {
    let store = Box::new(MemoryStore::new());
    let Start { gate, worker, .. } =
        Gate::start(rules(), store, Arc::new(Stopped)).expect("a gate");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .thread_name(THREAD)
        .build();
    IS_SERVING.set(true);
    let said = runtime.expect("a runtime").block_on(async {
        let (server, client) = tokio::io::duplex(at_once);
        let (_shutdown, watched) = watch::channel(false);
        let (mut replies, mut commands) = tokio::io::split(client);
        let mut said = Vec::new();
        let write = async {
            // It may be closed before all is written.
            drop(commands.write_all(bytes).await);
            drop(commands.shutdown().await);
        };
        let session = async {
            let serving = serve_milter_stream(server, gate.clone(), watched);
            let ((), (), read) = tokio::join!(serving, write, replies.read_to_end(&mut said));
            read
        };
        let ended = tokio::time::timeout(PATIENCE, session).await;
        ended.expect("a session that ends").expect("replies");
        said
    });
    IS_SERVING.set(false);
    drop(gate);
    worker.join().expect("the writer thread");
    said
}

/// What a milter may say: whole packets, of the letters of the protocol.
fn examine(mut said: &[u8]) {
    while !said.is_empty() {
        let (length, rest) = said.split_first_chunk().expect("a length");
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length");
        let (packet, rest) = rest.split_at_checked(length).expect("a packet");
        said = rest;
        let (letter, data) = packet.split_first().expect("a letter");
        match letter {
            b'O' => assert!(data.len() >= 12),
            b'c' | b't' | b'r' | b'a' | b'd' | b's' => assert!(data.is_empty()),
            b'y' => reply(data.strip_suffix(b"\0").expect("an end")),
            b'h' => field(data),
            b'i' | b'm' => field(data.get(4..).expect("a number")),
            b'q' => assert!(!text(data).contains(char::is_control)),
            other => panic!("{:?}", char::from(*other)),
        }
    }
}

/// A text that ends with a zero.
fn text(data: &[u8]) -> &str {
    let text = data.strip_suffix(b"\0").expect("an end");
    std::str::from_utf8(text).expect("UTF-8")
}

/// A reply: a code at the beginning of each line, and nothing that formats.
fn reply(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    for line in text.split("\r\n") {
        assert!(line.starts_with(['4', '5']), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.replace("%%", "").contains('%'), "{line:?}");
    }
}

/// A header field: a name, and a value whose lines all belong to it.
fn field(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let (name, value) = (parts.next(), parts.next());
    let (name, value) = name.zip(value).expect("a name and a value");
    assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
    let value = String::from_utf8_lossy(value).replace("\n ", "");
    assert!(
        !value.contains(|c: char| c.is_ascii_control() && c != '\t'),
        "{value:?}"
    );
    assert_eq!((parts.next(), parts.next()), (Some(&b""[..]), None));
}
