//! What is accepted without an effect, and what is refused: the sentence for each.

/// Why a statement has no effect, by its keyword.
pub(super) fn sentence(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "socket" => {
            "systemd opens the sockets; to move one, add a drop-in to the socket unit (systemctl edit) with \
             ListenStream="
        }
        "user" => "systemd sets the user; see User= in the unit",
        "pidfile" => "systemd knows the process",
        "nodetach" => "stargreyd never detaches",
        "dumpfile" | "dumpfreq" | "dump_no_time_translation" => {
            "each change is in the database at once; stargreyctl import milter-greylist reads an old dump file"
        }
        "logexpired" => "stargreyctl statistics counts those that never came back",
        "logfac" => "use the option --syslog-facility",
        "verbose" => "use the option --verbose",
        "noaccessdb" => "the macro {greylist} of sendmail is never asked",
        "nodrac" => "stargrey does not ask a DRAC database",
        "unbracket" => "the name is the one that the mail server has verified",
        "maxpeek" => "stargrey has its own limits for the size of a message",
        "tarpit_scope" => "a message sleeps once, whatever the number of its recipients",
        "peer" | "syncaddr" | "syncsrcaddr" | "syncmaxqlen" => {
            "stargrey does not exchange records with milter-greylist"
        }
        "geoipdb" | "geoipv6db" | "geoip2db" => {
            "stargrey does not know countries; entries with geoip are refused"
        }
        "p0fsock" => "stargrey does not know operating systems; entries with p0f are refused",
        "urlcheck" => "stargrey does not ask by URL; entries with urlcheck are refused",
        "ldapconf" | "ldapcheck" | "fixldapcheck" => {
            "stargrey does not ask LDAP; entries with ldapcheck are refused"
        }
        "nsupdate" | "tsig" => "stargrey does not update DNS; entries with nsupdate are refused",
        _ => return None,
    })
}

/// Why a clause or value is refused, by its keyword.
pub(super) fn refusal(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "geoip" => "geoip: stargrey does not know countries",
        "p0f" => "p0f: stargrey does not know operating systems",
        "urlcheck" => "urlcheck: stargrey does not ask by URL",
        "ldapcheck" => "ldapcheck: stargrey does not ask LDAP",
        "nsupdate" => "nsupdate: stargrey does not update DNS",
        _ => return None,
    })
}
