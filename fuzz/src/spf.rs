//! SPF records, which whoever connects may have written: the library that evaluates them must survive them.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::str::FromStr;

use tokio::runtime::Builder;
use viaspf::lookup::{Lookup, LookupError, LookupResult, Name};
use viaspf::{Config, DomainName, Sender, evaluate_sender};

/// Records in lines of `NAME TYPE DATA`, with `*` for all names; one without data is a name server that is silent.
struct Zone<'a>(Vec<(&'a str, &'a str, &'a str)>);

type Looking<'a, T> = Pin<Box<dyn Future<Output = LookupResult<T>> + Send + 'a>>;

impl<'a> Zone<'a> {
    fn read(lines: impl Iterator<Item = &'a str>) -> Self {
        let rows = lines.filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            Some((words.next()?, words.next()?, words.next().unwrap_or("")))
        });
        Self(rows.collect())
    }

    /// What the library gets for a name; data that are not of the type are none.
    fn find<T: Send + 'static>(
        &self,
        name: &Name,
        kind: &str,
        read: fn(&str) -> Option<T>,
    ) -> Looking<'static, Vec<T>> {
        let name = name.as_str().trim_end_matches('.');
        let mut found = Vec::new();
        for (owner, of_kind, data) in &self.0 {
            if *of_kind != kind || !(*owner == "*" || owner.eq_ignore_ascii_case(name)) {
                continue;
            }
            if data.is_empty() {
                return Box::pin(ready(Err(LookupError::Timeout)));
            }
            found.extend(read(data));
        }
        let found = if found.is_empty() {
            Err(LookupError::NoRecords)
        } else {
            Ok(found)
        };
        Box::pin(ready(found))
    }
}

fn parsed<T: FromStr>(data: &str) -> Option<T> {
    data.parse().ok()
}

fn as_name(data: &str) -> Option<Name> {
    Name::new(data).ok()
}

// Written as the macro of its trait expands it.
impl Lookup for Zone<'_> {
    fn lookup_a<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Vec<Ipv4Addr>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.find(name, "A", parsed)
    }

    fn lookup_aaaa<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Vec<Ipv6Addr>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.find(name, "AAAA", parsed)
    }

    fn lookup_mx<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Vec<Name>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.find(name, "MX", as_name)
    }

    fn lookup_txt<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Vec<String>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.find(name, "TXT", |text| Some(text.to_owned()))
    }

    fn lookup_ptr<'a, 'c>(&'a self, _: IpAddr) -> Looking<'c, Vec<Name>>
    where
        'a: 'c,
        Self: 'c,
    {
        match Name::new("ptr.") {
            Ok(name) => self.find(&name, "PTR", as_name),
            Err(_) => Box::pin(ready(Err(LookupError::NoRecords))),
        }
    }
}

/// Client, sender and HELO, each in a line, and the records behind them: an evaluation ends, whatever they are.
pub fn spf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (client, sender, helo) = (lines.next(), lines.next(), lines.next());
    let (Some(Ok(client)), Some(Ok(sender))) = (client.map(str::parse), sender.map(Sender::new))
    else {
        return;
    };
    let helo = helo.and_then(parsed::<DomainName>);
    let zone = Zone::read(lines);
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let config = Config::default();
    let evaluation = evaluate_sender(&zone, &config, client, &sender, helo.as_ref());
    let _ = runtime.block_on(evaluation).spf_result;
}
