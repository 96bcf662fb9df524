//! The load: connections that ask, wait and ask again, all on one thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::server::{self, Server};
use crate::work::Work;

/// When to stop asking.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this moment.
    Time(Instant),
    /// When each request of the work was made once.
    Through,
}

/// What one spell of load yields.
pub(crate) struct Sample {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Half the answers came within so many microseconds.
    pub(crate) p50: f64,
    /// All but one in a hundred did.
    pub(crate) p99: f64,
    /// Microseconds of the server's CPU time for a request.
    pub(crate) cpu: f64,
    /// Which part of the time this process was working.
    pub(crate) busy: f64,
}

/// Has the server work. Each connection has had one answer when the measuring begins.
pub(crate) async fn run(
    server: &Server,
    work: &Arc<Work>,
    answer: &'static str,
    connections: usize,
    until: Until,
) -> io::Result<Sample> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection {
            stream: UnixStream::connect(&server.socket).await?,
            request: work.blank(),
            work: Arc::clone(work),
            answer,
        };
        if let Some(number) = work.next(true) {
            connection.ask(number).await?;
        }
        open.push(connection);
    }
    let (cpu, own) = (server.cpu()?, server::cpu_of("self")?);
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for connection in open {
        asking.spawn(connection.keep_asking(until));
    }
    let mut waits = Vec::new();
    while let Some(ended) = asking.join_next().await {
        waits.append(&mut ended??);
    }
    let elapsed = start.elapsed();
    let cpu = server.cpu()?.saturating_sub(cpu);
    let own = server::cpu_of("self")?.saturating_sub(own);
    waits.sort_unstable();
    let count = f64::from(u32::try_from(waits.len()).map_err(io::Error::other)?);
    let wait_at = |percent: usize| {
        let wait = waits.get(waits.len() * percent / 100);
        micros(wait.copied().unwrap_or_default())
    };
    Ok(Sample {
        rate: count / elapsed.as_secs_f64(),
        p50: wait_at(50),
        p99: wait_at(99),
        cpu: micros(cpu) / count,
        busy: own.as_secs_f64() / elapsed.as_secs_f64(),
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// One smtpd.
struct Connection {
    stream: UnixStream,
    request: Vec<u8>,
    work: Arc<Work>,
    answer: &'static str,
}

impl Connection {
    /// Asks until it is time to stop, and returns how long each answer took.
    async fn keep_asking(mut self, until: Until) -> io::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut before = Instant::now();
        while let Some(number) = match until {
            Until::Time(end) if before >= end => None,
            Until::Time(_) => self.work.next(true),
            Until::Through => self.work.next(false),
        } {
            self.ask(number).await?;
            let after = Instant::now();
            waits.push(after - before);
            before = after;
        }
        Ok(waits)
    }

    /// Asks once; another answer than the right one is an error.
    async fn ask(&mut self, number: usize) -> io::Result<()> {
        self.work.fill(&mut self.request, number);
        self.stream.write_all(&self.request).await?;
        let mut buffer = [0; 512];
        let mut got = 0;
        loop {
            let room = buffer.get_mut(got..).unwrap_or_default();
            let read = self.stream.read(room).await?;
            got += read;
            let answer = buffer.get(..got).unwrap_or_default();
            if answer.ends_with(b"\n\n") {
                return self.check(answer);
            }
            if read == 0 {
                return Err(self.complaint("no answer"));
            }
        }
    }

    fn check(&self, answer: &[u8]) -> io::Result<()> {
        let action = answer.strip_prefix(b"action=").unwrap_or_default();
        match action.strip_prefix(self.answer.as_bytes()) {
            Some([b' ' | b'\n', ..]) => Ok(()),
            Some(_) | None => Err(self.complaint(&String::from_utf8_lossy(answer))),
        }
    }

    fn complaint(&self, got: &str) -> io::Error {
        io::Error::other(format!(
            "{} was the right answer, not {got:?}, to {:?}",
            self.answer,
            String::from_utf8_lossy(&self.request)
        ))
    }
}
