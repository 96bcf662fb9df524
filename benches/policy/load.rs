//! The load generator: connections that send a request, wait for the reply and repeat, all on one thread.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::server::{Server, own_cpu};
use crate::work::{Answer, Work};

/// When to stop.
#[derive(Clone)]
pub(crate) enum Until {
    /// After this time.
    Time(Duration),
    /// When each request of the work was made once.
    Through,
    /// When this is said.
    Told(Arc<AtomicBool>),
}

/// The result of one spell of load.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Median latency, in microseconds.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// 99.9th percentile.
    pub(crate) p999: f64,
    /// 99.99th percentile.
    pub(crate) p9999: f64,
    /// Maximum.
    pub(crate) greatest: f64,
    /// Microseconds of the server's CPU time for a request.
    pub(crate) cpu: f64,
    /// The fraction of the time that this process was busy.
    pub(crate) busy: f64,
    /// The number of replies, including those before the measurement.
    pub(crate) answers: usize,
}

/// The plan of a spell of load.
#[derive(Clone)]
pub(crate) struct LoadPlan {
    pub(crate) work: Arc<Work>,
    /// The reply of a server that does not decide; `None`: that of the work.
    pub(crate) always: Option<Answer>,
    pub(crate) connections: usize,
    /// The pause of a connection between a reply and the next request.
    pub(crate) rest: Duration,
}

/// Runs a spell of load. The measurement starts when each connection has got one reply.
pub(crate) async fn run(server: &Server, plan: &LoadPlan, until: &Until) -> io::Result<Sample> {
    let mut first = JoinSet::new();
    for _ in 0..plan.connections {
        let mut connection = Connection::open(&server.socket, plan).await?;
        let until = until.clone();
        first.spawn(async move { connection.ask(&until).await.map(|_| connection) });
    }
    let mut open = Vec::new();
    while let Some(asked) = first.join_next().await {
        open.push(asked??);
    }
    let (cpu, own) = (server.cpu()?, own_cpu());
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for connection in open {
        asking.spawn(connection.keep_asking(start, until.clone()));
    }
    let mut waits = Vec::new();
    while let Some(ended) = asking.join_next().await {
        waits.append(&mut ended??);
    }
    let elapsed = start.elapsed();
    let cpu = server.cpu()?.saturating_sub(cpu);
    let own = own_cpu().saturating_sub(own);
    waits.sort_unstable();
    let count = f64::from(u32::try_from(waits.len()).map_err(io::Error::other)?);
    let wait_at = |part: usize| {
        let wait = waits.get(waits.len() * part / 10_000).or(waits.last());
        micros(wait.copied().unwrap_or_default())
    };
    Ok(Sample {
        rate: count / elapsed.as_secs_f64(),
        p50: wait_at(5000),
        p99: wait_at(9900),
        p999: wait_at(9990),
        p9999: wait_at(9999),
        greatest: wait_at(10_000),
        cpu: micros(cpu) / count,
        busy: own.as_secs_f64() / elapsed.as_secs_f64(),
        answers: waits.len() + plan.connections,
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Connects, when there is room in the server's queue.
pub(crate) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            connected => return connected,
        }
    }
}

/// One smtpd.
struct Connection {
    stream: UnixStream,
    request: Vec<u8>,
    work: Arc<Work>,
    always: Option<Answer>,
    rest: Duration,
}

impl Connection {
    async fn open(socket: &Path, plan: &LoadPlan) -> io::Result<Self> {
        Ok(Self {
            stream: connect(socket).await?,
            request: Vec::new(),
            work: Arc::clone(&plan.work),
            always: plan.always,
            rest: plan.rest,
        })
    }

    /// Sends requests until the end, and returns the latency of each reply.
    async fn keep_asking(mut self, start: Instant, until: Until) -> io::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut before = Instant::now();
        loop {
            let is_over = match &until {
                Until::Time(length) => before - start >= *length,
                Until::Told(told) => told.load(Ordering::Relaxed),
                Until::Through => false,
            };
            if is_over || !self.ask(&until).await? {
                return Ok(waits);
            }
            let after = Instant::now();
            waits.push(after - before);
            before = after;
            if !self.rest.is_zero() {
                tokio::time::sleep(self.rest).await;
                before = Instant::now();
            }
        }
    }

    /// Sends one request, if any is left; an unexpected reply is an error.
    async fn ask(&mut self, until: &Until) -> io::Result<bool> {
        let again = !matches!(until, Until::Through);
        let Some(answer) = self.work.fill(&mut self.request, again) else {
            return Ok(false);
        };
        self.stream.write_all(&self.request).await?;
        let mut buffer = [0; 512];
        let mut got = 0;
        loop {
            let room = buffer.get_mut(got..).unwrap_or_default();
            let read = self.stream.read(room).await?;
            got += read;
            let received = buffer.get(..got).unwrap_or_default();
            if received.ends_with(b"\n\n") {
                self.check(self.always.unwrap_or(answer), received)?;
                return Ok(true);
            }
            if read == 0 {
                return Err(self.complaint(answer, "no answer"));
            }
        }
    }

    fn check(&self, right: Answer, received: &[u8]) -> io::Result<()> {
        let action = received.strip_prefix(b"action=").unwrap_or_default();
        match action.strip_prefix(right.as_bytes()) {
            Some([b' ' | b'\n', ..]) => Ok(()),
            Some(_) | None => Err(self.complaint(right, &String::from_utf8_lossy(received))),
        }
    }

    fn complaint(&self, right: Answer, got: &str) -> io::Error {
        io::Error::other(format!(
            "{right} was the right answer, not {got:?}, to {:?}",
            String::from_utf8_lossy(&self.request)
        ))
    }
}
