//! The command lines under which the two must agree, and the list files they share.

use super::peer::Lists;

/// One command line and what the generator has to know about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configuration {
    /// What a failure calls it.
    pub(super) name: &'static str,
    /// The options, beside those that every configuration has.
    pub(super) options: &'static [&'static str],
    /// Seconds of `--delay`.
    pub(super) delay: u64,
    /// Seconds of `--retry-window`.
    pub(super) window: u64,
    /// Days of `--max-age`; a run is kept shorter.
    pub(super) max_age: u64,
    /// The auto-whitelist's threshold.
    pub(super) threshold: u64,
    /// A connection for each request.
    pub(super) connect_anew: bool,
}

/// What Postgrey does by itself.
const DEFAULTS: Configuration = Configuration {
    name: "defaults",
    options: &[],
    delay: 300,
    window: 2 * 86_400,
    max_age: 35,
    threshold: 5,
    connect_anew: false,
};

/// Every configuration.
pub(super) const ALL: &[Configuration] = &[
    DEFAULTS,
    Configuration {
        name: "a minute, window in hours",
        options: &[
            "--delay=60",
            "--retry-window=6h",
            "--greylist-text=%s seconds for %r",
        ],
        delay: 60,
        window: 6 * 3600,
        ..DEFAULTS
    },
    Configuration {
        name: "by host, an hour, window of a day",
        options: &[
            "--lookup-by-host",
            "--ipv4cidr=8",
            "--delay=3600",
            "--retry-window=1",
        ],
        delay: 3600,
        window: 86_400,
        ..DEFAULTS
    },
    Configuration {
        name: "wide networks, threshold 2",
        options: &[
            "--ipv4cidr=16",
            "--ipv6cidr=48",
            "--auto-whitelist-clients=2",
        ],
        threshold: 2,
        ..DEFAULTS
    },
    Configuration {
        name: "uneven networks, threshold 1",
        options: &[
            "--ipv4cidr=29",
            "--ipv6cidr=63",
            "--auto-whitelist-clients=1",
        ],
        threshold: 1,
        ..DEFAULTS
    },
    Configuration {
        name: "single addresses as networks, no auto-whitelist",
        options: &[
            "--lookup-by-subnet",
            "--ipv4cidr=32",
            "--ipv6cidr=128",
            "--auto-whitelist-clients=0",
        ],
        ..DEFAULTS
    },
    Configuration {
        name: "no auto-whitelist, own action and text with a code",
        options: &[
            "--auto-whitelist-clients=0",
            "--greylist-action=451",
            "--greylist-text=4.7.1 Come back in %s s",
        ],
        ..DEFAULTS
    },
    Configuration {
        name: "bare auto-whitelist, privacy, max-age of a week",
        options: &["--auto-whitelist-clients", "--privacy", "--max-age=7"],
        max_age: 7,
        ..DEFAULTS
    },
    Configuration {
        name: "a second, three hours, long memory, text without tokens",
        options: &[
            "--delay=1",
            "--retry-window=3H",
            "--max-age=100",
            "--greylist-text=Later",
            "--greylist-action=DEFER",
        ],
        delay: 1,
        window: 3 * 3600,
        max_age: 100,
        ..DEFAULTS
    },
    Configuration {
        name: "Exim",
        options: &["--exim", "--auto-whitelist-clients=3"],
        threshold: 3,
        connect_anew: true,
        ..DEFAULTS
    },
];

/// The texts in which the two differ on purpose, made the same.
pub(super) const SAME_TEXTS: &[&str] = &[
    "--greylist-text=Greylisted: %s seconds to go, see %r",
    "--x-greylist-header=X-Greylist: delayed %t seconds at %h",
];

/// Every form of entry, with comments, blanks and lines that are wrong.
pub(super) const LISTS: Lists = Lists {
    clients: &[
        b"# names\n\
          \n\
          white.example\n\
          \t Tab.Example \t # blanks around, a comment behind\n\
          .dotted.example\n\
          *.wild.example\n\
          trail.example.\n\
          half#.example\n\
          10\n\
          two words\n\
          # expressions\n\
          /^pool-\\d+\\.dyn\\.example$/\n\
          /SMTP[0-9]{1,3}\\.(?:out|mx)\\./\n\
          /a blank/\n\
          /^mail\\-\\d\\d\\.never/\n",
        b"10.9.8.3\n\
          10.20.0.0/15\n\
          10.30.40\n\
          10.50.0.9/29\n\
          172.16.5.4/32\n\
          300.1.1.1\n\
          10.1.2.0/33\n\
          2001:db8:aa::/64\r\n\
          2001:DB8:AB:1:0:0:0:2\n\
          2001:db8:6::/129\n\
          2001:db8:::1\n\
          no newline.at the end",
    ],
    recipients: &[
        b"# addresses\n\
          Postmaster@\n\
          abuse@\n\
          chief@here.example\n\
          @nobody.example\n\
          list+owner@here.example\n\
          two words@here.example\n\
          \n\
          free.example  # and below\n",
        b"/^sales\\d+\\@here/\n\
          /^m.ller@/\n\
          /^b..ro@/\n\
          /x y/\n\
          /never@/never\n",
    ],
};
