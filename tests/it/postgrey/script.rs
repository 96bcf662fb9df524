//! A short conversation that is held with both sides, and what each must say.

use std::fmt::Write as _;
use std::time::Duration;

use super::peer::{Answer, Lists, PATIENCE, Postgrey, Wire};
use crate::support::Daemon;

/// How long postgrey may be silent before the silence is believed. Only for steps that expect it.
const SILENCE: Duration = Duration::from_millis(500);

/// A time to begin at, later than any real clock.
const T: u64 = 4_000_000_000;

/// A stranger's answer under the short texts.
pub(super) const WAIT: &str = "DEFER_IF_PERMIT wait 300";

/// The answer to the first pass after exactly the delay.
pub(super) const FIRST: &str = "PREPEND X-Greylist: delayed 300";

/// The answer that lets mail pass.
pub(super) const PASS: &str = "DUNNO";

/// A request at second `at` of the test; `more` is lines with their ends.
pub(super) fn ask(at: u64, client: &str, sender: &str, recipient: &str, more: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address={client}\n\
         client_name=mail.example\nsender={sender}\nrecipient={recipient}\n{more}\
         policy_test_time={}\n\n",
        T + at
    )
}

/// The usual request.
pub(super) fn mail(at: u64) -> String {
    ask(at, "192.0.2.1", "s@a.example", "r@b.example", "")
}

/// The usual request from a client with this login; without one it has not authenticated itself.
pub(super) fn login(at: u64, name: &str) -> String {
    let login = format!("sasl_method=PLAIN\nsasl_username={name}\nsasl_sender=\n");
    ask(at, "192.0.2.1", "s@a.example", "r@b.example", &login)
}

/// What a side must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// This action.
    Is(String),
    /// An action with this start and this end; `0` in the end stands for any digit.
    Around(&'static str, &'static str),
    /// Nothing, and the connection stays open.
    Silence,
    /// Nothing, and the connection is closed.
    Closed,
    /// Nothing, and the whole daemon is gone.
    Death,
    /// So many answers.
    Answers(usize),
    /// Fewer answers than that, and no more.
    FewerAnswers(usize),
}

/// One step of a script.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes on a connection of their own.
    Send(Vec<u8>, Want, Want),
    /// Both are ended and started with these options instead, on the database they had.
    Restart(&'static [&'static str]),
    /// Both read these lists.
    Reload(Lists),
}

/// A conversation with a name and the reason for what is said in it.
#[derive(Debug, Clone)]
pub(super) struct Script {
    name: &'static str,
    reason: &'static str,
    options: &'static [&'static str],
    stargreyd_only: &'static [&'static str],
    lists: Lists,
    senders: Option<&'static str>,
    settable_clock: bool,
    postgrey_starts: bool,
    departs: bool,
    steps: Vec<Step>,
}

/// Texts in which the two do not differ, short enough to be written out.
const TEXTS: [&str; 2] = [
    "--greylist-text=wait %s",
    "--x-greylist-header=X-Greylist: delayed %t",
];

impl Script {
    /// Nothing is said yet; in all, the two must differ somewhere.
    pub(super) fn new(name: &'static str, reason: &'static str) -> Self {
        Self {
            name,
            reason,
            options: &[],
            stargreyd_only: &[],
            lists: Lists::default(),
            senders: None,
            settable_clock: true,
            postgrey_starts: true,
            departs: true,
            steps: Vec::new(),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Options for both; they come behind short texts.
    pub(super) fn options(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    /// Options that only stargreyd has.
    pub(super) fn only_stargreyd(mut self, options: &'static [&'static str]) -> Self {
        self.stargreyd_only = options;
        self
    }

    /// List files for both.
    pub(super) fn lists(mut self, lists: Lists) -> Self {
        self.lists = lists;
        self
    }

    /// A sender list for stargreyd.
    pub(super) fn sender_list(mut self, content: &'static str) -> Self {
        self.senders = Some(content);
        self
    }

    /// stargreyd is started as in production, without `--policy-test-time`.
    pub(super) fn production_clock(mut self) -> Self {
        self.settable_clock = false;
        self
    }

    /// The two say the same throughout.
    pub(super) fn no_departure(mut self) -> Self {
        self.departs = false;
        self
    }

    /// Postgrey does not start with these options or lists, so nothing is asked of it.
    pub(super) fn postgrey_refuses_to_start(mut self) -> Self {
        self.postgrey_starts = false;
        self
    }

    /// Both say the same.
    pub(super) fn same(self, bytes: impl AsRef<[u8]>, want: &str) -> Self {
        let want = Want::Is(want.to_owned());
        self.differ(bytes, want.clone(), want)
    }

    /// One action from Postgrey, another from stargreyd.
    pub(super) fn actions(self, bytes: impl AsRef<[u8]>, postgrey: &str, stargreyd: &str) -> Self {
        let want = |text: &str| Want::Is(text.to_owned());
        self.differ(bytes, want(postgrey), want(stargreyd))
    }

    /// Whatever is said, by Postgrey and by stargreyd.
    pub(super) fn differ(
        mut self,
        bytes: impl AsRef<[u8]>,
        postgrey: Want,
        stargreyd: Want,
    ) -> Self {
        let bytes = bytes.as_ref().to_vec();
        self.steps.push(Step::Send(bytes, postgrey, stargreyd));
        self
    }

    /// Both start again with other options.
    pub(super) fn restart(mut self, options: &'static [&'static str]) -> Self {
        self.steps.push(Step::Restart(options));
        self
    }

    /// Both read other lists.
    pub(super) fn reload(mut self, lists: Lists) -> Self {
        self.steps.push(Step::Reload(lists));
        self
    }

    /// Holds the conversation; what went otherwise, told in full.
    pub(super) fn run(&self) -> Result<(), String> {
        self.hold()
            .map_err(|story| format!("{} ({}): {story}", self.name, self.reason))
    }

    fn hold(&self) -> Result<(), String> {
        let mut postgrey = self.start_postgrey()?;
        let mut stargreyd = Daemon::prepare();
        stargreyd.run(&self.stargreyd_options(&stargreyd, self.options));
        let mut departs = postgrey.is_none();
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Send(bytes, from_postgrey, from_stargreyd) => {
                    departs |= from_postgrey != from_stargreyd;
                    let fault = |who: &str, fault: String| {
                        let request = bytes.get(..bytes.len().min(1500)).unwrap_or_default();
                        let request = request.escape_ascii();
                        format!("step {number}, {who}: {fault}\n  asked: {request}")
                    };
                    if let Some(postgrey) = &mut postgrey {
                        ask_postgrey(postgrey, bytes, from_postgrey)
                            .map_err(|text| fault("postgrey", text))?;
                    }
                    let wire = Wire::open(&stargreyd.socket(), PATIENCE);
                    let wire = wire.map_err(|error| fault("stargreyd", error.to_string()))?;
                    expect(wire, bytes, from_stargreyd).map_err(|text| fault("stargreyd", text))?;
                }
                Step::Restart(options) => {
                    if let Some(postgrey) = &mut postgrey {
                        postgrey.restart(&postgrey_options(options), self.lists);
                    }
                    assert!(stargreyd.stop().success(), "{}", stargreyd.log());
                    stargreyd.run(&self.stargreyd_options(&stargreyd, options));
                }
                Step::Reload(lists) => {
                    if let Some(postgrey) = &mut postgrey {
                        postgrey.reload(*lists);
                    }
                    lists.write(stargreyd.path());
                    stargreyd.signal("HUP");
                    stargreyd.wait_for("READY=1");
                }
            }
        }
        if departs == self.departs {
            Ok(())
        } else {
            Err("whether this is a departure is not as it says".to_owned())
        }
    }

    /// Postgrey, unless it is said not to start.
    fn start_postgrey(&self) -> Result<Option<Postgrey>, String> {
        let mut options = postgrey_options(self.options);
        if !self.postgrey_starts {
            options.extend(self.stargreyd_only.iter().map(|&option| option.to_owned()));
        }
        match (Postgrey::start(&options, self.lists), self.postgrey_starts) {
            (Ok(postgrey), true) => Ok(Some(postgrey)),
            (Err(_), false) => Ok(None),
            (Ok(_), false) => Err("postgrey starts".to_owned()),
            (Err(log), true) => Err(format!("postgrey does not start: {log}")),
        }
    }

    fn stargreyd_options(&self, daemon: &Daemon, options: &[&str]) -> Vec<String> {
        let mut all = postgrey_options(options);
        all.extend(self.stargreyd_only.iter().map(|&option| option.to_owned()));
        all.extend(self.lists.write(daemon.path()));
        if let Some(content) = self.senders {
            let path = daemon.path().join("senders");
            std::fs::write(&path, content).expect("a list file is written");
            all.push(format!("--whitelist-senders={}", path.display()));
        }
        if self.settable_clock {
            all.push("--policy-test-time".to_owned());
        }
        all
    }
}

fn postgrey_options(options: &[&str]) -> Vec<String> {
    // An empty word as the first option asks for the texts that each has by itself.
    let (texts, options): (&[&str], _) = match options {
        ["", options @ ..] => (&[], options),
        options => (&TEXTS, options),
    };
    let all = texts.iter().chain(options);
    all.map(|&option| option.to_owned()).collect()
}

fn ask_postgrey(postgrey: &mut Postgrey, bytes: &[u8], want: &Want) -> Result<(), String> {
    let patience = match want {
        Want::Silence | Want::FewerAnswers(_) => SILENCE,
        Want::Is(_) | Want::Around(..) | Want::Closed | Want::Death | Want::Answers(_) => PATIENCE,
    };
    expect(postgrey.connect(patience), bytes, want)?;
    if *want == Want::Death && !postgrey.dies() {
        return Err("it lives on".to_owned());
    }
    Ok(())
}

/// Sends the bytes and checks what comes back.
fn expect(mut wire: Wire, bytes: &[u8], want: &Want) -> Result<(), String> {
    let have = match want {
        Want::Answers(most) | Want::FewerAnswers(most) => {
            return expect_many(wire, bytes, want, *most);
        }
        Want::Is(_) | Want::Around(..) | Want::Silence | Want::Closed | Want::Death => {
            wire.ask(bytes)
        }
    };
    let fits = match (want, &have) {
        (Want::Is(want), Answer::Action(have)) => want == have,
        (Want::Around(start, end), Answer::Action(have)) => is_around(start, end, have),
        (Want::Silence, have) => *have == Answer::Silence,
        (Want::Closed | Want::Death, have) => *have == Answer::Closed,
        (
            Want::Is(_) | Want::Around(..) | Want::Answers(_) | Want::FewerAnswers(_),
            Answer::Action(_) | Answer::Silence | Answer::Closed,
        ) => false,
    };
    if fits {
        Ok(())
    } else {
        let mut story = String::new();
        write!(story, "wanted {want:?}, got {have:?}").expect("a String");
        Err(story)
    }
}

fn expect_many(mut wire: Wire, bytes: &[u8], want: &Want, most: usize) -> Result<(), String> {
    wire.send(bytes);
    let answers = (0..most).take_while(|_| matches!(wire.answer(), Answer::Action(_)));
    let answers = answers.count();
    if (answers == most) == (*want == Want::Answers(most)) {
        Ok(())
    } else {
        Err(format!("wanted {want:?}, got {answers} answers"))
    }
}

fn is_around(start: &str, end: &str, have: &str) -> bool {
    let Some(rest) = have.strip_prefix(start) else {
        return false;
    };
    let Some(tail) = rest
        .len()
        .checked_sub(end.len())
        .and_then(|at| rest.get(at..))
    else {
        return false;
    };
    end.bytes()
        .zip(tail.bytes())
        .all(|(want, have)| match want {
            b'0' => have.is_ascii_digit(),
            want => want == have,
        })
}
