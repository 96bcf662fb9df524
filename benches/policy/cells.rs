//! The cells of the table: one kind of work, so many connections, every server in turn.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::bare::Bare;
use crate::load::{self, LoadPlan, Sample, Until};
use crate::server::{Place, Server, Start};
use crate::spread::Spread;
use crate::work::{self, PASS, Work};

/// How often each cell is measured, and how long each time.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) spell: Duration,
}

/// A server and the works that it is asked to do.
pub(crate) struct Peer {
    pub(crate) server: Server,
    works: Vec<Arc<Work>>,
}

/// Everything that is measured.
pub(crate) struct Field {
    null: Peer,
    /// `--sync=data`; with S25R; `--sync=full`.
    pub(crate) stargrey: Peer,
    s25r: Peer,
    full: Peer,
    /// With a DNS list, and a name server that never replies.
    silent: Peer,
    _name_server: UdpSocket,
    /// With empty lists; with the thousand names.
    pub(crate) postgrey: Option<Peer>,
    listing: Option<Peer>,
    bare: Bare,
}

/// A row of the table.
pub(crate) struct Cell {
    pub(crate) work: &'static str,
    pub(crate) connections: usize,
    rounds: Vec<Round>,
}

/// One spell of each server, next to each other.
struct Round {
    null: Sample,
    stargrey: Sample,
    postgrey: Option<Sample>,
    /// Records a second of bare LMDB, and the size of the batches.
    bare: Option<(f64, f64)>,
}

impl Peer {
    /// A server that has seen what the works build upon.
    pub(crate) async fn prepared(server: Server) -> io::Result<Self> {
        Self::prepared_by(server, work::preparations()).await
    }

    /// A server that has seen these works.
    pub(crate) async fn prepared_by(server: Server, works: Vec<Arc<Work>>) -> io::Result<Self> {
        for work in works {
            let plan = LoadPlan {
                work,
                always: None,
                connections: 64,
                rest: Duration::ZERO,
            };
            load::run(&server, &plan, &Until::Through).await?;
        }
        Ok(Self::new(server))
    }

    pub(crate) fn new(server: Server) -> Self {
        let works = work::all();
        Self { server, works }
    }

    /// The work of this name.
    pub(crate) fn work(&self, name: &str) -> io::Result<&Arc<Work>> {
        let found = self.works.iter().find(|work| work.name == name);
        found.ok_or_else(|| io::Error::other(format!("no work is called {name}")))
    }

    /// How many triplets it has been told of.
    pub(crate) fn triplets(&self) -> usize {
        let reached = self.works.iter().map(|work| work.written());
        reached.fold(work::PREPARED, usize::saturating_add)
    }

    /// One spell of work.
    pub(crate) async fn spell(
        &self,
        name: &str,
        connections: usize,
        length: Duration,
    ) -> io::Result<Sample> {
        let plan = self.plan(name, connections)?;
        load::run(&self.server, &plan, &Until::Time(length)).await
    }

    /// So many connections that do this work without a rest.
    pub(crate) fn plan(&self, name: &str, connections: usize) -> io::Result<LoadPlan> {
        let is_null = self.server.database.as_os_str().is_empty();
        Ok(LoadPlan {
            work: Arc::clone(self.work(name)?),
            always: is_null.then_some(PASS),
            connections,
            rest: Duration::ZERO,
        })
    }
}

impl Field {
    /// Starts and prepares all servers.
    pub(crate) async fn new(place: &Place) -> io::Result<Self> {
        let name_server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let resolver = format!("--resolver={}", name_server.local_addr()?);
        // Not all that is prepared is in a list: it is greylisted nevertheless.
        let silent = [
            "--dnsbl-sites=list.example",
            &resolver,
            "--unmatched=greylist",
        ];
        let stargreyd = |name, more: &[&str]| {
            let start = Start {
                name,
                options: &[&["--policy-test-time"], more].concat(),
                ..Start::default()
            };
            Server::stargreyd(place, &start)
        };
        let postgrey = match Server::postgrey(place, "postgrey", "none")? {
            Some(server) => Some(Peer::prepared(server).await?),
            None => None,
        };
        let bare = Bare::open(&place.directory("bare")?);
        Ok(Self {
            null: Peer::new(Server::null(place, "null", &[])?),
            stargrey: Peer::prepared(stargreyd("data", &["--sync=data"])?).await?,
            s25r: Peer::new(stargreyd("s25r", &["--s25r"])?),
            full: Peer::new(stargreyd("full", &["--sync=full"])?),
            silent: Peer::prepared(stargreyd("silent", &silent)?).await?,
            _name_server: name_server,
            postgrey,
            listing: Server::postgrey(place, "listing", "names")?.map(Peer::new),
            bare: bare.map_err(|error| io::Error::other(error.to_string()))?,
        })
    }

    /// Measures a cell.
    pub(crate) async fn cell(
        &self,
        work: &'static str,
        connections: usize,
        pace: Pace,
    ) -> io::Result<Cell> {
        let (name, stargrey, postgrey) = match work {
            "new, sync=full" => ("new", &self.full, &self.postgrey),
            "known, silent DNS" => ("known", &self.silent, &None),
            "s25r miss" => (work, &self.s25r, &None),
            "listed by name" => (work, &self.stargrey, &self.listing),
            "listed by network" => (work, &self.stargrey, &None),
            _ => (work, &self.stargrey, &self.postgrey),
        };
        let mut rounds = Vec::new();
        for _ in 0..pace.rounds {
            let null = self.null.spell(name, connections, pace.spell).await?;
            let begun = (stargrey.work(name)?.reached(), stargrey.server.commits()?);
            let sample = stargrey.spell(name, connections, pace.spell).await?;
            let written = stargrey.work(name)?.reached() - begun.0;
            let commits = stargrey.server.commits()? - begun.1;
            let postgrey = match postgrey {
                Some(peer) => Some(peer.spell(name, connections, pace.spell).await?),
                None => None,
            };
            let bare = if work == "new" {
                let commits = usize::try_from(commits).map_err(io::Error::other)?;
                let batch = (written / commits.max(1)).max(1);
                let rate = self.bare.write(begun.0..begun.0 + written, batch);
                let rate = rate.map_err(|error| io::Error::other(error.to_string()))?;
                let batch = u32::try_from(batch).map_err(io::Error::other)?;
                Some((rate, f64::from(batch)))
            } else {
                None
            };
            rounds.push(Round {
                null,
                stargrey: sample,
                postgrey,
                bare,
            });
        }
        Ok(Cell {
            work,
            connections,
            rounds,
        })
    }
}

impl Cell {
    /// Stargreyd's figures.
    pub(crate) fn own(&self, get: fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| get(&round.stargrey)))
    }

    /// The null server's.
    pub(crate) fn null(&self, get: fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| get(&round.null)))
    }

    /// The ratios to the null server beside it.
    pub(crate) fn of_null(&self, get: fn(&Sample) -> f64) -> Option<Spread> {
        let rounds = self.rounds.iter();
        Spread::of(rounds.map(|round| get(&round.stargrey) / get(&round.null)))
    }

    /// The ratios to Postgrey.
    pub(crate) fn of_postgrey(&self, get: fn(&Sample) -> f64) -> Option<Spread> {
        let rounds = self.rounds.iter();
        Spread::of(rounds.filter_map(|round| Some(get(&round.stargrey) / get(&round.postgrey?))))
    }

    /// The ratios to bare LMDB.
    pub(crate) fn of_bare(&self) -> Option<Spread> {
        let rounds = self.rounds.iter();
        Spread::of(rounds.filter_map(|round| Some(round.stargrey.rate / round.bare?.0)))
    }

    /// Records in a commit.
    pub(crate) fn batch(&self) -> Option<f64> {
        let rounds = self.rounds.iter();
        Spread::of(rounds.filter_map(|round| Some(round.bare?.1))).map(|spread| spread.median)
    }

    /// How busy the load generator was: with null, with stargreyd.
    pub(crate) fn busy(&self) -> (f64, f64) {
        let most = |get: fn(&Round) -> f64| self.rounds.iter().map(get).fold(0.0, f64::max);
        (
            most(|round| round.null.busy),
            most(|round| round.stargrey.busy),
        )
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    Spread::of(values).map_or(f64::NAN, |spread| spread.median)
}
