//! The recipes with DNS lists that Postfix asks itself, before or instead of stargrey, run as they are written.
//!
//! Postfix asks the name server of `/etc/resolv.conf`, so it has a network of its own, in which rbldnsd is that name
//! server. Its clients there have no names. The daemon is outside, and has an rbldnsd with the same zones.

use super::recipes::{recipe, start_wired};
use super::server::Wiring;
use super::smtp::{Reply, Session};
use super::{SENDER, Site, assert_accepted, assert_deferred};
use crate::dns_lists::ListServer;
use crate::manual::Recipe;
use crate::support::network::Network;

const ANNA: &str = "anna@example.org";

/// Clients: on no list, on that of Spamhaus, on that of `SpamCop`, on the allowlist, on Spamhaus's and the allowlist.
const STRANGER: &str = "192.0.2.7";
const LISTED: &str = "192.0.2.2";
const SUSPECT: &str = "192.0.2.3";
const KNOWN: &str = "192.0.2.50";
const KNOWN_AND_LISTED: &str = "192.0.2.51";
/// A client that the allowlist has, but not as one that can be trusted.
const UNTRUSTED: &str = "192.0.2.60";

/// The lists of the recipes: data sets of rbldnsd.
const ZONES: &[(&str, &str, &str)] = &[
    (
        "zen.spamhaus.org",
        "ip4set",
        ":127.0.0.2:Listed by zen\n192.0.2.2\n192.0.2.51\n",
    ),
    (
        "bl.spamcop.net",
        "ip4set",
        ":127.0.0.2:Listed by cop\n192.0.2.3\n",
    ),
    (
        "list.dnswl.org",
        "ip4set",
        ":127.0.5.2:Known\n192.0.2.50\n192.0.2.51\n192.0.2.60 :127.0.5.0:\n",
    ),
];

/// The ordinary line of master.cf.
pub(super) const SMTPD: &str = "smtp inet n - y - - smtpd\n";

/// A site in a network, and its name servers: for Postfix, for the daemon.
struct Networked {
    site: Site,
    _servers: [ListServer; 2],
}

impl Networked {
    /// Starts what a recipe says, these lines added to main.cf; master.cf is that of the recipe or the usual one.
    fn start(test: &str, mut recipe: Recipe, main: &str) -> Option<Self> {
        let network = Network::new(test)?;
        let servers = [
            ListServer::within(&network, ZONES),
            ListServer::serving(ZONES),
        ];
        let resolver = servers[1].address;
        recipe.options = format!("{} --resolver={resolver}", recipe.options);
        recipe.files[0].1 += main;
        let master = recipe
            .files
            .iter()
            .position(|(name, _)| name == "master.cf");
        let services = master.map_or(SMTPD.to_owned(), |at| recipe.files.remove(at).1);
        let site = start_wired(&recipe, |wiring: Wiring| wiring.within(network, &services));
        Some(Self {
            site,
            _servers: servers,
        })
    }

    /// An attempt of the client with this address.
    fn attempt(&self, from: &str) -> Reply {
        Session::plain(self.site.postfix.connect(from)).attempt(SENDER, ANNA)
    }

    /// What the daemon was asked about, in order: addresses, once it was asked about so many.
    fn asked(&self, number: usize) -> Vec<String> {
        let count = |log: &str| log.matches("action=").count() >= number;
        self.site.daemon.log_until(count);
        let log = self.site.daemon.log();
        let addresses = log.lines().filter(|line| line.contains("action="));
        addresses
            .map(|line| {
                let (_, rest) = line.split_once("client_address=").unwrap();
                rest.split(',').next().unwrap().to_owned()
            })
            .collect()
    }
}

#[test]
fn by_the_recipe_with_permit_dnswl_client_the_clients_of_an_allowlist_pass_before_the_daemon_is_asked()
 {
    let test = "by_the_recipe_with_permit_dnswl_client_the_clients_of_an_allowlist_pass_before_the_daemon_is_asked";
    let Some(on) = Networked::start(test, recipe("Beside permit_dnswl_client"), "") else {
        return;
    };
    assert_accepted(&on.attempt(KNOWN));
    for greylisted in [STRANGER, UNTRUSTED] {
        assert_deferred(&on.attempt(greylisted), ANNA, 300);
    }
    assert_accepted(&on.attempt(KNOWN));
    on.site.clock.advance(300);
    assert_accepted(&on.attempt(STRANGER));
    assert_eq!(on.asked(3), [STRANGER, UNTRUSTED, STRANGER]);
    // What it may not do: permit relaying.
    let mut session = Session::plain(on.site.postfix.connect(KNOWN));
    let reply = session
        .attempt(SENDER, "anna@elsewhere.example")
        .to_string();
    assert!(reply.starts_with("554 5.7.1 "), "{reply}");
}

#[test]
fn by_the_recipe_with_postscreen_it_refuses_whom_lists_have_and_the_daemon_greylists_whom_it_lets_through()
 {
    let test = "by_the_recipe_with_postscreen_it_refuses_whom_lists_have_and_the_daemon_greylists_whom_it_lets_through";
    let recipe = recipe("Beside postscreen");
    let sites = recipe.options.matches("--dnsbl-sites=").count();
    let same = |site: &&str| recipe.files[0].1.contains(&format!("\n    {site}"));
    let words = recipe.options.split_whitespace();
    let told = words.filter_map(|word| word.strip_prefix("--dnsbl-sites="));
    assert_eq!((sites, told.filter(same).count()), (3, 3), "the same sites");
    // A new client waits for less long.
    let Some(on) = Networked::start(test, recipe, "postscreen_greet_wait = 4s\n") else {
        return;
    };
    let refused = on.attempt(LISTED).to_string();
    let want =
        format!("550 5.7.1 Service unavailable; client [{LISTED}] blocked using zen.spamhaus.org");
    assert_eq!(refused, want);
    assert_accepted(&on.attempt(KNOWN));
    // For postscreen, the allowlist outweighs the other; for the daemon it does not make up for a missing name.
    for greylisted in [KNOWN_AND_LISTED, SUSPECT, STRANGER] {
        assert_deferred(&on.attempt(greylisted), ANNA, 300);
    }
    on.site.clock.advance(300);
    for waited in [SUSPECT, STRANGER] {
        assert_accepted(&on.attempt(waited));
    }
    let asked = on.asked(6);
    let want = [
        KNOWN,
        KNOWN_AND_LISTED,
        SUSPECT,
        STRANGER,
        SUSPECT,
        STRANGER,
    ];
    assert_eq!(asked, want);
    let log = on.site.postfix.log();
    for line in [
        format!("DNSBL rank 3 for [{LISTED}]"),
        format!("PASS NEW [{STRANGER}]"),
        format!("PASS OLD [{STRANGER}]"),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
}
