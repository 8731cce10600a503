//! The HTML document of a page: one self-contained file. Knows nothing of runs; the sections are passed in.
//!
//! maud escapes all text; the plots' data is JSON, in which `<` is written `\u003c`. As a second defence, the content
//! security policy allows only the page's own script and style, by their hashes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::chart::Chart;

const STYLE: &str = concat!(include_str!("uplot/uPlot.min.css"), include_str!("page.css"));
const SCRIPT: &str = concat!(include_str!("uplot/uPlot.iife.min.js"), include_str!("page.js"));

/// A section of a page; its title is also in the menu.
pub struct Section {
    pub id: String,
    pub title: String,
    pub body: Markup,
}

impl Section {
    pub fn new(id: &str, title: &str, body: Markup) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), body }
    }
}

/// The whole page.
pub fn document(title: &str, head: &Markup, sections: &[Section], charts: &[Chart]) -> String {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "To the content" }
                header { (head) }
                nav aria-label="Sections" {
                    @for section in sections { a href={ "#" (section.id) } { (section.title) } }
                }
                main id="content" {
                    noscript { p.empty { "The plots and the numbers behind them need JavaScript; the other tables do not." } }
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer { "Written by dfdetect " (env!("CARGO_PKG_VERSION")) ". This file needs no network." }
                script type="application/json" id="charts" { (PreEscaped(script_safe_json(charts))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A picture as a data URI.
pub fn data_uri(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg))
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(text)))
}

/// JSON that cannot end the `script` element around it.
fn script_safe_json(charts: &[Chart]) -> String {
    // Numbers and text always become JSON.
    serde_json::to_string(charts).unwrap_or_default().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::chart::{Series, Style};

    #[test]
    fn nothing_in_a_plot_ends_the_element_it_stands_in() {
        let hostile = Series::new("</script><script>alert(1)", 1, Style::Line, [(0.0, 1.0)]);
        let chart = Chart::new("a", "A", ["x", "y"], vec![hostile]).unwrap();
        let json = script_safe_json(&[chart]);
        assert!(!json.contains('<'), "{json}");
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back[0]["series"][0]["label"], "</script><script>alert(1)");
    }
}
