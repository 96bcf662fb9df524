//! The database that Debian's milter-greylist writes, imported.

use std::fs;

use super::peer::{self, MilterGreylist};
use super::{Session, begun};
use crate::bus::OnBus;
use crate::support::milter::MilterReply;
use crate::support::rcpt;

/// Its delay and autowhite time, in seconds.
const TIMES: [u32; 2] = [3600, 3 * 86_400];

/// Those that wait, and one that has passed.
const TRIPLETS: [(&str, &str, &str, bool); 4] = [
    ("192.0.2.7", "a@b.example", "known@example.com", true),
    ("192.0.2.7", "Joe@B.example", "New@example.com", false),
    ("2001:db8::7", "", "new@example.com", false),
    ("198.51.100.8", "joe+x@b.example", "new@example.com", false),
];

#[test]
fn the_database_that_milter_greylist_writes_is_imported_whole() {
    let Some(program) = peer::program("import") else {
        return;
    };
    let conf = "nospf\nnoauth\nautowhite 3d\nracl greylist rcpt known@example.com delay 0s\n\
                racl greylist default delay 1h\n";
    let theirs = MilterGreylist::start(&program, conf);
    for (address, sender, recipient, passes) in TRIPLETS {
        let session = Session {
            name: Some("mx.example.net"),
            address,
            helo: "mx.example.net",
            sender: sender.to_owned(),
            recipients: Vec::new(),
        };
        // What passes at once is written down as passed when it comes again.
        for _ in 0..=u8::from(passes) {
            let mut milter = begun(&theirs.path("milter"), 6, &session);
            let is_continue = milter.rcpt(recipient).unwrap() == MilterReply::Continue;
            assert_eq!(is_continue, passes, "{address} {recipient}");
            if passes {
                milter.message(&[("Subject", "x")], b"x\r\n").unwrap();
            }
            milter.quit().unwrap();
        }
    }
    let dump = theirs.end();

    let on = OnBus::start(&["--delay=3600"]);
    let path = on.daemon.path().join("greylist.db");
    fs::write(&path, &dump).unwrap();
    let [delay, autowhite] = TIMES.map(|time| time.to_string());
    let path = path.to_str().unwrap();
    let arguments = [
        "import",
        "milter-greylist",
        path,
        "--delay",
        &delay,
        "--autowhite",
        &autowhite,
    ];
    for (key, want) in [("new", 4), ("unchanged", 4)] {
        let (code, told) = on.ctl_json(&arguments);
        assert_eq!((code, &told["read"]), (0, &4.into()), "{told}\n{dump}");
        assert_eq!(told[key], want, "{told}\n{dump}");
    }
    for (address, sender, recipient, passes) in TRIPLETS {
        let reply = on
            .daemon
            .ask(&rcpt("mx.example.net", address, sender, recipient));
        // It began to wait when milter-greylist saw it: less is left than a new one waits.
        let waits = reply.starts_with("DEFER_IF_PERMIT ");
        assert_eq!((waits, reply == "DUNNO"), (!passes, passes), "{reply}");
    }
    on.daemon
        .log_until(|log| log.matches("reason=early-retry").count() == 3);
}
