//! Corners in which the two agree and that no stream of mail gets into: restarts, reloads, odd options.

use super::peer::Lists;
use super::script::{FIRST, PASS, Script, WAIT, ask, login, mail};

/// All rows.
pub(super) fn all() -> Vec<Script> {
    let mut rows = restarts();
    rows.extend(options());
    rows.extend(clocks());
    rows.extend(lists());
    rows.into_iter().map(Script::no_departure).collect()
}

fn mail_of(number: u64, at: u64) -> String {
    let sender = format!("s@a{number}.example");
    ask(at, "192.0.2.1", &sender, "r@b.example", "")
}

fn restarts() -> Vec<Script> {
    vec![
        Script::new("restart", "what waits and what has passed is kept")
            .same(mail_of(1, 0), WAIT)
            .same(mail_of(2, 200), WAIT)
            .same(mail_of(1, 300), FIRST)
            .restart(&[])
            .same(mail_of(1, 301), PASS)
            .same(mail_of(2, 499), "DEFER_IF_PERMIT wait 1")
            .same(mail_of(2, 500), FIRST),
        Script::new(
            "restart with another delay",
            "what waits goes by the new one",
        )
        .same(mail_of(1, 0), WAIT)
        .same(mail_of(2, 0), WAIT)
        .restart(&["--delay=600"])
        .same(mail_of(1, 300), WAIT)
        .restart(&["--delay=100"])
        .same(mail_of(2, 300), FIRST),
        Script::new("restart with another threshold", "the count is kept")
            .same(mail_of(1, 0), WAIT)
            .same(mail_of(1, 300), FIRST)
            .same(mail_of(2, 400), WAIT)
            .restart(&["--auto-whitelist-clients=1"])
            .same(mail_of(2, 401), PASS)
            .restart(&["--auto-whitelist-clients=0"])
            .same(mail_of(2, 402), "DEFER_IF_PERMIT wait 298"),
    ]
}

fn options() -> Vec<Script> {
    let lines = mail(0).replace('\n', "\r\n");
    vec![
        Script::new("--no-authenticated", "it is what Postgrey does")
            .only_stargreyd(&["--no-authenticated"])
            .same(login(0, "ann"), WAIT)
            .same(login(300, "ann"), FIRST),
        Script::new("--retry-window=0", "only the same second is in time")
            .options(&["--retry-window=0"])
            .same(mail(0), WAIT)
            .same(mail(0), WAIT)
            .same(mail(100), WAIT)
            .same(mail(400), WAIT),
        Script::new("a window shorter than the delay", "nobody can pass")
            .options(&["--retry-window=1h", "--delay=7200"])
            .same(mail(0), "DEFER_IF_PERMIT wait 7200")
            .same(mail(3600), "DEFER_IF_PERMIT wait 3600")
            .same(mail(3601), "DEFER_IF_PERMIT wait 7200")
            .same(mail(10_801), "DEFER_IF_PERMIT wait 7200"),
        Script::new("options given twice", "the last one counts")
            .options(&[
                "--delay=10",
                "--delay=300",
                "--retry-window=1h",
                "--retry-window=2",
            ])
            .same(mail(0), WAIT)
            .same(mail(7200), "PREPEND X-Greylist: delayed 7200"),
        Script::new("lines that end in CR LF", "both ends are accepted").same(lines, WAIT),
    ]
}

fn clocks() -> Vec<Script> {
    vec![
        Script::new("clock set back while waiting", "the future counts as now")
            .same(mail(10_000), WAIT)
            .same(mail(5_000), WAIT)
            .same(mail(5_299), "DEFER_IF_PERMIT wait 1")
            .same(mail(5_300), FIRST)
            .same(mail(10_000), PASS),
    ]
}

fn lists() -> Vec<Script> {
    let client = |client| ask(0, client, "s@a.example", "r@b.example", "");
    let recipient = |recipient| ask(0, "192.0.2.1", "s@a.example", recipient, "");
    vec![
        Script::new("reload", "lists are read anew, and only they")
            .lists(Lists {
                clients: &[b"10.1.2.3\n"],
                recipients: &[b"chief@\n"],
            })
            .same(client("10.1.2.3"), PASS)
            .same(recipient("chief@b.example"), PASS)
            .reload(Lists {
                clients: &[b"10.9.9.9\n"],
                recipients: &[b"free.example\n"],
            })
            .same(client("10.9.9.9"), PASS)
            .same(client("10.1.2.3"), WAIT)
            .same(recipient("chief@b.example"), WAIT)
            .same(recipient("x@free.example"), PASS),
        Script::new(
            "everything in a list",
            "an entry may be as wide as it likes",
        )
        .lists(Lists {
            clients: &[b"0.0.0.0/0\n"],
            recipients: &[],
        })
        .same(client("10.1.2.3"), PASS)
        .same(client("2001:db8::1"), WAIT),
        Script::new(
            "all of IPv6 in a list",
            "an entry may be as wide as it likes",
        )
        .lists(Lists {
            clients: &[b"2000::/3\n"],
            recipients: &[],
        })
        .same(client("2001:db8::1"), PASS)
        .same(client("10.1.2.3"), WAIT),
        Script::new(
            "a lone @ in the recipient list",
            "the user before it is nobody",
        )
        .lists(Lists {
            clients: &[],
            recipients: &[b"@\n"],
        })
        .same(recipient("@b.example"), PASS)
        .same(recipient("+x@b.example"), PASS)
        .same(recipient("x@b.example"), WAIT),
    ]
}
