//! The null server: tokio's usual runtime with a thread for each processor, which reads up to the empty line and
//! replies `DUNNO` to everything, after a delay if it is given one. If it is given a record, it sends it to the journal
//! with each reply.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::{Level, Record};
use sd_notify::NotifyState;
use systemd_journal_logger::JournalLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The argument that makes this program the null server.
pub(crate) const NULL: &str = "--null-server";

/// The record for the journal.
struct Telling {
    journal: JournalLog,
    line: String,
    fields: Vec<(String, String)>,
}

impl Telling {
    /// The same names and numbers that stargreyd's records have.
    fn new(line: &str, fields: &[&str]) -> io::Result<Self> {
        let fields = fields.iter().filter_map(|field| field.split_once('='));
        Ok(Self {
            journal: JournalLog::empty()?
                .with_syslog_identifier("stargrey".to_owned())
                .add_extra_field("SYSLOG_FACILITY", "2"),
            line: line.to_owned(),
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    fn tell(&self) -> io::Result<()> {
        self.journal.journal_send(
            &Record::builder()
                .level(Level::Info)
                .target("stargrey::decision")
                .key_values(&self.fields.as_slice())
                .args(format_args!("{}", self.line))
                .build(),
        )
    }
}

/// Runs the null server. The delay is in milliseconds. The record is the line and its fields, each with its name and
/// value.
pub(crate) fn be_null(socket: &Path, delay: &str, record: &[&str]) -> io::Result<()> {
    let delay = Duration::from_millis(delay.parse().map_err(io::Error::other)?);
    let telling = match record {
        [line, fields @ ..] => Some(Arc::new(Telling::new(line, fields)?)),
        [] => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        sd_notify::notify(&[NotifyState::Ready])?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer_blindly(stream, delay, telling.clone()));
        }
    })
}

/// Replies to everything that ends with an empty line.
async fn answer_blindly(
    mut stream: UnixStream,
    delay: Duration,
    telling: Option<Arc<Telling>>,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    while stream.read_buf(&mut buffer).await? > 0 {
        if buffer.ends_with(b"\n\n") {
            buffer.clear();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            stream.write_all(b"action=DUNNO\n\n").await?;
            if let Some(telling) = &telling {
                telling.tell()?;
            }
        }
    }
    Ok(())
}
