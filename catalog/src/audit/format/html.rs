//! One page without network requests.

mod charts;
mod rows;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::Totals;
use crate::audit::{Finding, Report, Unread};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The report as one self-contained page: nothing is loaded, and no script but the page's own runs.
#[must_use]
pub fn html(report: &Report) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let parts = [
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Runtimes of images, {}</title>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{STYLE}</style>\n</head>\n<body>\n",
            report.as_of
        ),
        header(report),
        "<main>\n".to_owned(),
        alerts(report),
        charts::section(report),
        rows::section(report),
        "</main>\n".to_owned(),
        format!(
            "<footer><p>Made by lapstrake {}. Layers prove what an image is made on; labels only hint.</p></footer>\n\
             <script>{SCRIPT}</script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        ),
    ];
    parts.concat()
}

/// The source of a Content Security Policy that permits exactly this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text)))
}

fn header(report: &Report) -> String {
    let totals = Totals::of(report);
    let cards = [
        ("images", totals.images),
        ("errors", totals.errors),
        ("warnings", totals.warnings),
        ("notes", totals.notes),
        ("allowed by the policy", totals.allowed),
        ("not read", totals.unread),
    ];
    let card = |(name, count): (&str, usize)| format!("<div><dt>{name}</dt><dd>{count}</dd></div>");
    format!(
        "<header>\n<h1>Runtimes of images</h1>\n<p class=\"soft\">As of {}, by revision {} of the catalog {}</p>\n\
         <dl class=\"totals\">{}</dl>\n</header>\n",
        report.as_of,
        report.catalog.revision,
        escaped(&report.catalog.name),
        cards.map(card).concat()
    )
}

/// What concerns the audit as a whole.
fn alerts(report: &Report) -> String {
    let catalog = items(report.catalog_findings.iter().map(found));
    let of_unread = |unread: &Unread| format!("{}: {}", escaped(&unread.reference), escaped(&unread.reason));
    let unread = items(report.unread.iter().map(of_unread));
    let list = |title: &str, items: String| {
        if items.is_empty() {
            return String::new();
        }
        format!("<section class=\"card alert\"><h2>{title}</h2><ul class=\"found\">{items}</ul></section>\n")
    };
    list("The catalog cannot be relied on", catalog) + &list("Not read", unread)
}

/// A finding with its evidence.
fn found(finding: &Finding) -> String {
    let evidence = items(finding.evidence.iter().map(|text| escaped(text)));
    let evidence = if evidence.is_empty() { evidence } else { format!("<ul>{evidence}</ul>") };
    let allowed = finding.allowed.as_ref().map(|why| format!(" <em>allowed: {}</em>", escaped(why)));
    format!(
        "<span class=\"mark is-{}\">{} {}</span> {}{}{evidence}",
        finding.severity,
        finding.rule,
        finding.severity,
        escaped(&finding.message),
        allowed.unwrap_or_default()
    )
}

/// The items of a list, from what stands in each.
fn items(texts: impl Iterator<Item = String>) -> String {
    let each = |text: String| ["<li>".to_owned(), text, "</li>".to_owned()];
    texts.flat_map(each).collect()
}

/// Text for HTML, in elements and in attributes between double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in super::printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
