//! Statements that a client sends again and again as text: parsed once, and with the plan of the last time.
//!
//! Texts are known by their outlines where they have one ([`parse::outline`]), so that other keys and values make no other
//! statement. Few and short ones, the latest, and only those that have come a second time: most texts never do.

use super::source::Source;
use crate::sql::parse::ast::Kind;
use crate::sql::parse::outline::{self, Outline};
use crate::sql::parse::{self};
use expr::Value;
use expr::eval::SqlMode;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the transactions of an application send, with what begins and ends them.
const KEPT_MAX: usize = 160;
/// Of all sessions together: about 200 MB.
const KEPT_BY_ALL_MAX: usize = 20_000;
const TEXT_BYTES_MAX: usize = 512;
/// Texts that have come once: so many others may come before one comes again.
const SEEN_MAX: usize = 256;

static KEPT_BY_ALL: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
pub(super) struct Recent {
    /// By the hashes of their texts.
    kept: HashMap<u64, Kept>,
    /// Counts what was asked for.
    now: u64,
    /// Hashes of texts, the latest first. Two texts with the same hash are kept a little early, no more.
    seen: VecDeque<u64>,
    hasher: RandomState,
}

struct Kept {
    text: Arc<str>,
    kinds: Box<[outline::Kind]>,
    /// What a text means depends on it.
    sql_mode: SqlMode,
    source: Arc<Source>,
    last_asked: u64,
}

impl Recent {
    /// A text that is known as it is.
    pub fn get(&mut self, text: &str, sql_mode: SqlMode) -> Option<Arc<Source>> {
        self.find(self.hash(text, &[]), text, &[], sql_mode)
    }

    /// The statement of an outline with the values of this text; `None` until it has come a second time, or `at_once`, and
    /// where it is of no use.
    pub fn outlined(
        &mut self,
        outline: Outline,
        sql_mode: SqlMode,
        at_once: bool,
    ) -> Option<(Arc<Source>, Vec<Value>)> {
        let Outline { text, kinds, values } = outline;
        let hash = self.hash(&text, &kinds);
        if let Some(source) = self.find(hash, &text, &kinds, sql_mode) {
            return (!source.refused.load(Ordering::Relaxed)).then_some((source, values));
        }
        if !self.has_seen(hash) && !at_once {
            return None;
        }
        let statement = parse::parse(&text, sql_mode).ok().filter(|statement| statement.parameters == kinds.len())?;
        let source = Arc::new(Source::of_outline(statement, kinds.clone()));
        self.keep(hash, &text, kinds.into(), sql_mode, &source);
        Some((source, values))
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
        let hash = self.hash(text, &[]);
        if self.has_seen(hash) {
            self.keep(hash, text, Box::default(), sql_mode, source);
        }
    }

    pub fn clear(&mut self) {
        KEPT_BY_ALL.fetch_sub(self.kept.len(), Ordering::Relaxed);
        self.kept.clear();
        self.seen.clear();
    }

    fn hash(&self, text: &str, kinds: &[outline::Kind]) -> u64 {
        self.hasher.hash_one((text, kinds))
    }

    fn find(&mut self, hash: u64, text: &str, kinds: &[outline::Kind], sql_mode: SqlMode) -> Option<Arc<Source>> {
        self.now += 1;
        let kept = self.kept.get_mut(&hash)?;
        let is_it = *kept.text == *text && *kept.kinds == *kinds && kept.sql_mode == sql_mode;
        is_it.then(|| {
            kept.last_asked = self.now;
            kept.source.clone()
        })
    }

    /// Whether it has come before; from now on it has.
    fn has_seen(&mut self, hash: u64) -> bool {
        let seen = self.seen.contains(&hash);
        if !seen {
            self.seen.truncate(SEEN_MAX - 1);
            self.seen.push_front(hash);
        }
        seen
    }

    /// In the place of the one that was not asked for the longest, where there is no room.
    fn keep(&mut self, hash: u64, text: &str, kinds: Box<[outline::Kind]>, sql_mode: SqlMode, source: &Arc<Source>) {
        let is_full = KEPT_BY_ALL.load(Ordering::Relaxed) >= KEPT_BY_ALL_MAX || self.kept.len() >= KEPT_MAX;
        if is_full {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_asked).map(|(hash, _)| *hash);
            let Some(oldest) = oldest else { return };
            self.kept.remove(&oldest);
            KEPT_BY_ALL.fetch_sub(1, Ordering::Relaxed);
        }
        let kept = Kept { text: text.into(), kinds, sql_mode, source: source.clone(), last_asked: self.now };
        if self.kept.insert(hash, kept).is_none() {
            KEPT_BY_ALL.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.clear();
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

    #[test]
    fn texts_of_one_outline_are_one_statement() {
        let mode = SqlMode::default();
        let mut recent = Recent::default();
        let outlined = |recent: &mut Recent, text: &str| recent.outlined(outline::of(text, mode).unwrap(), mode, false);
        assert!(outlined(&mut recent, "SELECT a FROM t WHERE b = 1").is_none(), "it came once");
        let (source, values) = outlined(&mut recent, "SELECT a FROM t WHERE b = 2").unwrap();
        assert_eq!(values[0].to_text(), "2");
        let (again, values) = outlined(&mut recent, "SELECT a FROM t WHERE b = 3").unwrap();
        assert!(Arc::ptr_eq(&source, &again) && values[0].to_text() == "3");
        // Another kind of literal is another statement.
        assert!(outlined(&mut recent, "SELECT a FROM t WHERE b = 'x'").is_none());
        source.refused.store(true, Ordering::Relaxed);
        assert!(outlined(&mut recent, "SELECT a FROM t WHERE b = 4").is_none());
    }
}
