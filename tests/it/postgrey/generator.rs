//! Weeks of mail from a seed: the requests that Postfix would send, in the order of their time.
//!
//! By construction none of them touches a departure (see [`departures`](super::departures)):
//! a run is shorter than max-age, time never goes back, the state is RCPT or missing, an instance
//! belongs to one client and ends before ten others have come, nothing is asked twice for one instance
//! once time has moved on, and only one side of an address pair has a `/`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display, Formatter};

use super::addresses::{self, Host, RECIPIENTS, SENDERS};
use super::configurations::Configuration;
use super::random::Random;

/// The first second of every run: later than any real clock, so that no sweep finds anything old.
const EPOCH: u64 = 4_000_000_000;

/// A run ends this long before the first record could reach max-age.
const MARGIN: u64 = 6 * 3600;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Its `policy_test_time`.
    pub(super) at: u64,
    /// Client network, sender family and recipient family: what its triplet is made of.
    pub(super) triplet: (u64, u64, u64),
    attributes: Vec<(&'static str, Vec<u8>)>,
}

impl Request {
    /// The request as it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.attributes {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(format!("policy_test_time={}\n\n", self.at).as_bytes());
        bytes
    }

    fn instance(&self) -> Option<&[u8]> {
        let mut of_that_name = self.attributes.iter().filter(|(n, _)| *n == "instance");
        of_that_name.next().map(|(_, value)| value.as_slice())
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.at)?;
        for (name, value) in &self.attributes {
            if *name != "request" {
                write!(f, " {name}={}", value.escape_ascii())?;
            }
        }
        Ok(())
    }
}

/// A mail that is tried again and again: who to whom, and when first.
struct Mail {
    network: u64,
    host: Host,
    sender: u64,
    recipients: Vec<u64>,
    start: u64,
}

/// Makes one run.
struct Generator<'a> {
    random: Random,
    configuration: &'a Configuration,
    slashes_in_senders: bool,
    instances: u64,
    requests: Vec<Request>,
}

/// About `mails` mails with their retries, the same for the same seed.
pub(super) fn requests(configuration: &Configuration, seed: u64, mails: u64) -> Vec<Request> {
    let mut generator = Generator {
        random: Random::seeded(seed),
        configuration,
        slashes_in_senders: seed.is_multiple_of(2),
        instances: 0,
        requests: Vec::new(),
    };
    for _ in 0..mails {
        generator.mail();
    }
    for ladder in 0..3 {
        generator.ladder(ladder);
    }
    let mut requests = generator.requests;
    requests.sort_by_key(|request| request.at);
    forget_wide_instances(&mut requests);
    requests
}

impl Generator<'_> {
    fn span(&self) -> u64 {
        self.configuration.max_age * 86_400 - MARGIN
    }

    /// One mail and its attempts, on and around the borders of the rule.
    fn mail(&mut self) {
        let start = self.random.below(self.span());
        let mut recipients = BTreeSet::from([self.random.below(RECIPIENTS)]);
        for _ in 0..self.random.below(4).saturating_sub(1) {
            recipients.insert(self.random.below(RECIPIENTS));
        }
        let mail = Mail {
            network: self.random.below(30),
            host: Host::of(&mut self.random),
            sender: self.random.below(SENDERS),
            recipients: recipients.into_iter().collect(),
            start,
        };
        let mut offsets = vec![0];
        self.chain(&mut offsets, 0);
        if self.random.percent(25) {
            let again = self.configuration.window + 1 + self.random.below(3);
            offsets.push(again);
            self.chain(&mut offsets, again);
        }
        offsets.sort_unstable();
        for offset in offsets {
            if mail.start + offset < self.span() {
                self.attempt(&mail, mail.start + offset);
            }
        }
    }

    /// Retries after a first attempt at `from`.
    fn chain(&mut self, offsets: &mut Vec<u64>, from: u64) {
        let Configuration { delay, window, .. } = *self.configuration;
        for _ in 0..self.random.below(5) {
            let after = match self.random.below(12) {
                0 => delay - 1,
                1 | 2 => delay,
                3 => delay + 1,
                4 => window - 1,
                5 => window,
                6 => window + 1,
                7 => self.random.below(delay + 1),
                8 => self.random.below(self.span()),
                _ => delay + self.random.below(window - delay),
            };
            offsets.push(from + after);
        }
    }

    /// One client that passes with a new triplet each hour, give or take a second.
    fn ladder(&mut self, ladder: u64) {
        let delay = self.configuration.delay;
        let rungs = self.configuration.threshold + 6;
        let network = 1000 + ladder;
        let mut at = self.random.below(self.span() - rungs * 3601 - delay);
        for rung in 0..rungs {
            let mail = Mail {
                network,
                host: Host::First,
                sender: 4 + (rung % 5),
                recipients: vec![rung],
                start: at,
            };
            self.attempt(&mail, mail.start);
            self.attempt(&mail, mail.start + delay);
            at += 3599 + ((rung + ladder) % 3);
        }
    }

    /// All recipients of one mail, within seconds.
    fn attempt(&mut self, mail: &Mail, offset: u64) {
        let random = &mut self.random;
        let (client, name) = if mail.network >= 1000 {
            let client = format!("198.18.{}.25", mail.network - 1000);
            (client.into_bytes(), b"ladder.example".to_vec())
        } else {
            let other = random.percent(20);
            let host = if other { Host::of(random) } else { mail.host };
            let client = addresses::client(random, mail.network, host);
            (client, addresses::client_name(random))
        };
        let sender = addresses::sender(random, mail.sender, self.slashes_in_senders);
        let from_exim = random.percent(15);
        let mut envelope = vec![
            ("request", b"smtpd_access_policy".to_vec()),
            ("client_address", client),
            ("client_name", name),
            ("sender", sender),
        ];
        if !from_exim {
            envelope.push(("protocol_state", b"RCPT".to_vec()));
            self.postfix_attributes(&mut envelope);
        }
        let mut at = EPOCH + offset;
        for family in &mail.recipients {
            let mut attributes = envelope.clone();
            let recipient =
                addresses::recipient(&mut self.random, *family, !self.slashes_in_senders);
            attributes.push(("recipient", recipient));
            self.disturb(&mut attributes);
            let request = Request {
                at,
                triplet: (mail.network, mail.sender, *family),
                attributes,
            };
            for _ in 0..=u64::from(self.random.percent(4)) {
                self.requests.push(request.clone());
            }
            if self.random.percent(20) {
                at += 1 + self.random.below(3);
            }
        }
    }

    /// What Postfix adds, some of it only in some versions or states.
    fn postfix_attributes(&mut self, attributes: &mut Vec<(&'static str, Vec<u8>)>) {
        let random = &mut self.random;
        self.instances += 1;
        let optional: [(&'static str, u64, String); 8] = [
            (
                "instance",
                75,
                format!("{:x}.6921.{}.0", self.instances, self.instances % 7),
            ),
            ("etrn_domain", 70, String::new()),
            ("queue_id", 50, format!("4F{:X}", self.instances)),
            ("protocol_name", 80, "ESMTP".to_owned()),
            ("helo_name", 80, "mail.sender.example".to_owned()),
            ("stress", 60, "yes".to_owned()),
            ("ccert_subject", 40, "/CN=a=b/O=x y".to_owned()),
            ("size", 40, "12345".to_owned()),
        ];
        for (name, share, value) in optional {
            if random.percent(share) {
                attributes.push((name, value.into_bytes()));
            }
        }
    }

    /// The things that are seldom: another order, an attribute missing or given twice.
    fn disturb(&mut self, attributes: &mut Vec<(&'static str, Vec<u8>)>) {
        let random = &mut self.random;
        if random.percent(30) {
            random.shuffle(attributes);
        }
        if random.percent(2) {
            let needed = ["client_address", "client_name", "sender", "recipient"];
            let missing = *random.pick(&needed);
            attributes.retain(|(name, _)| *name != missing);
        }
        if random.percent(2) {
            let first = ("sender", b"first.of.two@sender.example".to_vec());
            attributes.insert(0, first);
        }
    }
}

/// Takes the instance off every message during which eight others or more were asked about.
fn forget_wide_instances(requests: &mut [Request]) {
    let mut spans: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        if let Some(instance) = request.instance() {
            let span = spans.entry(instance.to_vec()).or_insert((index, index));
            span.1 = index;
        }
    }
    for request in requests {
        let wide = request
            .instance()
            .and_then(|instance| spans.get(instance))
            .is_some_and(|(first, last)| last - first > 8);
        if wide {
            request.attributes.retain(|(name, _)| *name != "instance");
        }
    }
}
