//! Every token of the grammar (milter-greylist 4.6.4, `conf_yacc.y`) with what becomes of it.

use super::super::Purpose;
use super::compiled::compiled_for;
use super::read;

/// What becomes of a token. Each has exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It does what it says.
    Honoured,
    /// It is accepted with a sentence, and has no effect.
    Accepted,
    /// It may be defined, with a sentence; an entry that uses it, the second text, is refused.
    Defined(&'static str),
    /// It is refused.
    Refused,
}

use Class::{Accepted, Defined, Honoured, Refused};

/// What is defined before each example.
const PRELUDE: &str = "dnsrbl \"d\" bl.example 127.0.0.2\nsm_macro \"m\" \"{x}\" \"y\"\n\
     ratelimit \"q\" rcpt 1 / 1m\nlist \"l\" addr { 192.0.2.1 }\n";

const GEOIP: Class = Defined("racl greylist geoip \"CH\"");
const P0F: Class = Defined("racl greylist p0f \"Windows\"");
const URL: Class = Defined("racl greylist urlcheck \"u\"");
const LDAP: Class = Defined("racl greylist ldapcheck \"u\"");
const NSUPDATE: Class = Defined("racl greylist addr 192.0.2.1 nsupdate \"n\"");

/// Token, class, example.
#[rustfmt::skip]
const TOKENS: &[(&str, Class, &str)] = &[
    ("TNUMBER", Honoured, "dacl greylist msgsize > 10k"),
    ("ADDR", Honoured, "racl greylist addr 192.0.2.1"),
    ("IPADDR", Honoured, "racl greylist addr 192.0.2.1"),
    ("IP6ADDR", Honoured, "racl greylist addr 2001:db8::1"),
    ("CIDR", Honoured, "racl greylist addr 192.0.2.0/24"),
    ("HELO", Honoured, "racl greylist helo \"x\""),
    ("FROM", Honoured, "racl greylist from a@b.example"),
    ("RCPT", Honoured, "racl greylist rcpt a@b.example"),
    ("EMAIL", Honoured, "racl greylist from a@b.example"),
    ("PEER", Accepted, "peer mx2.example timeout 5m"),
    ("AUTOWHITE", Honoured, "autowhite 3d"),
    ("GREYLIST", Honoured, "greylist 10m"),
    ("NOAUTH", Honoured, "noauth"),
    ("NOACCESSDB", Accepted, "noaccessdb"),
    ("EXTENDEDREGEX", Honoured, "extendedregex"),
    ("NOSPF", Honoured, "nospf"),
    ("QUIET", Honoured, "quiet"),
    ("TESTMODE", Honoured, "testmode"),
    ("MULTIRACL", Honoured, "multiracl"),
    ("VERBOSE", Accepted, "verbose"),
    ("PIDFILE", Accepted, "pidfile \"/run/x.pid\""),
    ("GLDUMPFILE", Accepted, "dumpfile \"/var/x.db\" 600"),
    ("QSTRING", Honoured, "racl greylist helo \"x\""),
    ("TDELAY", Honoured, "racl greylist addr 192.0.2.1 delay 5m"),
    ("SUBNETMATCH", Honoured, "subnetmatch /24"),
    ("SUBNETMATCH6", Honoured, "subnetmatch6 /64"),
    ("SOCKET", Accepted, "socket \"/run/x.sock\" 660"),
    ("USER", Accepted, "user \"smmsp:smmsp\""),
    ("NODETACH", Accepted, "nodetach"),
    ("REGEX", Honoured, "racl greylist helo /x/"),
    ("REPORT", Honoured, "report none"),
    ("NONE", Honoured, "report none"),
    ("DELAYS", Honoured, "report delays"),
    ("NODELAYS", Honoured, "report nodelays"),
    ("ALL", Honoured, "report all"),
    ("LAZYAW", Honoured, "lazyaw"),
    ("GLDUMPFREQ", Accepted, "dumpfreq -1"),
    ("GLTIMEOUT", Honoured, "timeout 5d"),
    ("DOMAIN", Honoured, "racl greylist domain a.example"),
    ("DOMAINNAME", Honoured, "racl greylist domain a.example"),
    ("SYNCADDR", Accepted, "syncaddr * port 5252"),
    ("SYNCSRCADDR", Accepted, "syncsrcaddr 192.0.2.1"),
    ("SYNCMAXQLEN", Accepted, "syncmaxqlen 100"),
    ("PORT", Accepted, "syncaddr 192.0.2.1 port 5252"),
    ("ACL", Honoured, "acl greylist addr 192.0.2.1"),
    ("WHITELIST", Honoured, "racl whitelist addr 192.0.2.1"),
    ("DEFAULT", Honoured, "racl greylist default"),
    ("STAR", Honoured, "racl continue addr 192.0.2.1 set $x=1\nracl greylist *$x \"y\""),
    ("DELAYEDREJECT", Honoured, "delayedreject"),
    ("DB", Refused, "drac db \"/x\""),
    ("NODRAC", Accepted, "nodrac"),
    ("DRAC", Refused, "drac db \"/x\""),
    ("DUMP_NO_TIME_TRANSLATION", Accepted, "dump_no_time_translation"),
    ("LOGEXPIRED", Accepted, "logexpired"),
    ("GLXDELAY", Honoured, "racl greylist addr 192.0.2.1 delay 5m"),
    ("DNSRBL", Honoured, "racl greylist dnsrbl \"d\""),
    ("LIST", Honoured, "racl greylist list \"l\""),
    ("OPENLIST", Honoured, "list \"k\" addr { 192.0.2.1 }"),
    ("CLOSELIST", Honoured, "list \"k\" addr { 192.0.2.1 }"),
    ("BLACKLIST", Honoured, "racl blacklist addr 192.0.2.1"),
    ("FLUSHADDR", Accepted, "racl blacklist addr 192.0.2.1 flushaddr"),
    ("CODE", Honoured, "racl blacklist addr 192.0.2.1 code \"550\""),
    ("ECODE", Honoured, "racl blacklist addr 192.0.2.1 ecode \"5.7.1\""),
    ("MSG", Honoured, "racl blacklist addr 192.0.2.1 msg \"x\""),
    ("SM_MACRO", Honoured, "racl greylist sm_macro \"m\""),
    ("UNSET", Honoured, "sm_macro \"n\" \"{x}\" unset"),
    ("URLCHECK", URL, "urlcheck \"u\" \"http://x/\" 5 postmsg"),
    ("RACL", Honoured, "racl \"id\" greylist addr 192.0.2.1"),
    ("DACL", Honoured, "dacl \"id\" greylist addr 192.0.2.1"),
    ("GLHEADER", Honoured, "dacl greylist header \"x\""),
    ("BODY", Honoured, "dacl greylist body /x/"),
    ("MAXPEEK", Accepted, "maxpeek 10k"),
    ("STAT", Honoured, "stat \">>/x\" \"%r\""),
    ("POSTMSG", URL, "urlcheck \"u\" \"http://x/\" 5 postmsg"),
    ("FORK", URL, "urlcheck \"u\" \"http://x/\" 5 fork"),
    ("GETPROP", URL, "urlcheck \"u\" \"http://x/\" 5 getprop clear"),
    ("CLEAR", URL, "urlcheck \"u\" \"http://x/\" 5 getprop clear"),
    ("PROP", Honoured, "racl continue addr 192.0.2.1 set $x=1\nracl greylist $x \"y\""),
    ("AUTH", Honoured, "racl greylist auth \"x\""),
    ("TLS", Honoured, "racl greylist tls /x/"),
    ("SPF", Honoured, "racl greylist spf"),
    ("MSGSIZE", Honoured, "dacl greylist msgsize > 10k"),
    ("RCPTCOUNT", Honoured, "racl greylist rcptcount >= 10"),
    ("OP", Honoured, "racl greylist rcptcount >= 10"),
    ("NO", Honoured, "racl greylist not addr 192.0.2.1"),
    ("SLASH", Honoured, "ratelimit \"r\" rcpt 10 / 1h"),
    ("MINUS", Honoured, "racl greylist time \"* 9-17 * * *\""),
    ("COMMA", Honoured, "racl whitelist addr 192.0.2.1 addheader \"X: y\",1"),
    ("TIME", Honoured, "racl greylist time \"* 9-17 * * *\""),
    ("GEOIPDB", GEOIP, "geoipdb \"/x\""),
    ("GEOIPV6DB", GEOIP, "geoipv6db \"/x\""),
    ("GEOIP2DB", GEOIP, "geoip2db \"/x\""),
    ("GEOIP", GEOIP, "list \"g\" geoip { \"CH\" }"),
    ("PASS", Honoured, "racl greylist spf pass"),
    ("FAIL", Honoured, "racl greylist spf fail"),
    ("SOFTFAIL", Honoured, "racl greylist spf softfail"),
    ("NEUTRAL", Honoured, "racl greylist spf neutral"),
    ("UNKNWON", Honoured, "racl greylist spf unknown"),
    ("ERROR", Honoured, "racl greylist spf error"),
    ("SELF", Honoured, "racl greylist spf self"),
    ("SPF_STATUS", Honoured, "racl greylist spf none"),
    ("LDAPCONF", LDAP, "ldapconf \"ldap://x\" timeout 2s binddn \"x\" bindpw \"y\""),
    ("LDAPCHECK", LDAP, "ldapcheck \"u\" \"ldap://x\" clear domatch noescape"),
    ("LOGFAC", Accepted, "logfac none"),
    ("LOGFAC_KERN", Accepted, "logfac kern"),
    ("LOGFAC_USER", Accepted, "logfac user"),
    ("LOGFAC_MAIL", Accepted, "logfac mail"),
    ("LOGFAC_DAEMON", Accepted, "logfac daemon"),
    ("LOGFAC_AUTH", Accepted, "logfac auth"),
    ("LOGFAC_SYSLOG", Accepted, "logfac syslog"),
    ("LOGFAC_LPR", Accepted, "logfac lpr"),
    ("LOGFAC_NEWS", Accepted, "logfac news"),
    ("LOGFAC_UUCP", Accepted, "logfac uucp"),
    ("LOGFAC_CRON", Accepted, "logfac cron"),
    ("LOGFAC_AUTHPRIV", Accepted, "logfac authpriv"),
    ("LOGFAC_FTP", Accepted, "logfac ftp"),
    ("LOGFAC_LOCAL0", Accepted, "logfac local0"),
    ("LOGFAC_LOCAL1", Accepted, "logfac local1"),
    ("LOGFAC_LOCAL2", Accepted, "logfac local2"),
    ("LOGFAC_LOCAL3", Accepted, "logfac local3"),
    ("LOGFAC_LOCAL4", Accepted, "logfac local4"),
    ("LOGFAC_LOCAL5", Accepted, "logfac local5"),
    ("LOGFAC_LOCAL6", Accepted, "logfac local6"),
    ("LOGFAC_LOCAL7", Accepted, "logfac local7"),
    ("P0F", P0F, "list \"g\" p0f { /^Windows/ }"),
    ("P0FSOCK", P0F, "p0fsock \"/x\""),
    ("DKIMCHECK", Honoured, "dacl greylist dkim fail"),
    ("SPAMDSOCK", Honoured, "spamdsock unix \"/x\""),
    ("SPAMDSOCKT", Honoured, "spamdsock inet \"127.0.0.1:783\""),
    ("SPAMD", Honoured, "dacl greylist spamd > 5"),
    ("DOMAINEXACT", Honoured, "domainexact"),
    ("ADDHEADER", Honoured, "racl whitelist addr 192.0.2.1 addheader \"X: y\""),
    ("NOLOG", Honoured, "racl whitelist addr 192.0.2.1 nolog"),
    ("LDAPBINDDN", LDAP, "ldapconf \"ldap://x\" timeout 2s binddn \"x\" bindpw \"y\""),
    ("LDAPBINDPW", LDAP, "ldapconf \"ldap://x\" timeout 2s binddn \"x\" bindpw \"y\""),
    ("TARPIT", Honoured, "racl whitelist addr 192.0.2.1 tarpit 5s"),
    ("TARPIT_SCOPE", Accepted, "tarpit_scope session"),
    ("SESSION", Honoured, "ratelimit \"r\" session 10 / 1h"),
    ("COMMAND", Accepted, "racl whitelist addr 192.0.2.1 tarpit_scope command"),
    ("MX", Honoured, "racl greylist mx /24"),
    ("RATELIMIT", Honoured, "racl greylist ratelimit \"q\""),
    ("KEY", Honoured, "ratelimit \"r\" rcpt 10 / 1h key \"%i\""),
    ("DOMATCH", LDAP, "ldapcheck \"u\" \"ldap://x\" clear domatch noescape"),
    ("DATA", Honoured, "ratelimit \"r\" data 10M / 1h"),
    ("LOCALADDR", Honoured, "localaddr 192.0.2.1"),
    ("ADDFOOTER", Refused, "dacl whitelist header \"x\" addfooter \"y\""),
    ("CONTINUE", Honoured, "racl continue addr 192.0.2.1 log \"%i\""),
    ("FIXLDAPCHECK", LDAP, "fixldapcheck"),
    ("SUBJTAG", Refused, "dacl whitelist header \"x\" subjtag \"y\""),
    ("NOENCODE", URL, "urlcheck \"u\" \"http://x/\" 5 noencode"),
    ("NOESCAPE", LDAP, "ldapcheck \"u\" \"ldap://x\" clear domatch noescape"),
    ("TSIG", NSUPDATE, "tsig \"x\" \"hmac-md5\" \"x\""),
    ("NSUPDATE", NSUPDATE, "nsupdate \"n\" { rname \"x\" rvalue \"y\" }"),
    ("SERVERS", NSUPDATE, "nsupdate \"n\" { servers \"x\" }"),
    ("RNAME", NSUPDATE, "nsupdate \"n\" { rname \"x\" rvalue \"y\" }"),
    ("RVALUE", NSUPDATE, "nsupdate \"n\" { rname \"x\" rvalue \"y\" }"),
    ("TTL", NSUPDATE, "nsupdate \"n\" { ttl 5m }"),
    ("CLASS", NSUPDATE, "nsupdate \"n\" { class 1 }"),
    ("TYPE", NSUPDATE, "nsupdate \"n\" { type 1 }"),
    ("UNBRACKET", Accepted, "unbracket"),
    ("SET", Honoured, "racl continue addr 192.0.2.1 set $x=1"),
    ("RSET", Honoured, "racl continue addr 192.0.2.1 rset $x=1"),
    ("EQSET", Honoured, "racl continue addr 192.0.2.1 set $x=1"),
    ("INCSET", Honoured, "racl continue addr 192.0.2.1 set $x+=1"),
    ("DECSET", Honoured, "racl continue addr 192.0.2.1 set $x-=1"),
    ("LOG", Honoured, "racl continue addr 192.0.2.1 log \"%i\""),
    ("RAWFROM", Honoured, "racl greylist rawfrom a@b.example"),
];

/// How many tokens the grammar declares, `GEOIP2DB` of later patches among them.
const COUNT: usize = 167;

#[test]
fn every_token_of_the_grammar_has_exactly_one_class() {
    let mut names: Vec<&str> = TOKENS.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((TOKENS.len(), names.len()), (COUNT, COUNT));
}

#[test]
fn every_token_is_treated_as_its_class_says() {
    let prelude_lines = PRELUDE.lines().count();
    let authserv_ids = ["mx".into()];
    let purpose = Purpose {
        has_milter: true,
        has_score: true,
        authserv_ids: &authserv_ids,
        ..Purpose::PLAIN
    };
    for (name, class, example) in TOKENS {
        let text = format!("{PRELUDE}{example}\n");
        let (conf, mut errors, mut warnings) = read(&text);
        if *class != Refused {
            let (_, more_errors, more_warnings) = compiled_for(purpose, &text);
            let place = |text: String| text.replacen("f:", "", 1);
            errors.extend(more_errors.into_iter().map(place));
            warnings.extend(more_warnings.into_iter().map(place));
        }
        let last = format!("{}:", prelude_lines + example.lines().count());
        match class {
            Honoured => {
                assert_eq!(errors, Vec::<String>::new(), "{name}: {example}");
                // The destination of stat is not honoured, and that is said.
                let sentences = usize::from(*name == "STAT");
                assert_eq!(warnings.len(), sentences, "{name}: {example}: {warnings:?}");
            }
            Accepted | Defined(_) => {
                assert_eq!(errors, Vec::<String>::new(), "{name}: {example}");
                assert_eq!(warnings.len(), 1, "{name}: {example}: {warnings:?}");
                assert!(warnings[0].starts_with(&last), "{warnings:?}");
                assert!(warnings[0].contains("has no effect"), "{warnings:?}");
            }
            Refused => {
                assert_eq!(errors.len(), 1, "{name}: {example}");
                assert!(errors[0].starts_with(&last), "{errors:?}");
                assert!(conf.recipient.is_empty() && conf.message.is_empty());
            }
        }
        if let Defined(used) = class {
            let (conf, errors, _) = read(format!("{example}\n{used} delay 5m\n"));
            assert_eq!(errors.len(), 1, "{name}: {used}");
            assert!(errors[0].starts_with("2:"), "{errors:?}");
            assert!(errors[0].contains("apply to everybody"), "{errors:?}");
            assert_eq!(conf.recipient, [], "never an entry without its clause");
        }
    }
}

#[test]
fn words_are_in_any_case_and_may_have_a_colon() {
    for (name, _, example) in TOKENS {
        let first = example.split(' ').next().unwrap();
        let shouted = example.replacen(first, &format!("{}:", first.to_ascii_uppercase()), 1);
        let treated = |text: &str| {
            let (conf, errors, warnings) = read(format!("{PRELUDE}{text}\n"));
            let entries = conf.recipient.len() + conf.message.len();
            (entries, errors.len(), warnings.len())
        };
        assert_eq!(treated(&shouted), treated(example), "{name}: {shouted}");
    }
}
