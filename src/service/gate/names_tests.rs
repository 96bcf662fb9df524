//! The gate with clients that are known by their domain: retries from elsewhere, what is noted meanwhile, what an
//! administrator sees and forgets.

use super::tests::rules;
use super::*;
use crate::control::{Control, Filter};
use crate::policy::{CountBy, Domain, Identity, OnStoreFailure, Params, Reason, Triplet};
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;
use crate::store::{Row, RowKey};
use crate::types::Prefix;

/// A gate and what it works on.
struct Site {
    gate: Gate,
    control: Control,
    clock: Arc<ManualClock>,
    worker: JoinHandle<()>,
}

impl Site {
    fn new(
        store: &MemoryStore,
        clock: &Arc<ManualClock>,
        change: impl FnOnce(&mut Params),
    ) -> Self {
        let mut rules = rules(OnStoreFailure::Defer);
        rules.change(|parts| parts.params.by_domain = true);
        rules.change(|parts| change(&mut parts.params));
        let clock = Arc::clone(clock);
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let started = Gate::start(rules, Box::new(store.clone()), as_clock).unwrap();
        Self {
            gate: started.gate,
            control: Control::new(started.internals),
            clock,
            worker: started.worker,
        }
    }

    async fn ask(&self, name: &str, address: &str) -> Reason {
        let decision = self.gate.judge(&attempt(name, address), None).await;
        decision.outcome.reason
    }

    /// What Explain says of the triplet.
    async fn explained(&self, name: &str, address: &str) -> String {
        let explanation = self.control.explain(&attempt(name, address), true).await;
        let last = explanation.steps.last();
        last.map(|step| step.text.clone()).unwrap_or_default()
    }

    async fn rows(&self) -> Vec<Row> {
        let page = self.control.page(Filter::default(), true, Vec::new(), 100);
        page.await.unwrap().rows
    }

    /// Ends it; what was noted is written.
    fn end(self) {
        drop((self.gate, self.control));
        self.worker.join().unwrap();
    }
}

fn attempt<'a>(name: &'a str, address: &'a str) -> Attempt<'a> {
    Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(name.as_bytes()),
        sender: Some(b"a@b"),
        recipient: Some(b"joe@x"),
        ..Attempt::default()
    }
}

fn identity(row: &Row) -> String {
    match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            ..
        } => parts.identity.to_string(),
        Row::Client {
            key: RowKey::Plain(client),
            ..
        } => client.to_string(),
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => panic!("{row:?}"),
    }
}

#[tokio::test]
async fn a_pool_waits_once_and_a_line_of_its_provider_does_not_profit() {
    let (store, clock) = (MemoryStore::new(), ManualClock::at(0));
    let site = Site::new(&store, &clock, |params| params.auto_whitelist = None);
    assert_eq!(site.ask("mx.pool.com", "192.0.2.1").await, Reason::New);
    // Retries that nobody promises anything for, under each name.
    for (name, address) in [
        ("out.pool.com", "198.51.100.1"),
        ("unknown", "192.0.2.9"),
        ("mx.pool.com", "192.0.2.1"),
    ] {
        assert_eq!(site.ask(name, address).await, Reason::EarlyRetry, "{name}");
    }
    // The line of an end user has the domain of its provider.
    assert_eq!(site.ask("ppp7.pool.com", "203.0.113.7").await, Reason::New);
    site.clock.advance(300);
    assert_eq!(
        site.ask("a.pool.com", "198.51.100.77").await,
        Reason::TripletFound
    );
    assert_eq!(
        site.ask("b.pool.com", "203.0.113.200").await,
        Reason::TripletFound
    );
    assert_eq!(
        site.ask("c.pool.com", "100.64.1.1").await,
        Reason::TripletFound
    );
    let rows: Vec<_> = site.rows().await.iter().map(identity).collect();
    assert_eq!(rows, ["203.0.113.0/24", "pool.com"]);
    site.end();

    // Without the option it is not found under the domain.
    let site = Site::new(&store, &clock, |params| params.by_domain = false);
    assert_eq!(site.ask("c.pool.com", "100.64.1.1").await, Reason::New);
}

#[tokio::test]
async fn what_was_noted_of_a_record_is_kept_with_it_under_whatever_name_it_was_found() {
    let (store, clock) = (MemoryStore::new(), ManualClock::at(0));
    let site = Site::new(&store, &clock, |params| params.auto_whitelist = None);
    site.ask("mx.pool.com", "192.0.2.1").await;
    for _ in 0..3 {
        site.ask("out.pool.com", "198.51.100.1").await;
    }
    site.end();
    let site = Site::new(&store, &clock, |params| params.auto_whitelist = None);
    for _ in 0..4 {
        site.ask("unknown", "192.0.2.1").await;
    }
    site.end();
    let site = Site::new(&store, &clock, |params| params.auto_whitelist = None);
    let rows = site.rows().await;
    let [
        Row::Triplet {
            record: Triplet::Waiting { retries, .. },
            ..
        },
    ] = rows.as_slice()
    else {
        panic!("{rows:?}");
    };
    assert_eq!(*retries, 7);
}

#[tokio::test]
async fn a_triplet_is_explained_allowed_and_forgotten_by_each_of_its_names() {
    let network = |text| Some(Identity::from(Prefix::parse(text).unwrap()));
    let domain = Some(Identity::from(Domain::of(b"pool.com").unwrap()));
    for client in [
        network("192.0.2.1"),
        network("192.0.2.0/24"),
        domain.clone(),
    ] {
        let (store, clock) = (MemoryStore::new(), ManualClock::at(0));
        let site = Site::new(&store, &clock, |_| {});
        let text = site.explained("mx.pool.com", "192.0.2.1").await;
        assert!(
            text.ends_with("; looked for by pool.com, 192.0.2.0/24"),
            "{text}"
        );
        site.ask("mx.pool.com", "192.0.2.1").await;
        let text = site.explained("mx.pool.com", "198.51.100.1").await;
        assert!(text.ends_with("; known by pool.com"), "{text}");
        let filter = Filter {
            client: client.clone(),
            sender: Some(b"a@b".to_vec()),
            recipient: Some(b"joe@x".to_vec()),
            ..Filter::default()
        };
        let gone = site.control.forget(filter, false).await.unwrap();
        assert_eq!(gone.triplets, 1, "{client:?}");
        assert_eq!(site.ask("mx.pool.com", "192.0.2.1").await, Reason::New);
        let allowed = site
            .control
            .allow(client.clone().unwrap(), b"a@b", b"joe@x");
        allowed.await.unwrap();
        assert_eq!(
            site.ask("out.pool.com", "198.51.100.1").await,
            Reason::TripletFound
        );
        let of_domain = Filter {
            client: domain.clone(),
            ..Filter::default()
        };
        let gone = site.control.forget(of_domain, false).await.unwrap();
        assert_eq!(gone.triplets, 1, "{client:?}");
        assert_eq!(site.ask("out.pool.com", "100.64.1.1").await, Reason::New);
    }
}

#[tokio::test]
async fn the_records_of_a_name_are_those_of_its_domain_and_no_neighbours() {
    let cases = [
        ("mx.pool.com", true, 1),
        ("out7.pool.com", true, 1),
        ("unknown", true, 0),
        ("ppp7.pool.com", true, 0),
        ("mx.other.com", true, 0),
        ("mx.pool.com", false, 0),
    ];
    for (name, by_domain, want) in cases {
        let (store, clock) = (MemoryStore::new(), ManualClock::at(0));
        let site = Site::new(&store, &clock, |params| params.by_domain = by_domain);
        site.ask("mx.pool.com", "192.0.2.1").await;
        site.ask("unknown", "192.0.2.2").await;
        let filter = Filter {
            client: Some(Prefix::parse("192.0.2.1/32").unwrap().into()),
            name: Some(name.as_bytes().to_vec()),
            ..Filter::default()
        };
        let page = site
            .control
            .page(filter.clone(), false, Vec::new(), 9)
            .await;
        assert_eq!(page.unwrap().rows.len(), want, "{name} {by_domain}");
        let before = site.rows().await.len();
        let gone = site.control.forget(filter, false).await.unwrap();
        assert_eq!(gone.triplets, want as u64, "{name} {by_domain}");
        assert_eq!(site.rows().await.len(), before - want, "{name} {by_domain}");
    }
}

#[tokio::test]
async fn the_auto_whitelist_counts_a_domain_or_the_address_of_a_client_without() {
    let (store, clock) = (MemoryStore::new(), ManualClock::at(0));
    let site = Site::new(&store, &clock, |params| {
        params.by_domain = false;
        params.count_by = CountBy::Domain;
        params.auto_whitelist = Some(1);
    });
    for (name, address) in [
        ("mx.pool.com", "192.0.2.1"),
        ("ppp7.pool.com", "203.0.113.7"),
    ] {
        assert_eq!(site.ask(name, address).await, Reason::New);
    }
    site.clock.advance(300);
    for (name, address) in [
        ("mx.pool.com", "192.0.2.1"),
        ("ppp7.pool.com", "203.0.113.7"),
    ] {
        assert_eq!(site.ask(name, address).await, Reason::TripletFound);
    }
    for (name, address, want) in [
        ("out.pool.com", "198.51.100.1", Reason::ClientAwl),
        ("ppp7.pool.com", "203.0.113.7", Reason::ClientAwl),
        ("ppp8.pool.com", "100.64.1.1", Reason::New),
    ] {
        assert_eq!(site.ask(name, address).await, want, "{name}");
    }
    let rows = site.rows().await;
    let clients = rows.iter().filter(|row| matches!(row, Row::Client { .. }));
    let clients: Vec<_> = clients.map(identity).collect();
    assert_eq!(clients, ["203.0.113.7/32", "pool.com"]);
}
