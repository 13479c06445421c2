//! Statements that a client sends again and again as text: parsed once, and with the plan of the last time.
//!
//! Few and short ones, the latest first, and only those that have come a second time: most texts never do.

use super::source::Source;
use crate::sql::parse::ast::Kind;
use expr::eval::SqlMode;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A transaction's statements, with what begins and ends it.
const KEPT_MAX: usize = 6;
const TEXT_BYTES_MAX: usize = 512;
/// Texts that have come once: so many others may come before one comes again.
const SEEN_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Recent {
    kept: VecDeque<Kept>,
    /// Hashes of texts, the latest first. Two texts with the same hash are kept a little early, no more.
    seen: VecDeque<u64>,
    hasher: RandomState,
}

struct Kept {
    text: Arc<str>,
    /// What a text means depends on it.
    sql_mode: SqlMode,
    source: Arc<Source>,
}

impl Recent {
    pub fn get(&mut self, text: &str, sql_mode: SqlMode) -> Option<Arc<Source>> {
        let position = self.kept.iter().position(|kept| *kept.text == *text && kept.sql_mode == sql_mode)?;
        if position > 0 {
            let kept = self.kept.remove(position)?;
            self.kept.push_front(kept);
        }
        self.kept.front().map(|kept| kept.source.clone())
    }

    /// A statement that was parsed just now.
    pub fn note(&mut self, text: &str, sql_mode: SqlMode, source: &Arc<Source>) {
        let comes_again = matches!(
            source.statement.kind,
            Kind::Query { .. }
                | Kind::Insert(_)
                | Kind::Update(_)
                | Kind::Delete(_)
                | Kind::Begin { .. }
                | Kind::Commit { .. }
                | Kind::Rollback { .. }
        );
        if !comes_again || text.len() > TEXT_BYTES_MAX {
            return;
        }
        let hash = self.hasher.hash_one(text);
        if !self.seen.contains(&hash) {
            self.seen.truncate(SEEN_MAX - 1);
            self.seen.push_front(hash);
            return;
        }
        self.kept.truncate(KEPT_MAX - 1);
        self.kept.push_front(Kept { text: text.into(), sql_mode, source: source.clone() });
    }

    pub fn clear(&mut self) {
        self.kept.clear();
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source::new(parse::parse(text, SqlMode::default()).expect("it parses")))
    }

    #[test]
    fn what_comes_again_is_kept_under_its_mode_and_the_oldest_goes() {
        let mode = SqlMode::default();
        let mut recent = Recent::default();
        let texts: Vec<String> = (0..=KEPT_MAX).map(|number| format!("SELECT {number}")).collect();
        for text in &texts {
            recent.note(text, mode, &source(text));
            assert!(recent.get(text, mode).is_none(), "it came once");
        }
        for text in &texts {
            recent.note(text, mode, &source(text));
            assert!(recent.get(text, mode).is_some());
            assert!(recent.get(text, SqlMode::ANSI_QUOTES).is_none());
        }
        assert!(recent.get(&texts[0], mode).is_none(), "others came since");
        assert!(recent.get(&texts[1], mode).is_some());
        let long = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
        for _ in 0..2 {
            recent.note(&long, mode, &source(&long));
            recent.note("SET @a = 1", mode, &source("SET @a = 1"));
        }
        assert!(recent.get(&long, mode).is_none() && recent.get("SET @a = 1", mode).is_none());
    }
}
