//! A prefix of /0 in an SPF record ends no program, whatever the profile: `make check-release` runs this with the crate
//! as it is shipped, so nothing but that crate is used here.
//!
//! viaspf shifts by as many bits as an address has, which overflows. With `overflow-checks` and `panic = "abort"` anybody's
//! record would end the daemon, so Cargo.toml has the checks off for that crate alone.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use viaspf::lookup::{Lookup, LookupError, LookupResult, Name};
use viaspf::{Config, Sender, SpfResult, evaluate_sender};

/// The names of a domain with this record; it is its own MX host.
struct Names(&'static str);

type Looking<'a, T> = Pin<Box<dyn Future<Output = LookupResult<Vec<T>>> + Send + 'a>>;

fn found<'a, T: Send + 'a>(found: T) -> Looking<'a, T> {
    Box::pin(ready(Ok(vec![found])))
}

// Written as the macro of its trait expands it.
impl Lookup for Names {
    fn lookup_a<'a, 'b, 'c>(&'a self, _: &'b Name) -> Looking<'c, Ipv4Addr>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        found(Ipv4Addr::new(198, 51, 100, 7))
    }

    fn lookup_aaaa<'a, 'b, 'c>(&'a self, _: &'b Name) -> Looking<'c, Ipv6Addr>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        found(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7))
    }

    fn lookup_mx<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Name>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        found(name.clone())
    }

    fn lookup_txt<'a, 'b, 'c>(&'a self, _: &'b Name) -> Looking<'c, String>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        found(self.0.to_owned())
    }

    fn lookup_ptr<'a, 'c>(&'a self, _: IpAddr) -> Looking<'c, Name>
    where
        'a: 'c,
        Self: 'c,
    {
        Box::pin(ready(Err(LookupError::NoRecords)))
    }
}

/// What comes of a task that waits for nothing.
fn at_once<T>(task: impl Future<Output = T>) -> T {
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("waits, although each name is known"),
    }
}

#[test]
fn no_prefix_ends_the_program() {
    let (v4, v6) = ("192.0.2.7", "2001:db8::7");
    for (client, record) in [
        (v4, "v=spf1 ip4:198.51.100.7/0 -all"),
        (v4, "v=spf1 a/0 -all"),
        (v4, "v=spf1 mx/0 -all"),
        (v6, "v=spf1 ip6:2001:db8::8/0 -all"),
        (v6, "v=spf1 a//0 -all"),
        (v6, "v=spf1 mx//0 -all"),
    ] {
        let sender = Sender::new("a@example.com").expect("a sender");
        let client = client.parse().expect("an address");
        let config = Config::default();
        let evaluated = at_once(evaluate_sender(
            &Names(record),
            &config,
            client,
            &sender,
            None,
        ));
        let result = evaluated.spf_result;
        assert!(matches!(result, SpfResult::Fail(_)), "{record}: {result:?}");
    }
}
