//! Tables as people write them, and as nobody should.

use std::fmt::Write as _;

use stargrey::policy::s25r;

/// The seven rules of S25R, each with its number.
pub(super) fn s25r() -> String {
    let mut table = "# S25R\n".to_owned();
    for (rule, pattern) in s25r::PATTERNS.iter().enumerate() {
        writeln!(table, "/{pattern}/ REJECT {rule}").unwrap();
    }
    table
}

/// Tables of which every line has a meaning.
pub(super) const TABLES: &[(&str, &str)] = &[
    (
        "a rule from the end of S25R",
        "/^[^.]*[0-9]{5}/ check_greylist\n/^(dhcp|ppp)[^.]*[0-9]/ check_greylist\n",
    ),
    (
        "S25R with replies",
        r"
/^unknown$/                     450 4.7.1 reverse lookup failure, be patient
/^([^.]*)[0-9][^0-9.]+[0-9].*\./  450 S25R check for ${1}, be patient [r1]
/^([^.]*)([0-9]{5})/            550 5.7.1 $1/$2 costs $$5
/^([a-z]+)-?([0-9]*)\.(.*)$/    DEFER_IF_PERMIT <$1><$(2)> at ${3}!
/(.)(.*)(.)/                    REJECT [$1] [$2] [$3] $3$2$1
",
    ),
    (
        "a white list",
        r"
# 2024-01-01 (*)
/\.google\.com$/        OK
/^mail-[a-z]{2}[0-9]+-[fx][0-9a-f]+\.google\.com$/ OK
/\.outbound\.protection\.outlook\.com$/ OK
/^a[0-9]+-[0-9]+\.smtp-out\.(.+\.)?example\.com$/ OK
/^2001:db8:/            OK
/^192\.0\.2\./          RELAY
",
    ),
    (
        "the wiring of permit_client_nots25r",
        r"
/\.dyn\.example\.net$/  WARN listed
/^user.+\.example\.com$/ WARN listed
!/(^unknown$)|(^[^.]*[0-9][^0-9.]+[0-9].*\.)|(^[^.]*[0-9]{5})|(^([^.]+\.)?[0-9][^.]*\.[^.]+\..+\.[a-z])|(^[^.]*[0-9]\.[^.]*[0-9]-[0-9])|(^[^.]*[0-9]\.[^.]*[0-9]\.[^.]+\..+\.)|(^(dhcp|dialup|ppp|[achrsvx]?dsl)[^.]*[0-9])/ OK
",
    ),
    (
        "if and endif",
        r"
if /\.example\./
  
/^mail/ OK mail
if !/[0-9]/
/^mta-/ OK never
/jp$/ OK jp
ENDIF
If /[0-9]{4}/i
/^p/ OK p
endIf
if /google/
!/./ OK never
endif
/com$/ OK com
endif
if !/a/
if !/b/
if !/c/
/d/ OK d
endif
endif
endif
if/x/
/xdsl/ OK xdsl
endif
/^[0-9.]+$/ OK digits
",
    ),
    (
        "delimiters",
        r"
#not a rule# OK
~^mail-~ OK ~
%^a/b$% OK %
,^a\,b, OK ,
=^ppp= OK =
(^[0-9]+\.( OK (
[^\[a\]$[ OK [
{^c{ OK {
|^h| OK |
.mta\.. OK .
$^o$ OK dollar
?^u? OK ?
*^vps* OK *
^mx[0-9]^ OK ^
! ! !/[aeiou]/ OK !
! !/\//! ! /a/i OK two
_ec2_ OK _
'_'	OK a tab
",
    ),
    (
        "flags",
        r"
/^mail/i OK lower
/^MAIL/i OK upper
/^Mail/ii OK both
/^A\{1\}$/x OK brace
/^\(a\|b\)\{2\}$/x OK basic
/^a+$/x OK plus
/^a\?b\+$/xi OK gnu
/*a/x OK star
/\(*\)a/x OK star in a group
/^*/x OK star after a caret
/a$b/x OK dollar inside
/x^\|^z/x OK carets
/^o/m OK lines
/^c.*[^a]$/mi OK lines, case
/^h/mix OK all
",
    ),
    (
        "continued lines",
        "# a\n/^mail\n # no\n\n\t/\n  OK   one \n \n# no\n two  \n\n/^smtp/ OK\n\r\n\t\n/^a/ OK\r\n/^b/\tOK\t \n/^p/ OK \x0b\n/^h/ OK",
    ),
    (
        "classes",
        r"
/^[[:digit:]]+$/ OK digit
/^[[:upper:]]+$/i OK upper
/^[[:lower:]]+$/i OK lower
/^[[:upper:]]+$/ OK any case
/^[[:alpha:].]+$/ OK alpha
/^[[:xdigit:]:]+$/ OK xdigit
/^[[:alnum:]-]+$/ OK alnum
/^[[:blank:]]+/ OK blank
/^[[:punct:]]+$/ OK punct
/[[:cntrl:]]/ OK cntrl
/^[^[:graph:]]/ OK graph
/^[^[:print:]]/ OK print
/[[:space:]]$/ OK space
/^[[.a.]-[.c.]][[=x=][=z=]]/ OK collating
/^[]a-]/ OK closing
/^[^]a-z0-9]/ OK not closing
/^[\d]/ OK backslash
/^[a\]0]/ OK closed by a backslash
/^[+--]/ OK range of hyphens
/^[[-a]/i OK range from a bracket
/^[x-]/ OK hyphen
/^[^^]..../ OK caret
/./ OK any
/^$/ OK empty
",
    ),
    (
        "intervals",
        r"
/^a{3}$/ OK 3
/^a{5,}$/ OK 5 and more
/^(ab){2}$/ OK group
/^[0-9]{1,3}(\.[0-9]{1,3}){3}$/ OK address
/^([^.]+\.){5,6}[a-z]{2,}$/ OK labels
/^a{,2}b{0,1}c{0}$/ OK from nothing
/^(x{2}){1,2}{1,2}*+?y{0,0}/ OK stacked
/^[a-f0-9:]{,}$/ OK without bounds
/^[a-z]{2,3}-?[0-9]{1,5}{1}\./ OK name
/^.{200,}$/ OK long
",
    ),
    (
        "escapes",
        r"
/^\d/ OK never
/^\d/i OK d
/^\w+$/ OK word
/^\W+$/ OK no word
/\<mail\>/ OK mail
/\bip\b/ OK ip
/\Bnet\b/ OK net
/^[^.]+\s/ OK blank
/^\S{5,8}$/ OK no blank
/\`smtp/ OK smtp
/jp\'/ OK jp
/\./ OK dot
/\$/ OK dollar
/\^/ OK caret
/\(|\)|\[|\]|\{|\}/ OK brackets
/\// OK slash
/\-/ OK hyphen
/\n/i OK n
/\\/ OK backslash
/\0/ OK zero
/a\ b/ OK a blank
/\B/ OK inside
",
    ),
    (
        "corners",
        r"
/()^()unknown()$()/ OK groups of nothing
/^(|a)(b|)$/ OK branches of nothing
/^a||b$|c{3}/ OK more of nothing
",
    ),
    (
        "more corners",
        r"
/a)b|^\)/ OK closing
/^}|a}/ OK brace
/a^b|b$c/ OK never
/(^|a)b($|a)/ OK anchors in groups
/(^)?z{2}/ OK repeated anchor
/^(.*)\.(.*)\.(.*)$/ REJECT $3 $2 $1
/^(a*)(a?)(a+)$/ REJECT <$1> <$2> <$3>
/^([^.]*)(\.?)([^.]*)$/ REJECT <$1> <$2> <$3>
/(.?)(.?)/ REJECT <$1> <$2>
",
    ),
    (
        "bytes beyond ASCII",
        "/\u{fc}/ OK \u{fc}\n/^[\u{e4}]/ OK set\n/^[^a-z]*$/ OK others\n/^.$/ OK one byte\n/^m(.)/ REJECT <$1>\n",
    ),
    (
        "an address and a name",
        "/^[0-9]+(\\.[0-9]+){3}$/ OK v4\n/^[0-9a-f:]*:[0-9a-f:]*$/ OK v6\n!/\\./ REJECT no dot\n",
    ),
    (
        "white space in results",
        "/^mail/\tREJECT\tGo away\n/^a/ 550 5.7.1\tGo\t\taway\n/^b/ DEFER\t \x0bone\r\n\ttwo\x0c!\n\
         /^(.)/ 450 4.7.1\n/^(.)(.)/\tREJECT\t$1\t$2\n",
    ),
    ("nothing at all", "# nothing\n\n"),
];

/// Tables of Perl's expressions of which every line has a meaning.
pub(super) const PERL_TABLES: &[(&str, &str)] = &[
    (
        "the shape of fqrdns.pcre",
        r"
# Generic names
/^(static|dynamic|dhcp)-?[0-9]{1,3}([-.])[0-9]{1,3}[-.][0-9]{1,3}\..+\.[a-z]{2,}$/ REJECT Generic - Please relay via ISP ($2)
/^(?:[[:alnum:]]+-)?\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}\./ REJECT Generic $$
/^([\w-]+)\.(example|home)\.([a-z]+)$/ 550 5.7.1 Use ${2}.$(3) for $1
!/[0-9]/ OK no digits
/(?-i)MAIL|(?i)smtp/ OK mail
",
    ),
    (
        "flags and blocks",
        r"
if /example/
if !/\d/A
/^mail/ OK mail
endif
/ ^ m .* \d # a comment/x OK x
/MX/i OK upper
/^a.*?(\d)/U REJECT $1
endif
/^p/imsxAEU OK all
",
    ),
    (
        "delimiters and lines that go on",
        "~^mail~ OK 1\n|^(a\\|b)+| OK 2\n/^smtp/\n   OK\n # no\n 3\n#^ppp# OK no\n/\\// OK slash\n/.{12}/ OK\ttab\n",
    ),
];

/// Tables with a line that neither side takes.
pub(super) const BAD_PERL_LINES: &[(u32, &str)] = &[
    (1, "/a/q OK\n"),
    (1, "/a/!/b/ OK\n"),
    (1, "/(a/ OK\n"),
    (2, "/a/ OK\n/b OK\n"),
    (1, "/(a)/ REJECT $2\n"),
    (1, "!/(a)/ REJECT $1\n"),
    (1, "/[b-a]/ OK\n"),
    (1, "/[\\w-z]/ OK\n"),
    (1, "/\\y/ OK\n"),
    (1, "/a**/ OK\n"),
    (1, "endif\n"),
    (1, "if /a/\n"),
];
