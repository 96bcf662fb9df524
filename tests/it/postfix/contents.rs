//! The recipes of stargrey-milter(7) about what is in a message, run as they are written, with the filters that they name.
//!
//! Replaced are sockets of these filters and directories.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::beside::SMTPD;
use super::filters::{Bayes, BayesMilter, Rspamd};
use super::milter::{JAPANESE, unfolded};
use super::recipes::{recipe, replaced, start, start_wired};
use super::server::Line;
use super::smtp::Peer;
use super::{OTHER, Site, assert_accepted, assert_one_header, eventually};
use crate::access_list_files::S25R;
use crate::dns_lists::ListServer;
use crate::manual::{self, Recipe, files_shown};
use crate::spamd::{GTUBE, Server};
use crate::support::network::Network;

const ANNA: &str = "anna@example.org";
const BEN: &str = "ben@example.org";
const CARL: &str = "carl@example.org";

/// Clients whose names are end users'.
const NAMELESS: Peer = Peer {
    name: None,
    reverse_name: "[UNAVAILABLE]",
    address: "198.51.100.9",
};
const LINE: Peer = Peer::new("220-139-165-188.dynamic.example.net", "203.0.113.7");

/// A mail as people write it, with this text.
pub(super) fn letter(text: &str) -> String {
    format!(
        "From: Eve <eve@stranger.example>\r\nTo: Anna <anna@example.org>\r\nSubject: hello\r\n\
         Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@stranger.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n."
    )
}

impl Site {
    /// A mail from a client with a good name, which waits at its end with this reply, and is delivered later.
    pub(super) fn wait_at_end(&self, recipient: &str, message: &str, reply: &str) -> String {
        assert_eq!(self.send(OTHER, recipient, message).to_string(), reply);
        self.clock.advance(301);
        let message = self.deliver_now(recipient, message);
        assert_one_header(&message, 301, self.clock.now());
        message
    }

    /// A mail from such a client that is delivered at once.
    pub(super) fn deliver_now(&self, recipient: &str, message: &str) -> String {
        let reply = self.send(OTHER, recipient, message).to_string();
        assert!(reply.starts_with("250"), "{reply}");
        let (mailbox, _) = recipient.split_once('@').unwrap();
        unfolded(&self.postfix.message(mailbox)).replace("\n\t", " ")
    }

    /// A mail from a client that looks like an end user's waits at RCPT, and not again at its end, whatever it is.
    fn wait_at_rcpt(&self, peer: Peer, recipient: &str, message: &str, text: &str) -> String {
        let reply = self.attempt(peer, super::SENDER, recipient).to_string();
        assert_eq!(reply, text);
        self.clock.advance(301);
        let reply = self.send(peer, recipient, message).to_string();
        assert!(reply.starts_with("250"), "{reply}");
        let (mailbox, _) = recipient.split_once('@').unwrap();
        unfolded(&self.postfix.message(mailbox))
    }
}

/// The recipe with spamd where the test has it.
fn with_spamd(mut recipe: Recipe, spamd: &Server) -> Recipe {
    let socket = format!("unix:{}", spamd.socket().display());
    recipe.options = replaced(&recipe.options, "inet:127.0.0.1:783", &socket);
    recipe
}

/// What such a file has after that of S25R: who is asked, and what is spam.
const BY_SCORE: &str = "spamdsock unix \"SOCKET\"\ndacl greylist spamd > 5 msg \"SpamAssasin\"\n";

/// The recipe for greylist.conf with the file of S25R and spam by its score, as people have it: nothing in it is for the
/// test but the socket. SPF, which it does not switch off, finds nothing at the server that is returned.
fn with_s25r_and_spamd(spamd: &Server) -> (Recipe, ListServer) {
    let server = ListServer::start();
    let mut recipe = recipe("Milter for greylist.conf");
    let theirs = "/etc/milter-greylist/greylist.conf";
    let options = replaced(&recipe.options, theirs, "/etc/postfix/greylist.conf");
    recipe.options = format!("{options} --resolver={}", server.address);
    let socket = spamd.socket().display().to_string();
    let file = S25R.to_owned() + &replaced(BY_SCORE, "SOCKET", &socket);
    recipe.files.push(("greylist.conf".to_owned(), file));
    (recipe, server)
}

#[test]
fn a_file_with_s25r_and_spamd_makes_lines_wait_at_rcpt_and_spam_of_others_at_its_end() {
    let spamd = Server::start();
    let (recipe, _server) = with_s25r_and_spamd(&spamd);
    let site = start(&recipe);
    let ham = site.deliver_now(ANNA, &letter("Shall we meet?"));
    assert!(ham.contains("X-Spam-Status: No, score="), "{ham}");
    let spam = site.wait_at_end(BEN, &letter(GTUBE), "450 4.2.0 SpamAssasin");
    assert!(spam.contains("X-Spam-Flag: YES"), "{spam}");
    // On milter-greylist such mail hung at its end, for ever.
    let rule_0 = "450 4.2.0 S25R rule 0";
    let forged = Peer {
        name: None,
        ..Peer::new("mail.liar.example", "203.0.113.8")
    };
    let nameless6 = Peer {
        address: "IPV6:2001:db8::7",
        ..NAMELESS
    };
    for peer in [NAMELESS, nameless6, forged] {
        let spam = site.wait_at_rcpt(peer, CARL, &letter(GTUBE), rule_0);
        assert!(spam.contains("X-Spam-Flag: YES"), "{peer:?}: {spam}");
        assert_one_header(&spam, 301, site.clock.now());
    }
    let ham = site.wait_at_rcpt(LINE, BEN, &letter("Me again."), "450 4.2.0 S25R rule 1");
    assert!(ham.contains("X-Spam-Status: No, score="), "{ham}");
    assert_one_header(&ham, 301, site.clock.now());
    // Without spamd nobody waits at the end.
    drop(spamd);
    let unscored = site.deliver_now("dora@example.org", &letter(GTUBE));
    assert!(!unscored.contains("X-Spam-"), "{unscored}");
}

#[test]
fn by_the_recipe_of_s25r_or_spamassassin_either_makes_a_mail_wait_and_all_have_their_score() {
    let spamd = Server::start();
    let recipe = with_spamd(recipe("S25R or SpamAssassin"), &spamd);
    let site = start(&recipe);
    let ham = site.deliver_now(ANNA, &letter("Shall we meet?"));
    assert!(ham.contains("X-Spam-Score: "), "{ham}");
    let later = "450 4.2.0 Looks like spam, please try again later";
    let spam = site.wait_at_end(BEN, &letter(GTUBE), later);
    assert!(spam.contains("X-Spam-Status: Yes, score=10"), "{spam}");
    let greylisted = "450 4.2.0 Greylisted, please try again in 300 seconds";
    let spam = site.wait_at_rcpt(LINE, CARL, &letter(GTUBE), greylisted);
    assert!(spam.contains("X-Spam-Flag: YES"), "{spam}");
}

/// The list of the recipe with lists: a client is on it, and one of the documentation's networks.
const LISTS: [(&str, &str, &str); 1] = [(
    "bl.spamcop.net",
    "ip4set",
    ":127.0.0.2:Listed by cop\n192.0.2.3\n",
)];
const LISTED: Peer = Peer::new("mail.listed.example", "192.0.2.3");

/// The recipe with lists and tables, and the server of its list.
fn with_lists() -> (Recipe, ListServer) {
    let server = ListServer::serving(&LISTS);
    let mut recipe = recipe("Lists, S25R, header and body rules");
    recipe.options = format!("{} --resolver={}", recipe.options, server.address);
    (recipe, server)
}

/// A body in ISO-2022-JP and base64 that says that there are free samples.
const SAMPLES: &str = "Content-Type: text/plain; charset=iso-2022-jp\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nGyRCTDVOQSU1JXMlVyVrGyhCCg==\r\n.";

/// What [`JAPANESE`] says, as it is.
const UNENCODED: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\n出会い系\r\n.";

/// What the recipe with lists replaces, run by Postfix alone in this network. Lines of tables that are new are not there.
fn as_it_was(network: Network) -> Site {
    let page = manual::source("man/stargrey-milter.7");
    let heading = "\n.Ss Recipe: Lists, S25R, header and body rules\n";
    let (_, text) = page.split_once(heading).expect("the recipe");
    let (_, text) = text.split_once(".Bd -literal").expect("an old main.cf");
    let mut recipe = recipe("Lists, S25R, header and body rules");
    recipe.options.clear();
    recipe.files[0].1 = manual::display(text);
    for (_, table) in &mut recipe.files[1..] {
        let is_old = |line: &&str| !line.contains("GREYLIST") && !line.contains("  450 ");
        let lines: Vec<&str> = table.lines().filter(is_old).collect();
        *table = lines.join("\n") + "\n";
    }
    let rejections = "/^[^.]*[0-9][^0-9.]+[0-9]/ 450 be patient\n".to_owned();
    recipe.files.push(("rejections".to_owned(), rejections));
    start_wired(&recipe, |wiring| wiring.within(network, SMTPD))
}

#[test]
fn the_lines_that_the_recipe_with_tables_replaces_do_not_see_what_is_encoded() {
    let test = "the_lines_that_the_recipe_with_tables_replaces_do_not_see_what_is_encoded";
    let Some(network) = Network::new(test) else {
        return;
    };
    let _server = ListServer::within(&network, &LISTS);
    let site = as_it_was(network);
    let refused = site.send(OTHER, ANNA, UNENCODED).to_string();
    assert!(refused.starts_with("550 5.7.1 "), "{refused}");
    site.deliver_now(ANNA, JAPANESE);
    let subject = "Subject: =?ISO-2022-JP?B?GyRCTCQ+NUJ6OS05cBsoQg==?=\r\n\r\nhello\r\n.";
    site.deliver_now(ANNA, subject);
    let spammer = Peer::new("mail7.spammer.example", "203.0.113.9");
    for (peer, want) in [
        (LISTED, "554 5.7.1 "),
        (LINE, "450 4.7.1 "),
        (spammer, "554 5.7.1 "),
    ] {
        let reply = site.attempt(peer, super::SENDER, ANNA).to_string();
        assert!(reply.starts_with(want), "{reply}");
    }
}

#[test]
fn by_the_recipe_of_header_and_body_rules_tables_of_postfix_see_what_is_encoded() {
    let (recipe, _server) = with_lists();
    let site = start(&recipe);
    let end = |peer, message: &str| site.send(peer, ANNA, message).to_string();
    let rejected = end(
        OTHER,
        "Subject: =?ISO-2022-JP?B?GyRCTCQ+NUJ6OS05cBsoQg==?=\r\n\r\nhello\r\n.",
    );
    assert_eq!(rejected, "550 5.7.1 no advertisements");
    let later = end(OTHER, "X-Mailer: Bulk 1.0\r\n\r\nhello\r\n.");
    assert_eq!(later, "450 4.7.1 please try again later");
    let frame = end(OTHER, "Subject: x\r\n\r\n<iframe src=\"cid:x\">\r\n.");
    assert!(frame.starts_with("550 5.7.1 "), "{frame}");
    for spam in [UNENCODED, JAPANESE] {
        let refused = end(OTHER, spam);
        assert!(refused.starts_with("550 5.7.1 "), "{refused}");
    }
    let waits = "450 4.2.0 Greylisted, please try again in 300 seconds";
    site.wait_at_end(BEN, SAMPLES, waits);
    // The lists of clients.
    let friend = Peer::new("220-139-165-188.friend.example", "203.0.113.8");
    let listed = Peer::new("220-139-165-188.dynamic.example.net", "198.51.100.66");
    for peer in [friend, listed] {
        let reply = end(peer, &letter("It is me."));
        assert!(reply.starts_with("250"), "{peer:?}: {reply}");
    }
    let spammer = Peer::new("mail7.spammer.example", "203.0.113.9");
    let reply = site.attempt(spammer, super::SENDER, ANNA).to_string();
    assert_eq!(reply, "554 5.7.1 no mail from here");
    let reply = site.attempt(LISTED, super::SENDER, ANNA).to_string();
    let blocked = "550 5.7.1 Client host [192.0.2.3] blocked using bl.spamcop.net; Listed by cop";
    assert_eq!(reply, blocked);
    let reply = site.attempt(LINE, super::SENDER, ANNA).to_string();
    assert_eq!(reply, waits);
    let own = Peer::new("220-139-165-188.dynamic.example.net", "10.1.2.3");
    assert_accepted(&site.attempt(own, super::SENDER, ANNA));
}

#[test]
fn by_the_recipe_with_rspamd_its_score_and_its_results_for_signatures_decide() {
    let page = manual::source("man/stargrey-milter.7");
    let (_, text) = page
        .split_once(".Ss Recipe: rspamd before")
        .expect("a recipe");
    let (text, _) = text.split_once("\n.Ss ").expect("another");
    let files = files_shown(text, "/etc/rspamd/local.d");
    assert_eq!(files.len(), 2);
    let mut recipe = recipe("rspamd before the milter");
    let main = &mut recipe.files[0].1;
    *main = replaced(main, "inet:127.0.0.1:11332", "unix:stargrey/rspamd");
    let site = start(&recipe);
    let socket = site.postfix.milter_socket().with_file_name("rspamd");
    let _rspamd = Rspamd::start(&socket, &files);
    let forged = "X-Spamd-Result: default: False [-99.00 / 15.00]\r\n\
                  Authentication-Results: mx.example.org; dkim=pass header.d=stranger.example\r\n";
    let ham = site.deliver_now(ANNA, &format!("{forged}{}", letter("Shall we meet?")));
    assert!(ham.contains("X-Spamd-Result: default: False ["), "{ham}");
    assert!(
        ham.contains("Authentication-Results: mx.example.org; dkim=none"),
        "{ham}"
    );
    assert!(!ham.contains("-99") && !ham.contains("dkim=pass"), "{ham}");
    let later = "450 4.2.0 Looks like spam, please try again later";
    let spam = format!("{forged}{}", letter("casino"));
    site.wait_at_end(BEN, &spam, later);
    // Half as bad, and not signed, whatever its sender claims.
    let unsigned = format!("{forged}{}", letter("poker"));
    let later = "450 4.2.0 Not signed, please try again later";
    site.wait_at_end(CARL, &unsigned, later);
}

/// The site of a recipe, with this filter before our milter.
fn with_bayes(recipe: &Recipe, bayes: Bayes) -> (Site, BayesMilter) {
    let site = start(recipe);
    let socket = site.postfix.milter_socket().with_file_name("bogofilter");
    let milter = BayesMilter::start(bayes, &socket);
    (site, milter)
}

#[test]
fn by_the_recipe_with_a_bayesian_filter_what_it_takes_for_spam_waits_once() {
    for bayes in [Bayes::Bogofilter, Bayes::Bsfilter] {
        let mut recipe = recipe("A Bayesian filter before the milter");
        recipe.options = replaced(&recipe.options, "X-Bogosity", bayes.field());
        let (site, _milter) = with_bayes(&recipe, bayes);
        let ham = letter("Dear Anna, we discuss the quarterly report on Monday.");
        let ham = site.deliver_now(ANNA, &ham);
        assert!(ham.contains(&format!("\n{}: ", bayes.field())), "{ham}");
        // What a sender writes itself stands before what the filter writes.
        let forged = format!("{}: 0.000000\r\n", bayes.field());
        let spam = letter("Discount replica watches, cheap casino pills.");
        let later = "450 4.2.0 Looks like spam, please try again later";
        site.wait_at_end(BEN, &format!("{forged}{spam}"), later);
    }
}

#[test]
fn a_header_rule_about_the_field_of_a_bayesian_filter_does_the_same() {
    let page = manual::source("man/stargrey-milter.7");
    let line = "\n.Dl /^X-Bogosity: Spam,/ GREYLIST\n";
    assert!(page.contains(line), "the page shows the rule");
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("header_checks");
    fs::write(&table, line.replace(".Dl ", "")).unwrap();
    let option = format!("--header-checks={}", table.display());
    let mut recipe = recipe("A Bayesian filter before the milter");
    recipe.options = format!("--s25r {option}");
    recipe.files.truncate(1);
    let (site, _milter) = with_bayes(&recipe, Bayes::Bogofilter);
    let ham = letter("Dear Anna, we discuss the quarterly report on Monday.");
    site.deliver_now(ANNA, &ham);
    let spam = letter("Discount replica watches, cheap casino pills.");
    let waits = "450 4.2.0 Greylisted, please try again in 300 seconds";
    site.wait_at_end(BEN, &spam, waits);
}

/// The address of a user of the host.
const LOCAL: &str = "joe@local.example";

/// The numbers of that user and its group. maildrop asks for the home of the number, which nobody else may have.
const OWNER: &str = "61234:65534";

/// The home of that user, where the filter of the recipe sorts mail, and the filter's rules, in a directory that is removed
/// with this.
struct Home {
    directory: TempDir,
}

impl Home {
    /// Makes the user, and puts the rules where they belong, for programs in this network alone. The rules are those of the page; replaced is the
    /// filter's database, which is trained.
    fn within(network: &Network) -> Self {
        let page = manual::source("man/stargrey-milter.7");
        let (_, text) = page.split_once(".Pa /etc/maildroprc :\n").expect("a file");
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory };
        let database = home.path("database");
        for name in ["new", "cur", "tmp"] {
            fs::create_dir_all(home.path("home/Maildir").join(name)).unwrap();
            fs::create_dir_all(home.path("home/Maildir/.Junk").join(name)).unwrap();
        }
        fs::create_dir(&database).unwrap();
        Bayes::Bogofilter.train(&database);
        let owned = Command::new("chown")
            .args(["-R", OWNER])
            .arg(home.path(""))
            .status();
        assert!(owned.unwrap().success());
        let database = database.to_str().unwrap();
        let rules = replaced(&manual::display(text), "/var/lib/bogofilter", database);
        let place = home.path("home").display().to_string();
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let users = format!("{users}joe:x:{OWNER}:Joe:{place}:/bin/sh\n");
        for (name, text) in [("maildroprc", rules), ("passwd", users)] {
            let file = home.path(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            let theirs = Path::new("/etc").join(name);
            let mut mount = network.command("mount");
            let mounted = mount.arg("--bind").args([&file, &theirs]).status();
            assert!(mounted.unwrap().success(), "{} is there", theirs.display());
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The only message that comes into a folder, which is taken out.
    fn take(&self, folder: &str) -> String {
        let new = self.path(folder).join("new");
        let file = eventually(&format!("a message in {folder}"), || {
            Some(fs::read_dir(&new).unwrap().next()?.unwrap().path())
        });
        let message = fs::read_to_string(&file).unwrap();
        fs::remove_file(file).unwrap();
        message
    }
}

#[test]
fn by_the_recipe_with_a_filter_behind_greylisting_it_sorts_what_was_let_through() {
    let test = "by_the_recipe_with_a_filter_behind_greylisting_it_sorts_what_was_let_through";
    let Some(network) = Network::new(test) else {
        return;
    };
    let home = Home::within(&network);
    let mut recipe = recipe("A Bayesian filter behind greylisting");
    recipe.files[0].1 += "mydestination = local.example\nalias_maps =\n";
    let services = format!("{SMTPD}local unix - n n - - local\n");
    let site = start_wired(&recipe, |wiring| wiring.within(network, &services));

    let greylisted = "450 4.2.0 Greylisted, please try again in 300 seconds";
    let forged = "X-Bogosity: Ham, tests=forged\r\n";
    let (spam, ham) = ("home/Maildir/.Junk", "home/Maildir");
    for (sender, text, folder) in [
        ("eve", "Discount replica watches, cheap casino pills.", spam),
        ("joe", "Dear Anna, we discuss the report on Monday.", ham),
    ] {
        let sender = format!("{sender}@stranger.example");
        let reply = site.attempt(LINE, &sender, LOCAL).to_string();
        assert_eq!(reply, greylisted);
        site.clock.advance(301);
        let mut session = site.session(Line::Documented, LINE);
        assert_accepted(&session.attempt(&sender, LOCAL));
        assert!(session.command("DATA").is_good());
        let queued = session.command(&format!("{forged}{}", letter(text)));
        assert!(queued.is_good(), "{queued}");
        let message = home.take(folder);
        assert!(message.contains("X-Greylist: delayed 301 "), "{message}");
        assert_eq!(message.matches("X-Bogosity: ").count(), 1, "{message}");
        assert!(!message.contains("forged"), "{message}");
    }
}

/// Bodies that no mail program writes, with the field that says what they are.
const BROKEN: [&str; 7] = [
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x",
    "Content-Type: multipart/mixed\r\n\r\n--\r\n----\r\n",
    "Content-Type: multipart/mixed; boundary=\"\r\n\r\n--\"\r\n",
    "Content-Transfer-Encoding: base64\r\n\r\n=====\r\n*%$AAA\r\n",
    "Content-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=Z=",
    "Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n: no name\r\n",
    "Content-Type: text/plain; charset*=a'b'c; charset*0=; name*=%\r\n\r\n\x7f\x1b$B",
];

#[test]
fn a_message_of_30_megabytes_and_broken_ones_pass_and_nothing_is_injected_into_a_header() {
    let (mut recipe, _server) = with_lists();
    recipe.files[0].1 += "message_size_limit = 0\nvirtual_mailbox_limit = 0\n";
    let (name, table) = &mut recipe.files[2];
    assert_eq!(name, "header_checks");
    *table += "/^X-Copy: (.*)$/ PREPEND X-Copied: $1\n";
    let site = start(&recipe);
    let line = format!("{}\r\n", "x".repeat(998));
    let large = letter(&line.repeat(30 << 10));
    let large = site.deliver_now(ANNA, &large);
    assert!(large.len() > 30_000_000, "{}", large.len());
    site.daemon
        .log_until(|log| log.contains("rules about it do not match"));
    for broken in BROKEN {
        site.deliver_now(BEN, &format!("Subject: x\r\n{broken}\r\n."));
    }
    // Its words are decoded for the table: an end of line, and a field behind it.
    let word = "X-Copy: =?utf-8?Q?a=0D=0ABcc:_evil@stranger.example=0A=0D=0A?=\r\n";
    let message = site.deliver_now(CARL, &format!("{word}{}", letter("hello")));
    let (header, _) = message.split_once("\n\n").unwrap();
    assert_eq!(header.matches("\nX-Copied: a").count(), 1, "{header}");
    assert!(
        !header.contains("\nBcc:") && !header.contains('\r'),
        "{header}"
    );
}
