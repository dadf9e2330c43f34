//! The page of an audit in a real browser: at the widths of a phone and of a desktop, in the light and in the dark, by
//! keyboard alone.

use std::path::Path;

use base64::Engine as _;
use lapstrake_fixtures::fleet::{AS_OF, CATALOG, Fleet};

use crate::harness::{Lapstrake, Page, Registry, workspace};

/// The lowest contrast of a text with what is behind it, and the text (WCAG 2.2, 1.4.3).
const CONTRAST: &str = r#"(() => {
  const part = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const numbers = text => text.match(/[\d.]+/g).map(Number);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = numbers(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, texts.currentNode.data.trim().slice(0, 40)];
  }
  return worst;
})()"#;

/// How far the page reaches beyond the window, which must not be scrolled sideways.
const TOO_WIDE: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// The images that the table shows.
const SHOWN: &str = "[...document.querySelectorAll('#images tbody tr')].filter(row => !row.hidden).length";

/// Writes the page of an audit of a fleet.
fn write_page(file: &Path) {
    let registry = Registry::start();
    Fleet::new(60).store_below(&registry.storage()).unwrap();
    let catalog = registry.reference(&format!("{CATALOG}:latest"));
    let scratch = workspace::scratch();
    let words =
        ["audit", "registry", &registry.host(), "--catalog", &catalog, "--as-of", AS_OF, "--format", "html"];
    let outcome = Lapstrake::new().with_data(scratch.path().join("data")).run(words).expect(1);
    fs_err::write(file, outcome.stdout).unwrap();
}

#[test]
fn the_page_of_an_audit_works_in_a_browser() {
    let Some(mut page) = Page::open() else {
        println!("skipped: chromium is not installed");
        return;
    };
    let scratch = workspace::scratch();
    let file = scratch.path().join("audit.html");
    write_page(&file);
    for (width, scheme) in [(375, "light"), (375, "dark"), (1280, "light"), (1280, "dark")] {
        page.show(&file, width, scheme);
        let name = format!("{width} {scheme}");
        assert_eq!(page.complaints(), Vec::<String>::new(), "{name}");
        assert_eq!(page.value(TOO_WIDE), 0, "{name}");
        page.value("document.querySelectorAll('details').forEach(details => { details.open = true })");
        assert_eq!(page.value(TOO_WIDE), 0, "{name}, opened");
        let contrast = page.value(CONTRAST);
        assert!(contrast[0].as_f64().unwrap() >= 4.5, "{name}: {contrast}");
        if let Some(directory) = std::env::var_os("LAPSTRAKE_TEST_PICTURES") {
            page.value("document.querySelector('#images').scrollIntoView()");
            let bytes = base64::engine::general_purpose::STANDARD.decode(page.picture()).unwrap();
            fs_err::write(Path::new(&directory).join(format!("{width}-{scheme}.png")), bytes).unwrap();
        }
    }
    by_keyboard(&mut page, &file);
}

/// Searches, filters, sorts and opens without a pointer.
fn by_keyboard(page: &mut Page, file: &Path) {
    page.show(file, 1280, "light");
    let all = page.value(SHOWN).as_u64().unwrap();
    page.tab_to("document.activeElement.id === 'search'");
    page.type_text("revoked");
    let found = page.value(SHOWN).as_u64().unwrap();
    assert!(0 < found && found < all, "{found} of {all}");
    assert_eq!(page.value("document.getElementById('shown').textContent"), format!("{found} of {all} shown"));
    page.type_text(" nothing has this");
    assert_eq!(page.value(SHOWN), 0);
    page.show(file, 1280, "light");
    page.tab_to("document.activeElement.dataset.key === 'result'");
    page.press("ArrowDown");
    let filtered = page.value(SHOWN).as_u64().unwrap();
    assert!(0 < filtered && filtered < all, "{filtered} of {all}");
    let focus = "getComputedStyle(document.activeElement).outlineStyle";
    assert_ne!(page.value(focus), "none", "the focus is seen");
    page.show(file, 1280, "light");
    page.tab_to("document.activeElement.textContent === 'Result'");
    page.press("Enter");
    let sorted = "document.activeElement.parentElement.getAttribute('aria-sort')";
    let first = "document.querySelector('#images tbody .mark').textContent";
    assert_eq!((page.value(sorted), page.value(first)), ("ascending".into(), "ok".into()));
    page.press("Enter");
    assert_eq!((page.value(sorted), page.value(first)), ("descending".into(), "error".into()));
    page.tab_to("document.activeElement.tagName === 'SUMMARY'");
    page.press("Enter");
    assert_eq!(page.value("document.activeElement.parentElement.open"), true);
    assert_ne!(page.value("document.querySelector('details[open] .fix').textContent.trim()"), "");
}
