//! The recipes of stargrey(7), run as they are written.
//!
//! Each is taken out of the page: the lines of main.cf, the tables, the daemon's options. Replaced are
//! the directories, and the length of a sleep; that there was something to replace is asserted. What
//! is added are the lists of a test, and for `taRgrey`, whose sleep has no place in its options, that
//! length.
//!
//! Decisions go by the test's clock, Postfix sleeps in real time: where a client has waited, the test
//! moves its clock on.

use std::thread;
use std::time::{Duration, Instant};

use super::server::{Line, Postfix, Wiring};
use super::smtp::{Peer, Reply, Session};
use super::{
    SENDER, START, STRANGER, Site, assert_accepted, assert_deferred, assert_one_header,
    greylist_headers,
};
use crate::access_list_files::S25R;
use crate::dns_lists::ListServer;
use crate::manual::{self, Recipe};

/// The length of a sleep, in seconds.
const SLEEP: u64 = 3;

/// Names that S25R hits by rules 1 and 2, one that it hits and its exceptions have, and none.
const DYNAMIC: Peer = Peer::new("220-139-165-188.dynamic.example.net", "203.0.113.7");
const LINE: Peer = Peer::new("user12345.example.org", "203.0.113.130");
const EXCEPTED: Peer = Peer::new("mail-lf1-x12a.google.com", "198.51.100.20");
const OWN_EXCEPTED: Peer = Peer::new("out-12-07.friend.example", "198.51.100.30");
const EXCEPTED_BY_FILE: Peer = Peer::new("mx7.isp.example", "198.51.100.40");
const NAMELESS: Peer = Peer {
    name: None,
    reverse_name: "[UNAVAILABLE]",
    address: "198.51.100.9",
};

const ANNA: &str = "anna@example.org";
const BEN: &str = "ben@example.org";

/// What stands before a table that is asked about addresses too; stargrey(7) shows it.
const GUARD: &str = "/^[0-9.]+$/  DUNNO\n/:/          DUNNO\n";

pub(super) fn recipe(name: &str) -> Recipe {
    let mut recipes = manual::recipes().into_iter();
    let found = recipes.find(|recipe| recipe.name == name);
    found.unwrap_or_else(|| panic!("stargrey(7) has no recipe {name}"))
}

/// Replaces what must be there, once.
pub(super) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
    text.replace(from, to)
}

/// Starts what a recipe says.
pub(super) fn start(recipe: &Recipe) -> Site {
    start_wired(recipe, |wiring| wiring)
}

/// The same, Postfix being told more.
pub(super) fn start_wired(recipe: &Recipe, more: impl FnOnce(Wiring) -> Wiring) -> Site {
    let [(_, main), tables @ ..] = &recipe.files[..] else {
        panic!("{}: no main.cf", recipe.name);
    };
    let (mut main, mut options) = (main.clone(), recipe.options.clone());
    // What a recipe has of master.cf is run by tests of its own.
    let tables: Vec<_> = tables
        .iter()
        .filter(|(name, _)| name != "master.cf")
        .cloned()
        .collect();
    for (name, _) in &tables {
        let path = format!("/etc/postfix/{name}");
        if main.contains(&path) {
            main = replaced(&main, &path, &format!("$config_directory/{name}"));
        } else {
            let ours = format!("/etc/stargrey/{name}");
            let path = if options.contains(&path) { path } else { ours };
            options = replaced(&options, &path, &format!("TABLES/{name}"));
        }
    }
    assert!(!main.contains("/etc/") && !options.contains("/etc/"));
    // A recipe that leaves them alone stands on those of the host.
    if !main.contains("smtpd_recipient_restrictions") {
        main.push_str("smtpd_recipient_restrictions = reject_unauth_destination\n");
    }
    let lists = [("s25r_exceptions.local", "friend.example\n")];
    Site::around(
        || Postfix::wired(more(Wiring::of(&main, &tables))),
        &lists,
        |postfix, directory| {
            let tables = postfix.table("").display().to_string();
            let options = options.replace("TABLES/", &tables);
            let mut options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
            if main.contains("unix:stargrey/milter") {
                let socket = postfix.milter_socket();
                options.push(format!("--milter=unix:{}", socket.display()));
            }
            if options.iter().any(|option| option.starts_with("--s25r")) {
                let packaged = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lists/s25r_exceptions");
                let own = directory.join("s25r_exceptions.local");
                options.push(format!("--s25r-exceptions={packaged}"));
                options.push(format!("--s25r-exceptions={}", own.display()));
            }
            options
        },
    )
}

/// The recipe of taRgrey with a sleep of [`SLEEP`].
fn targrey() -> Recipe {
    let mut recipe = recipe("taRgrey");
    assert!(!recipe.options.contains("--tarpit"), "{}", recipe.options);
    recipe.options = format!("{} --tarpit={SLEEP}", recipe.options);
    recipe
}

/// What Postfix says, and how long it takes for that.
#[expect(
    clippy::disallowed_methods,
    reason = "Postfix sleeps in real time, and that is what is measured"
)]
pub(crate) fn timed(attempt: impl FnOnce() -> Reply) -> (Reply, Duration) {
    let begin = Instant::now();
    let reply = attempt();
    (reply, begin.elapsed())
}

impl Site {
    fn open(&self, peer: Peer) -> Session {
        self.session(Line::Documented, peer)
    }

    /// An attempt that Postfix accepts after a sleep, which the clock then shows.
    fn sleep_through(&self, session: &mut Session, recipient: &str) {
        let (reply, waited) = timed(|| session.attempt(SENDER, recipient));
        assert_accepted(&reply);
        assert!(waited >= Duration::from_secs(SLEEP), "{waited:?}");
        self.clock.advance(SLEEP);
    }

    /// An attempt of a client that hangs up as soon as its sleep was ordered; the sleep is then over.
    fn hang_up(&self, peer: Peer, recipient: &str) {
        let ordered = self.logged("action=tarpit");
        let mut session = self.open(peer);
        session.mail(SENDER);
        session.say(&format!("RCPT TO:<{recipient}>"));
        let is_ordered = |log: &str| log.matches("action=tarpit").count() > ordered;
        self.daemon.log_until(is_ordered);
        drop(session);
        self.clock.advance(SLEEP);
    }

    /// How often this stands in the daemon's log.
    fn logged(&self, what: &str) -> usize {
        self.daemon.log().matches(what).count()
    }

    /// Waits for a line of the daemon's log.
    fn expect_line(&self, what: &str) {
        self.expect_line_to(what, "");
    }

    fn expect_line_to(&self, what: &str, end: &str) {
        self.daemon.expect_line(what, end);
    }

    /// An attempt that is accepted at once, and delivered without a header.
    fn deliver(&self, session: &mut Session, recipient: &str) {
        let (reply, waited) = timed(|| session.attempt(SENDER, recipient));
        assert_accepted(&reply);
        assert!(waited < Duration::from_secs(SLEEP), "{waited:?}");
        session.data();
        self.assert_no_header(recipient);
    }

    fn assert_no_header(&self, recipient: &str) {
        let (mailbox, _) = recipient.split_once('@').unwrap();
        let message = self.postfix.message(mailbox);
        assert!(greylist_headers(&message).is_empty(), "{message}");
    }
}

/// The words of a deferral, whichever list the service stands in.
fn is_greylisted(reply: &Reply) -> bool {
    let text = reply.to_string();
    text.starts_with("450 4.2.0 ") && text.contains("rejected: Greylisted, please try again in ")
}

#[test]
fn by_the_plain_recipe_everybody_waits_once() {
    let site = start(&recipe("Plain greylisting"));
    for peer in [STRANGER, DYNAMIC] {
        assert_deferred(&site.attempt(peer, SENDER, ANNA), ANNA, 300);
    }
    site.clock.advance(300);
    let mut session = site.open(STRANGER);
    assert_accepted(&session.attempt(SENDER, ANNA));
    session.data();
    assert_one_header(&site.postfix.message("anna"), 300, START + 300);
}

#[test]
fn by_the_recipe_of_rgrey_only_what_looks_like_a_line_waits() {
    let site = start(&recipe("Rgrey"));
    for peer in [STRANGER, EXCEPTED, OWN_EXCEPTED] {
        site.deliver(&mut site.open(peer), ANNA);
        let name = peer.name.unwrap();
        site.expect_line(&format!(
            "action=pass, reason=not suspicious, client_name={name},"
        ));
    }
    for (peer, rule, name) in [
        (NAMELESS, 0, "unknown"),
        (DYNAMIC, 1, DYNAMIC.reverse_name),
        (LINE, 2, LINE.reverse_name),
    ] {
        let mut session = site.open(peer);
        assert_deferred(&session.attempt(name, ANNA), ANNA, 300);
        site.expect_line_to(
            &format!("action=greylist, reason=new, client_name={name},"),
            &format!(", s25r={rule}"),
        );
        site.clock.advance(300);
        assert_accepted(&session.attempt(name, ANNA));
        session.data();
        assert_one_header(&site.postfix.message("anna"), 300, site.clock.now());
    }
}

#[test]
fn by_the_selective_recipe_lines_and_listed_clients_wait_and_known_good_ones_never() {
    let server = ListServer::start();
    let mut recipe = recipe("Selective");
    for (list, ours) in [
        ("zen.spamhaus.org", "bad.example"),
        ("bl.spamcop.net", "six.example"),
        ("list.dnswl.org", "good.example"),
    ] {
        recipe.options = replaced(&recipe.options, list, ours);
    }
    recipe.options = format!("{} --resolver={}", recipe.options, server.address);
    let site = start(&recipe);
    let listed = Peer::new("mx.listed.example", "192.0.2.2");
    let known = Peer::new("220-139-165-1.dynamic.example.net", "192.0.2.50");
    site.deliver(&mut site.open(STRANGER), ANNA);
    site.expect_line("action=pass, reason=not suspicious, client_name=");
    site.deliver(&mut site.open(known), ANNA);
    site.expect_line("action=pass, reason=DNS allowlist, client_name=220-139-165-1.dynamic");
    for (peer, end) in [
        (listed, ", dnsbl=3, spf=none"),
        (DYNAMIC, ", s25r=1, spf=none"),
    ] {
        let mut session = site.open(peer);
        assert_deferred(&session.attempt(SENDER, ANNA), ANNA, 300);
        let name = peer.reverse_name;
        site.expect_line_to(
            &format!("action=greylist, reason=new, client_name={name},"),
            end,
        );
        site.clock.advance(300);
        assert_accepted(&session.attempt(SENDER, ANNA));
    }
}

#[test]
fn who_passes_spf_does_not_wait_for_a_line_like_name_and_who_lets_anybody_pass_does() {
    let server = ListServer::start();
    let mut recipe = recipe("Rgrey");
    recipe.options = format!(
        "{} --spf-excuses --resolver={}",
        recipe.options, server.address
    );
    let site = start(&recipe);
    let of_pool = |host, address| Peer::new(host, address);
    for peer in [
        of_pool("203-0-113-9.out.example.com", "203.0.113.9"),
        of_pool("198-51-100-7.out.example.com", "198.51.100.7"),
    ] {
        assert_accepted(&site.open(peer).attempt("ann@pool.example.com", ANNA));
        site.expect_line_to(
            &format!(
                "action=pass, reason=SPF pass, client_name={},",
                peer.reverse_name
            ),
            ", spf=pass",
        );
    }
    let stranger = of_pool("192-0-2-9.out.example.com", "192.0.2.9");
    for (sender, end) in [
        ("ann@pool.example.com", ", s25r=1, spf=fail"),
        ("ann@anybody.example.com", ", s25r=1, spf=pass-any"),
        // The server refuses to reply about other names.
        ("ann@elsewhere.example.com", ", s25r=1, spf=temperror"),
        ("ann@localhost", ", s25r=1, spf=none"),
    ] {
        assert_deferred(&site.open(stranger).attempt(sender, ANNA), ANNA, 300);
        site.expect_line_to("action=greylist, reason=new, client_name=192-0-2-9", end);
    }
}

#[test]
fn with_a_reject_threshold_postfix_refuses_in_the_words_that_it_has_for_dns_lists() {
    let server = ListServer::start();
    let mut recipe = recipe("Plain greylisting");
    let resolver = server.address;
    recipe.options = format!(
        "--dnsbl-sites=bad.example*2 --dnsbl-threshold=2 --dnsbl-reject-threshold=2 --resolver={resolver}"
    );
    let site = start(&recipe);
    let listed = Peer::new("mx.listed.example", "192.0.2.2");
    let reply = site.open(listed).attempt(SENDER, ANNA).to_string();
    let want = format!(
        "550 5.7.1 <{ANNA}>: Recipient address rejected: Client host [192.0.2.2] blocked using bad.example; Listed"
    );
    assert_eq!(reply, want);
    site.expect_line_to(
        "action=reject, reason=DNS blocklist, client_name=mx.listed.example,",
        ", dnsbl=2",
    );
}

#[test]
fn by_the_recipe_with_postfixs_own_table_the_daemon_hears_of_lines_alone() {
    let site = start(&recipe("Rgrey by a table of Postfix"));
    site.deliver(&mut site.open(STRANGER), ANNA);
    for peer in [NAMELESS, DYNAMIC] {
        let mut session = site.open(peer);
        let reply = session.attempt(SENDER, ANNA);
        assert!(is_greylisted(&reply), "{reply}");
        site.clock.advance(300);
        assert_accepted(&session.attempt(SENDER, ANNA));
        session.data();
        assert_one_header(&site.postfix.message("anna"), 300, site.clock.now());
    }
    let decided = |log: &str| log.matches("action=").count() == 4;
    site.daemon.log_until(decided);
    let log = site.daemon.log();
    assert!(!log.contains("s25r="), "{log}");
    assert!(!log.contains(STRANGER.address), "{log}");
}

#[test]
fn a_table_that_excuses_does_for_the_daemon_what_it_does_for_postfix() {
    let recipe = recipe("Rgrey by tables of your own");
    let [(_, main), (name, table)] = &recipe.files[..] else {
        panic!("one table is wanted: {recipe:?}");
    };
    // The same table where Postfix asks it: before the service, and with what keeps addresses out.
    let page = manual::source("man/stargrey.7");
    assert!(page.contains(&format!("\n.Bd -literal\n{GUARD}.Ed\n")));
    let service = "check_policy_service {";
    let by_postfix = replaced(
        main,
        service,
        &format!("check_client_access regexp:/etc/postfix/{name},\n    {service}"),
    );
    let beside = Recipe {
        name: "the table in Postfix".to_owned(),
        options: String::new(),
        files: vec![
            ("main.cf".to_owned(), by_postfix),
            (name.clone(), format!("{GUARD}{table}")),
        ],
    };
    let sites = thread::scope(|scope| {
        [&recipe, &beside]
            .map(|recipe| scope.spawn(|| start(recipe)))
            .map(|thread| thread.join().unwrap())
    });
    let [daemons, postfixs] = sites;
    let dip = Peer::new("mail.dip.example.net", "203.0.113.21");
    let user = Peer::new("user-a.example.com", "203.0.113.22");
    let line6 = Peer::new("dhcp7.example.org", "IPV6:2001:db8::7");
    for (peer, want_pass) in [
        (STRANGER, true),
        (dip, false),
        (user, false),
        (NAMELESS, false),
        (DYNAMIC, false),
        (LINE, false),
        (line6, false),
        (EXCEPTED, false),
    ] {
        for (site, asked) in [(&daemons, "stargreyd"), (&postfixs, "Postfix")] {
            let reply = site.attempt(peer, SENDER, ANNA);
            assert_eq!(reply.is_good(), want_pass, "{asked}, {peer:?}: {reply}");
            assert!(want_pass || is_greylisted(&reply), "{reply}");
        }
    }
    let line = format!(
        "reason=client access permit, client_name={}",
        STRANGER.reverse_name
    );
    daemons.expect_line(&line);
}

/// A new client that looks dynamic sleeps and is delivered; returns how its lines in the log end.
fn delivered_after_its_sleep(site: &Site) -> String {
    let mut session = site.open(DYNAMIC);
    site.sleep_through(&mut session, ANNA);
    session.data();
    site.assert_no_header(ANNA);
    let slept = format!(", s25r=1, tarpit={SLEEP}");
    site.expect_line_to("action=tarpit, reason=new, client_name=", &slept);
    slept
}

#[test]
fn by_the_recipe_of_starpit_lines_are_delayed_and_never_deferred() {
    let mut recipe = recipe("Starpit");
    recipe.options = replaced(&recipe.options, "--tarpit=65", &format!("--tarpit={SLEEP}"));
    let site = start(&recipe);
    site.deliver(&mut site.open(STRANGER), ANNA);
    site.hang_up(DYNAMIC, ANNA);
    let slept = delivered_after_its_sleep(&site);
    site.expect_line_to("action=tarpit, reason=early-retry, client_name=", &slept);
    assert_eq!(site.logged("action=greylist"), 0, "{}", site.daemon.log());
    assert!(!site.postfix.log().contains(" 450 "));
}

#[test]
fn by_the_recipe_of_targrey_a_patient_client_is_delayed_and_delivered() {
    let site = start(&targrey());
    site.deliver(&mut site.open(STRANGER), ANNA);
    delivered_after_its_sleep(&site);
    site.expect_line_to(
        "action=pass, reason=tarpit survived, client_name=",
        ", s25r=1",
    );
    assert_eq!(site.logged("action=greylist"), 0);
}

#[test]
fn by_the_recipe_of_targrey_one_sleep_does_for_all_recipients() {
    let site = start(&targrey());
    let mut session = site.open(DYNAMIC);
    site.sleep_through(&mut session, ANNA);
    let (reply, waited) = timed(|| session.rcpt(BEN));
    assert_accepted(&reply);
    assert!(waited < Duration::from_secs(SLEEP), "{waited:?}");
    session.data();
    site.assert_no_header(ANNA);
    site.assert_no_header(BEN);
    site.expect_line_to("action=pass, reason=tarpitted already,", ", s25r=1");
    site.expect_line_to("action=pass, reason=tarpit survived,", ", s25r=1");
    assert_eq!(site.logged("action=tarpit"), 1);
}

#[test]
fn by_the_recipe_of_targrey_who_hangs_up_is_greylisted_and_comes_back_twice() {
    let site = start(&targrey());
    site.hang_up(DYNAMIC, ANNA);
    let mut session = site.open(DYNAMIC);
    assert_deferred(&session.attempt(SENDER, ANNA), ANNA, 300 - SLEEP);
    site.expect_line_to(
        "action=greylist, reason=early-retry (297s missing),",
        ", s25r=1, tarpit=hung-up",
    );
    site.clock.advance(300 - SLEEP);
    assert_deferred(&session.attempt(SENDER, ANNA), ANNA, 300);
    site.expect_line_to(
        "action=greylist, reason=early-retry (1 retry missing),",
        ", s25r=1, tarpit=hung-up",
    );
    site.clock.advance(1);
    assert_accepted(&session.attempt(SENDER, ANNA));
    session.data();
    assert_one_header(&site.postfix.message("anna"), 301, START + 301);
    assert_eq!(site.logged("action=tarpit"), 1);
}

/// A client that sends all it has at once, and what it gets for DATA.
fn pipeline_blindly(site: &Site) -> Reply {
    let mut session = site.open(DYNAMIC);
    session.mail(SENDER);
    session.say(&format!(
        "RCPT TO:<{ANNA}>\r\nDATA\r\nSubject: hello\r\n\r\nIt is me.\r\n.\r\nQUIT"
    ));
    site.expect_line("action=tarpit");
    // Even if its DATA counted, it would not come too early.
    site.clock.advance(SLEEP);
    assert_accepted(&session.reply());
    session.reply()
}

#[test]
fn by_the_recipe_of_targrey_who_pipelines_blindly_is_stopped_and_never_whitelisted() {
    let mut with = targrey();
    with.options += " --auto-whitelist-clients=1";
    let mut without = targrey();
    without.options.clone_from(&with.options);
    let main = &mut without.files[0].1;
    *main = replaced(main, "    reject_unauth_pipelining,\n", "");
    // Nor what Postfix 3.9 does by itself.
    main.push_str("smtpd_forbid_unauth_pipelining = no\n");
    thread::scope(|scope| {
        scope.spawn(|| {
            let site = start(&with);
            let reply = pipeline_blindly(&site).to_string();
            // Postfix 3.9 does not even wait for the restriction.
            let wanted = ["503 5.5.0 <DATA>: Data command rejected:", "554 5.5.0 "];
            assert!(
                wanted.iter().any(|begin| reply.starts_with(begin)),
                "{reply}"
            );
            let next = site.attempt(DYNAMIC, SENDER, BEN);
            assert_deferred(&next, BEN, 300);
            site.expect_line_to("reason=new,", ", s25r=1, tarpit=hung-up");
            assert_eq!(site.logged("whitelisted: "), 0, "{}", site.daemon.log());
        });
        // Why that line is in the recipe.
        scope.spawn(|| {
            let site = start(&without);
            let reply = pipeline_blindly(&site);
            assert!(reply.is_good(), "{reply}");
            site.expect_line(
                "tarpit whitelisted: 220-139-165-188.dynamic.example.net[203.0.113.7]",
            );
            assert_accepted(&site.attempt(DYNAMIC, SENDER, BEN));
        });
    });
}

#[test]
fn by_the_recipe_for_milter_greylist_its_file_decides() {
    let server = ListServer::start();
    let mut recipe = recipe("Moving from milter-greylist");
    let theirs = "/etc/milter-greylist/greylist.conf";
    recipe.options = replaced(&recipe.options, theirs, "/etc/postfix/greylist.conf");
    recipe.options = format!("{} --resolver={}", recipe.options, server.address);
    let file = ("greylist.conf".to_owned(), S25R.to_owned());
    recipe.files.push(file);
    let site = start(&recipe);
    site.deliver(&mut site.open(EXCEPTED_BY_FILE), ANNA);
    for (peer, rule) in [(NAMELESS, 0), (DYNAMIC, 1), (LINE, 2)] {
        let mut session = site.open(peer);
        let sender = format!("rule{rule}@stranger.example");
        let want = format!("450 4.2.0 <{ANNA}>: Recipient address rejected: S25R rule {rule}");
        assert_eq!(session.attempt(&sender, ANNA).to_string(), want);
        site.clock.advance(300);
        assert_accepted(&session.attempt(&sender, ANNA));
        session.data();
        assert_one_header(&site.postfix.message("anna"), 300, site.clock.now());
    }
}

#[test]
fn what_a_table_of_clients_replies_is_what_the_client_sees() {
    let mut recipe = recipe("Rgrey by tables of your own");
    recipe.files[1].1 = r"
/^friend[0-9]+\./        OK
/^unknown$/              450 4.7.1 be patient
/^([0-9]+)-.*\.dynamic\./  REJECT no line $1 here
/^user/                  550 5.7.2 <$$>
/^stranger\./            DEFER_IF_PERMIT not yet
"
    .to_owned();
    let site = start(&recipe);
    let rejected = |rest| format!("<{ANNA}>: Recipient address rejected: {rest}");
    let friend = Peer::new("friend7.example.org", "198.51.100.40");
    let stranger = Peer::new("stranger.example", "198.51.100.41");
    let cases = [
        (NAMELESS, "450 4.7.1 ", rejected("be patient")),
        (DYNAMIC, "554 5.7.1 ", rejected("no line 220 here")),
        (LINE, "550 5.7.2 ", rejected("<$>")),
        (stranger, "450 4.7.1 ", rejected("not yet")),
        (friend, "250 2.1.5 ", "Ok".to_owned()),
    ];
    for _ in 0..2 {
        for (peer, code, rest) in &cases {
            let reply = site.attempt(*peer, SENDER, ANNA).to_string();
            assert_eq!(reply, format!("{code}{rest}"), "{peer:?}");
        }
        // Who is deferred by a table is deferred for ever.
        site.clock.advance(3600);
    }
    for line in [
        "action=defer, reason=client access reply, client_name=unknown,",
        "action=reject, reason=client access reply, client_name=220-",
        "action=pass, reason=client access permit, client_name=friend7.",
    ] {
        site.daemon.log_until(|log| log.matches(line).count() == 2);
    }
}
