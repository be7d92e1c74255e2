//! The pages on reasons: what each means, how it comes about, how to cure it. Pure.
//!
//! They are sections of `docs/reasons.md`, which is part of the program.

use umlaut_slice_db::{DropReason, nearest};

/// All pages.
const PAGES: &str = include_str!("../../../docs/reasons.md");

/// A page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The code of the reason.
    pub code: &'static str,
    /// What it means, in one line.
    pub title: &'static str,
    /// The page behind its heading, Markdown.
    pub text: &'static str,
}

/// The pages, in the order of the decision.
pub fn pages() -> impl Iterator<Item = Page> {
    PAGES.split("\n## ").skip(1).filter_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let (code, title) = heading.split_once(": ")?;
        Some(Page { code: code.trim_matches('`'), title, text: text.trim() })
    })
}

/// The page of a reason, by its code in any spelling: `no-binding`, `NoBinding`.
///
/// # Errors
/// There is no such reason; the text says which is near.
pub fn page(name: &str) -> Result<Page, String> {
    let plain = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
    };
    let wanted = plain(name);
    if let Some(page) = pages().find(|page| plain(page.code) == wanted) {
        return Ok(page);
    }
    let spelled: Vec<String> = DropReason::CODES.iter().map(|code| plain(code)).collect();
    let near = nearest(&wanted, spelled.iter().map(String::as_str));
    let near = near.and_then(|near| spelled.iter().position(|code| code == near));
    Err(match near {
        Some(index) => {
            format!("there is no reason {name}; did you mean {}?", DropReason::CODES[index])
        }
        None => format!("there is no reason {name}; reasons: {}", DropReason::CODES.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_page_and_every_page_its_reason() {
        let codes: Vec<_> = pages().map(|page| page.code).collect();
        assert_eq!(codes, DropReason::CODES);
        for page in pages() {
            assert!(!page.title.is_empty() && page.text.len() > 200, "{}", page.code);
        }
    }

    #[test]
    fn a_page_is_found_in_any_spelling_and_a_wrong_one_gets_a_hint() {
        for name in ["no-binding", "NoBinding", "no_binding", "NOBINDING"] {
            assert_eq!(page(name).map(|page| page.code), Ok("no-binding"), "{name}");
        }
        assert_eq!(
            page("NoBindin").unwrap_err(),
            "there is no reason NoBindin; did you mean no-binding?"
        );
        assert!(page("gravity").unwrap_err().contains("reasons: double-tag, "));
    }
}
