//! The page in a real browser, at the width of a desk and of a telephone.
//!
//! The page itself forbids scripts. What is measured is a copy without that policy, in a frame of the wanted width, with a
//! script that looks at its boxes.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::week::Week;

/// Yields what does not fit: a page wider than its frame, texts of plots beyond their plot or over each other, cells whose
/// text is cut off.
const MEASURE: &str = r"<script>
addEventListener('load', () => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`page ${root.scrollWidth} > ${innerWidth}`);
  for (const svg of document.querySelectorAll('svg')) {
    const outer = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll(':scope > text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    for (const [text, box] of texts) {
      if (box.left < outer.left - 1 || box.right > outer.right + 1 || box.bottom > outer.bottom + 1)
        wrong.push(`beyond: ${text}`);
      for (const [other, that] of texts)
        if (text !== other && box.left < that.right - 1 && that.left < box.right - 1 && box.top < that.bottom - 6 && that.top < box.bottom - 6)
          wrong.push(`${text} over ${other}`);
    }
  }
  for (const cell of document.querySelectorAll('td, th, p, h1, h2'))
    if (cell.scrollWidth > cell.clientWidth + 1) wrong.push(`cut: ${cell.textContent}`);
  parent.postMessage(JSON.stringify({ plots: document.querySelectorAll('svg').length, cells: document.querySelectorAll('td').length, wrong }), '*');
});
</script>";

/// The browser, if there is one.
fn browser() -> Option<&'static str> {
    let path = "/usr/bin/chromium";
    Path::new(path).exists().then_some(path)
}

/// Runs the browser on a file and yields the document as it is then.
fn document(browser: &str, directory: &Path, file: &Path, options: &[&str]) -> String {
    let profile = directory.join("profile");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--virtual-time-budget=5000",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(options)
        .arg(format!("file://{}", file.display()))
        .env("HOME", directory)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_fits_a_desk_and_a_telephone() {
    let Some(browser) = browser() else {
        eprintln!("page: NOT PROVEN: no /usr/bin/chromium; tests/system/deps installs it");
        return;
    };
    let mut week = Week::start();
    week.play();
    let (from, to) = week.period();
    let directory = week.on.daemon.path().to_owned();
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
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    assert!(html.contains(policy));
    let measured = html
        .replace(policy, "")
        .replace("</body>", &format!("{MEASURE}</body>"));
    fs::write(directory.join("measured.html"), measured).unwrap();
    for width in [1280, 400] {
        let frame = directory.join(format!("frame-{width}.html"));
        let text = format!(
            "<!DOCTYPE html><body style=\"margin:0\"><iframe width=\"{width}\" height=\"3000\" style=\"border:0\" \
             src=\"measured.html\"></iframe><pre id=\"said\"></pre><script>\
             addEventListener('message', event => {{ document.getElementById('said').textContent = event.data; }});\
             </script></body>"
        );
        fs::write(&frame, text).unwrap();
        let dom = document(browser, &directory, &frame, &["--dump-dom"]);
        let (_, said) = dom.split_once("<pre id=\"said\">").unwrap();
        let (said, _) = said.split_once("</pre>").unwrap();
        let said: serde_json::Value = serde_json::from_str(
            &said
                .replace("&gt;", ">")
                .replace("&lt;", "<")
                .replace("&amp;", "&"),
        )
        .unwrap();
        assert_eq!(said["wrong"], serde_json::json!([]), "at {width} pixels");
        assert_eq!(said["plots"], 4);
        assert!(said["cells"].as_u64() > Some(50));
    }
    if let Ok(kept) = std::env::var("STARGREY_KEEP_PAGE") {
        fs::copy(&page, kept).unwrap();
    }
}
