use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::policy::{DnsLists, SpfFinding, SpfQuestion, SpfResult, Thresholds};
use crate::types::{ClientIp, ReplyText};

/// The lookup of a client with this number in a list.
pub(crate) fn listed(number: u32) -> Lookup {
    in_zone("list.example", number)
}

/// The same in the list of this name.
fn in_zone(name: &str, number: u32) -> Lookup {
    Lookup::DnsList(zone(name), client(number))
}

/// The zone of this name.
pub(crate) fn zone(name: &str) -> Zone {
    let lists = DnsLists::parse(&[name], Thresholds::default()).unwrap();
    lists.zones().next().unwrap().clone()
}

/// SPF for a client with this number and this sender.
pub(crate) fn evaluation(number: u32, sender: &str) -> Lookup {
    let question = SpfQuestion::new(client(number), b"", sender.as_bytes());
    Lookup::Spf(question.unwrap())
}

fn client(number: u32) -> ClientIp {
    ClientIp::new(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

/// A resolver that answers when it is let: clients with an even number are listed, and pass SPF for their sender.
#[derive(Clone, Default)]
pub(crate) struct Gated(Arc<Asked>);

struct Asked {
    may_answer: Semaphore,
    times: AtomicUsize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            may_answer: Semaphore::new(0),
            times: AtomicUsize::new(0),
        }
    }
}

impl Gated {
    /// Lets so many lookups have their answer.
    pub(crate) fn answer(&self, lookups: usize) {
        self.0.may_answer.add_permits(lookups);
    }

    /// How many lookups were sent.
    pub(crate) fn times(&self) -> usize {
        self.0.times.load(Ordering::Relaxed)
    }
}

impl Resolver for Gated {
    fn resolve(&self, lookup: &Lookup) -> Resolving {
        let asked = Arc::clone(&self.0);
        asked.times.fetch_add(1, Ordering::Relaxed);
        let lookup = lookup.clone();
        Box::pin(async move {
            asked.may_answer.acquire().await.unwrap().forget();
            let finding = match lookup {
                Lookup::DnsList(_, client) if is_even(client) => {
                    Finding::Addresses(Arc::from([Ipv4Addr::new(127, 0, 0, 2)]))
                }
                Lookup::DnsListText(..) => Finding::Text(ReplyText::new("why".to_owned())),
                Lookup::DnsList(..) => Finding::Absent,
                Lookup::Spf(question) if is_even(question.client()) => {
                    Finding::Spf(SpfFinding::Passed(question.organization().clone()))
                }
                Lookup::Spf(_) => Finding::Spf(SpfFinding::NotPassed(SpfResult::Softfail)),
                Lookup::SenderMx(question, _) => Finding::SenderMx(is_even(question.client())),
                Lookup::Score | Lookup::BodyText(_) => {
                    panic!("it is asked with the message in hand")
                }
            };
            Answer {
                finding,
                lifetime: Duration::from_secs(600),
                is_silent: false,
            }
        })
    }
}

fn is_even(client: ClientIp) -> bool {
    let IpAddr::V4(address) = client.address() else {
        panic!("only IPv4 is asked here");
    };
    address.to_bits() % 2 == 0
}

fn lookups(resolver: &Gated) -> Lookups {
    Lookups::new(resolver.clone(), Duration::from_secs(2))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn addresses() -> Finding {
    Finding::Addresses(Arc::from([Ipv4Addr::new(127, 0, 0, 2)]))
}

/// What is found for the clients with these numbers.
async fn found(lookups: &Lookups, numbers: &[u32], deadline: Instant) -> Vec<Finding> {
    let asked: Vec<Lookup> = numbers.iter().copied().map(listed).collect();
    let findings = lookups.ask(&asked, deadline).await;
    assert!(findings.iter().map(|(lookup, _)| lookup).eq(&asked));
    findings.into_iter().map(|(_, finding)| finding).collect()
}

#[tokio::test]
async fn requests_that_need_the_same_wait_for_one_lookup() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    let (one, two, ()) = tokio::join!(
        found(&lookups, &[2, 3], soon()),
        found(&lookups, &[3, 2], soon()),
        async { resolver.answer(2) },
    );
    assert_eq!(one, [addresses(), Finding::Absent]);
    assert_eq!(two, [Finding::Absent, addresses()]);
    assert_eq!(found(&lookups, &[2, 3], soon()).await, one);
    assert_eq!(resolver.times(), 2);
}

#[tokio::test]
async fn a_lookup_that_nobody_waits_for_goes_on_and_the_retry_finds_it() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    let late = found(&lookups, &[2], Instant::now()).await;
    assert_eq!(late, [Finding::NoAnswer]);
    resolver.answer(1);
    assert_eq!(found(&lookups, &[2], soon()).await, [addresses()]);
    assert_eq!(lookups.cached(&[listed(2)]), [(listed(2), addresses())]);
    assert_eq!(resolver.times(), 1);
}

#[tokio::test]
async fn lookups_of_a_zone_have_a_bound_beyond_which_there_is_no_answer_at_once() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    let most = u32::try_from(MOST_OF_ZONE).unwrap();
    let numbers: Vec<u32> = (0..most).collect();
    found(&lookups, &numbers, Instant::now()).await;
    let beyond = found(&lookups, &[most], soon()).await;
    assert_eq!(beyond, [Finding::NoAnswer]);
    // Another zone has room.
    resolver.answer(MOST_OF_ZONE + 2);
    let other = [in_zone("other.example", 2)];
    assert_eq!(lookups.ask(&other, soon()).await[0].1, addresses());
    let all = found(&lookups, &numbers, soon()).await;
    assert!(!all.contains(&Finding::NoAnswer));
    assert_eq!(found(&lookups, &[most], soon()).await, [addresses()]);
    assert_eq!(resolver.times(), MOST_OF_ZONE + 2);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_is_waited_for_once_however_many_recipients_a_message_has() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    let start = Instant::now();
    let deadline = || Instant::now() + lookups.timeout();
    for _ in 0..50 {
        assert_eq!(found(&lookups, &[2], deadline()).await, [Finding::NoAnswer]);
    }
    assert_eq!(start.elapsed().as_secs(), 2);
    // The thread may not have come to it yet.
    assert!(resolver.times() <= 1);
}

#[tokio::test]
async fn domains_that_are_silent_by_the_hundred_take_nothing_from_the_lists() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    // Each of another network and another domain.
    let silent: Vec<Lookup> = (0..1000)
        .map(|number| evaluation(number * 256, &format!("a@d{number}.com")))
        .collect();
    let found = lookups.ask(&silent, Instant::now()).await;
    assert!(
        found
            .iter()
            .all(|(_, finding)| *finding == Finding::NoAnswer)
    );
    // The lists have their room. Who has waited longest is answered first.
    resolver.answer(MOST_EVALUATIONS + MOST_OF_ZONE);
    let numbers: Vec<u32> = (0..u32::try_from(MOST_OF_ZONE).unwrap()).collect();
    let all = self::found(&lookups, &numbers, soon()).await;
    assert!(!all.contains(&Finding::NoAnswer));
    assert_eq!(resolver.times(), MOST_EVALUATIONS + MOST_OF_ZONE);
}

#[tokio::test]
async fn without_a_resolver_nothing_is_found() {
    let lookups = Lookups::none();
    assert_eq!(found(&lookups, &[2], soon()).await, [Finding::NoAnswer]);
    assert!(lookups.cached(&[listed(2)]).is_empty());
}

#[tokio::test]
async fn the_thread_ends_with_the_last_lookups() {
    let resolver = Gated::default();
    let lookups = lookups(&resolver);
    resolver.answer(1);
    found(&lookups, &[2], soon()).await;
    drop(lookups);
    // The thread holds the last reference to the resolver but ours.
    while Arc::strong_count(&resolver.0) > 1 {
        tokio::task::yield_now().await;
    }
}
