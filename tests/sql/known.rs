//! The list of known differences of a corpus: which records, and why.
//!
//! ```text
//! # A comment.
//! [why the records below differ]
//! file/name 12 15 20
//! ```

use std::collections::BTreeMap;

#[derive(Default)]
pub struct Known {
    /// By file and line.
    reasons: BTreeMap<(String, u32), String>,
}

impl Known {
    pub fn parse(text: &str) -> Known {
        let mut known = Known::default();
        let mut reason = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(text) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                reason = Some(text.to_owned());
                continue;
            }
            let reason = reason.as_ref().unwrap_or_else(|| panic!("a reason in brackets before: {line}"));
            let mut words = line.split_whitespace();
            let file = words.next().unwrap_or_default();
            for number in words {
                let number = number.parse().unwrap_or_else(|_| panic!("not a line number, {number}: {line}"));
                let earlier = known.reasons.insert((file.to_owned(), number), reason.clone());
                assert_eq!(earlier, None, "{file} {number} is listed twice");
            }
        }
        known
    }

    pub fn reason(&self, file: &str, line: u32) -> Option<&str> {
        self.reasons.get(&(file.to_owned(), line)).map(String::as_str)
    }
}

#[test]
fn a_list_gives_each_record_its_reason() {
    let known = Known::parse("# note\n[one]\na/b 1 2\n\n[two]\nc 2\n");
    assert_eq!(known.reason("a/b", 2), Some("one"));
    assert_eq!(known.reason("c", 2), Some("two"));
    assert_eq!(known.reason("c", 1), None);
}
