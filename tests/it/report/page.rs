//! The page in a real browser: at the width of a desk and of a telephone, light, dark and as it is printed.
//!
//! The page itself forbids scripts. What is measured is a copy without that policy, in a frame of the wanted width, with a
//! script that looks at its boxes and colours. What a browser fetches is seen by a proxy, for the page as it is.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use jiff::tz::TimeZone;
use serde_json::Value;
use stargrey::api::{
    ADDED, CAME_BACK, CAME_BACK_BY, CHANGES, CLIENT_NAME, DELAYS, DNS_LISTS, Dict, FIRST, LIST,
    NETWORK, PASSED, PATTERN, RECIPIENT, Row, SENDER, SOURCE, SOURCE_BUS, STATE, STATE_PASSED,
    STATE_WAITING, STRANGERS, STRANGERS_BY, TIME, WHY,
};
use stargrey::ctl::report::names::Collector;
use stargrey::ctl::report::{Period, Report, Sources, html};

use super::week::{HOUR, Week};

/// What the page says about itself; a copy that is measured does not.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Yields what does not fit: a page wider than its frame, texts of plots beyond their plot or over each other or over a
/// bar, cells whose text is cut off, columns of a few letters, texts that are hard to read.
const MEASURE: &str = r"<script>
addEventListener('load', () => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`page ${root.scrollWidth} > ${innerWidth}`);
  const apart = (a, b, by) => a.left >= b.right - 1 || b.left >= a.right - 1 || a.top >= b.bottom - by || b.top >= a.bottom - by;
  for (const svg of document.querySelectorAll('svg')) {
    const outer = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll(':scope > text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    const bars = [...svg.querySelectorAll(':scope > rect:not(.mark)')].map(bar => bar.getBoundingClientRect());
    for (const [text, box] of texts) {
      if (box.left < outer.left - 1 || box.right > outer.right + 1 || box.bottom > outer.bottom + 1)
        wrong.push(`beyond: ${text}`);
      for (const [other, that] of texts)
        if (text !== other && !apart(box, that, 6)) wrong.push(`${text} over ${other}`);
      if (bars.some(bar => !apart(box, bar, 6))) wrong.push(`${text} over a bar`);
    }
  }
  for (const cell of document.querySelectorAll('td, th, p, h1, h2'))
    if (cell.scrollWidth > cell.clientWidth + 1) wrong.push(`cut: ${cell.textContent}`);
  for (const cell of document.querySelectorAll('td'))
    if (cell.textContent.length > 9 && cell.clientWidth < 60) wrong.push(`narrow: ${cell.textContent}`);
  const numbers = color => color.match(/[\d.]+/g).slice(0, 3).map(Number);
  const light = color => {
    const [r, g, b] = numbers(color).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const contrast = color => { const ink = light(color); return Math.max(ink, paper) / Math.min(ink, paper); };
  for (const element of document.querySelectorAll('h1, h2, p, td, th, code, small, .key span, svg text')) {
    const style = getComputedStyle(element);
    const color = element.tagName === 'text' ? style.fill : style.color;
    if (contrast(color) < 4.5) wrong.push(`faint: ${element.textContent}`);
  }
  for (const bar of document.querySelectorAll('rect:not(.heat)'))
    if (contrast(getComputedStyle(bar).fill) < 1.5) wrong.push(`faint: ${bar.getAttribute('class')}`);
  parent.postMessage(JSON.stringify({
    plots: document.querySelectorAll('svg').length, cells: document.querySelectorAll('td').length, wrong,
    dark: matchMedia('(prefers-color-scheme: dark)').matches, paper: paper < 0.2,
    fetched: performance.getEntriesByType('resource').length }), '*');
});
</script>";

/// The browser and the directory of its profile.
struct Browser {
    path: &'static str,
    directory: PathBuf,
}

impl Browser {
    /// The one that is installed; without it that is said.
    #[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
    fn find(directory: &Path) -> Option<Self> {
        let path = "/usr/bin/chromium";
        if !Path::new(path).exists() {
            eprintln!("page: NOT PROVEN: no {path}; tests/system/deps installs it");
            return None;
        }
        Some(Self {
            path,
            directory: directory.to_owned(),
        })
    }

    /// Opens an address and yields the document as it is then. The browser asks nothing of its own accord.
    fn document(&self, address: &str, options: &[&str]) -> String {
        let output = Command::new(self.path)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-features=NetworkTimeServiceQuerying",
                "--virtual-time-budget=5000",
                "--dump-dom",
            ])
            .arg(format!(
                "--user-data-dir={}",
                self.directory.join("profile").display()
            ))
            .args(options)
            .arg(address)
            .env("HOME", &self.directory)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the script says about a page at a width.
    fn measure(&self, page: &str, width: u32, is_dark: bool) -> Value {
        let measured = page.replace(POLICY, "");
        let measured = measured.replace("</body>", &format!("{MEASURE}</body>"));
        fs::write(self.directory.join("measured.html"), measured).unwrap();
        let frame = self.directory.join("frame.html");
        let text = format!(
            "<!DOCTYPE html><body style=\"margin:0\"><iframe width=\"{width}\" height=\"3000\" style=\"border:0\" \
             src=\"measured.html\"></iframe><pre id=\"said\"></pre><script>\
             addEventListener('message', event => {{ document.getElementById('said').textContent = event.data; }});\
             </script></body>"
        );
        fs::write(&frame, text).unwrap();
        let scheme = u8::from(!is_dark);
        let dom = self.document(
            &format!("file://{}", frame.display()),
            &[&format!("--blink-settings=preferredColorScheme={scheme}")],
        );
        let (_, said) = dom.split_once("<pre id=\"said\">").unwrap();
        let (said, _) = said.split_once("</pre>").unwrap();
        let said = said.replace("&gt;", ">").replace("&lt;", "<");
        serde_json::from_str(&said.replace("&amp;", "&")).unwrap()
    }

    /// Holds a page to all that is wanted of it, and yields how many cells it has.
    fn hold(&self, name: &str, page: &str) -> u64 {
        assert!(page.contains(POLICY));
        let printed = page.replace("@media print", "@media all");
        let mut cells = 0;
        for (page, width, is_dark) in [
            (page, 1280, false),
            (page, 1280, true),
            (page, 400, false),
            (page, 400, true),
            // A4 with usual margins.
            (&printed, 718, false),
        ] {
            let said = self.measure(page, width, is_dark);
            let context = format!("{name} at {width} pixels, dark: {is_dark}");
            assert_eq!(said["wrong"], serde_json::json!([]), "{context}");
            assert_eq!(said["plots"], 4, "{context}");
            assert_eq!(said["fetched"], 0, "{context}");
            assert_eq!(
                (&said["dark"], &said["paper"]),
                (&is_dark.into(), &is_dark.into()),
                "{context}"
            );
            cells = said["cells"].as_u64().unwrap();
        }
        cells
    }

    /// The addresses that are fetched for this page, in order, without what the browser fetches for itself.
    fn fetched(&self, page: &str) -> Vec<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        let (sender, addresses) = mpsc::channel();
        let page = page.to_owned();
        // It ends with the test's process. A browser also opens connections that it does not use.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, page) = (sender.clone(), page.clone());
                thread::spawn(move || serve(stream.unwrap(), &page, &sender));
            }
        });
        let proxy = format!("--proxy-server=http://{proxy}");
        let dom = self.document(ADDRESS, &[&proxy, "--proxy-bypass-list=<-loopback>"]);
        assert!(dom.contains("</html>"), "{dom}");
        let is_own = |address: &String| {
            let host = address.trim_start_matches("http://");
            let host = host.split([':', '/']).next().unwrap_or_default();
            BROWSERS_OWN.contains(&host) || address.ends_with("/favicon.ico")
        };
        addresses
            .try_iter()
            .filter(|address| !is_own(address))
            .collect()
    }
}

/// Replies to a request with the page at [`ADDRESS`], with nothing elsewhere, and says what was asked for.
fn serve(mut stream: TcpStream, page: &str, addresses: &mpsc::Sender<String>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let lines = lines.map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(line) = head.first() else { return };
    let address = line.split(' ').nth(1).unwrap_or(line).to_owned();
    let body = if address == ADDRESS { page } else { "" };
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A test that is over listens no more, and a browser that has gone does not read.
    drop(addresses.send(address));
    drop(stream.write_all(reply.as_bytes()));
}

/// Hosts that the browser may ask whatever page it shows.
const BROWSERS_OWN: [&str; 4] = [
    "accounts.google.com",
    "clients2.google.com",
    "optimizationguide-pa.googleapis.com",
    "update.googleapis.com",
];

/// Where the page is for the proxy.
const ADDRESS: &str = "http://report.example/report.html";

#[test]
fn the_page_of_a_week_fits_a_desk_a_telephone_and_paper() {
    let mut week = Week::start();
    let directory = week.on.daemon.path().to_owned();
    let Some(browser) = Browser::find(&directory) else {
        return;
    };
    week.play();
    let (from, to) = week.period();
    let page = directory.join("report.html");
    let options = [
        format!("--since=@{from}"),
        format!("--until=@{to}"),
        format!("--html={}", page.display()),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (code, said) = week.on.ctl(&[&["report"], options.as_slice()].concat());
    assert_eq!((code, said.as_str()), (0, ""));
    let html = fs::read_to_string(&page).unwrap();
    assert!(browser.hold("week", &html) > 40);
    keep("week", &html);
    assert_eq!(browser.fetched(&html), [ADDRESS]);
}

/// Keeps a page for people who want to look at it.
fn keep(name: &str, page: &str) {
    if let Ok(directory) = std::env::var("STARGREY_KEEP_PAGES") {
        fs::write(Path::new(&directory).join(format!("{name}.html")), page).unwrap();
    }
}

/// An hour with all causes, delays and DNS lists, and large numbers.
fn large_hour(time: u64) -> Dict {
    let causes: Vec<String> = (0..10).map(|rule| format!("s25r:{rule}")).collect();
    let words = [
        "plain",
        "table",
        "rule",
        "dns-lists",
        "spf",
        "score",
        "header",
        "body",
    ];
    let causes = causes.iter().map(String::as_str).chain(words);
    let causes: HashMap<String, u64> = causes.map(|word| (word.to_owned(), 12_345)).collect();
    let delays = [
        "300", "900", "1800", "3600", "7200", "21600", "86400", "more",
    ];
    let delays = delays.map(|class| (class.to_owned(), 4321_u64));
    let counters = ["asked", "listed", "decided", "alone", "error", "silent"];
    let zones = [
        "zen.spamhaus.org",
        "a-rather-long-key-of-a-customer.zen.dq.spamhaus.net",
    ];
    let lists = zones
        .iter()
        .flat_map(|zone| counters.map(|counter| (format!("{zone}:{counter}"), 98_765_u64)));
    Row::new()
        .with(TIME, time)
        .with(STRANGERS, 222_210_u64)
        .with(CAME_BACK, 34_568_u64)
        .with(STRANGERS_BY, causes.clone())
        .with(CAME_BACK_BY, causes)
        .with(DELAYS, HashMap::from(delays))
        .with(DNS_LISTS, lists.collect::<HashMap<_, _>>())
        .with(CHANGES, HashMap::from([("reload".to_owned(), 2_u64)]))
        .build()
}

/// A report of a year of a large site, with the longest texts.
fn large_report() -> Report {
    const DAYS: u64 = 365;
    let (from, to) = (1_764_547_200, 1_764_547_200 + DAYS * 24 * HOUR);
    let label = "a-label-of-a-name-that-is-as-long-as-a-label-may-be-in-the-dns0.";
    let name = format!("{}example", label.repeat(3));
    let triplet = |number: u64, state: &str, network: &str| {
        Row::new()
            .with(NETWORK, network)
            .with(SENDER, format!("{}@{number}.{name}", label.repeat(3)))
            .with(RECIPIENT, "bob@example.org")
            .with(CLIENT_NAME, name.as_str())
            .with(STATE, state)
            .with(WHY, "rule")
            .with(FIRST, from + number)
            .with(PASSED, from + number + 90_061)
            .build()
    };
    let mut names = Collector::default();
    for number in 0..30 {
        for network in ["203.0.113.0/24", "2001:db8:ffff:ffff::/64"] {
            names.add(&triplet(number, STATE_PASSED, network), (from, to));
        }
        let network = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128";
        names.add(&triplet(100 + number, STATE_WAITING, network), (from, to));
    }
    let zones = HashMap::from([(name.clone(), "silent".to_owned())]);
    let entry = Row::new()
        .with(PATTERN, name.as_str())
        .with(LIST, "client-whitelist")
        .with(SOURCE, SOURCE_BUS)
        .with(ADDED, from + 5);
    let sources = Sources {
        hours: (0..DAYS * 24)
            .step_by(7)
            .map(|hour| large_hour(from + hour * HOUR))
            .collect(),
        properties: Row::new().with("DnsLists", zones).build(),
        names: Some(names.finish()),
        entries: vec![entry.build()],
        blocked: vec![("bl.spamcop.net".to_owned(), 1_234_567), (name, 1)],
    };
    let label = "From Mon 2025-12-01 00:00 to Tue 2026-12-01 00:00,".to_owned();
    Report::new(Period { from, to, label }, sources, to, &TimeZone::UTC)
}

#[test]
fn the_page_of_a_large_site_fits_too_with_the_longest_texts() {
    let directory = tempfile::tempdir().unwrap();
    let Some(browser) = Browser::find(directory.path()) else {
        return;
    };
    let page = html::page(&large_report(), "mx1.a-large-site.example.org");
    keep("large", &page);
    assert!(browser.hold("large", &page) > 200);
}

#[test]
fn what_a_page_would_fetch_is_seen_by_the_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let Some(browser) = Browser::find(directory.path()) else {
        return;
    };
    let image = "http://elsewhere.example/image.png";
    let page =
        format!("<!DOCTYPE html><html><head></head><body><img src=\"{image}\"></body></html>");
    assert_eq!(browser.fetched(&page), [ADDRESS, image]);
    let page = page.replace(
        "<head>",
        &format!("<head><meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"),
    );
    assert_eq!(browser.fetched(&page), [ADDRESS], "the policy forbids it");
}
