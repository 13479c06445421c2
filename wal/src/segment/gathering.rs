//! Gathering: a moment between two groups, so that more commits share an fdatasync.
//!
//! Commits gather while a sync runs. Where many sessions commit, those that have just been answered are back a moment later; a
//! writer that goes on at once finds few of them, and spends on syncs the processor time that the others wait for. So behind a
//! group of several commits it pauses for a part of what a sync takes, and then lets others go first on a busy processor. One
//! session, and a few, never wait: their groups are small.
//!
//! PostgreSQL has the same idea in `commit_delay` and `commit_siblings`, MySQL in `binlog_group_commit_sync_delay`; here the log
//! knows by itself what a sync takes and how many share it.

use std::time::Duration;

/// Commits in a group behind which more are expected. With fewer, a session would wait more than it gains.
const COMMITS_MIN: usize = 6;
/// Part of the last sync that is waited for the next group.
const PART_OF_SYNC: u32 = 4;
/// Behind a slow sync many have gathered anyway.
const PAUSE_MAX: Duration = Duration::from_micros(250);

#[derive(Debug, Default)]
pub struct Gathering {
    commits: usize,
    sync: Duration,
}

impl Gathering {
    pub fn synced(&mut self, took: Duration) {
        self.sync = took;
    }

    /// A group of so many commits was written.
    pub fn written(&mut self, commits: usize) {
        self.commits = commits;
    }

    /// Lets the next group grow, if more are expected. The operating system may make it longer by its timer's slack (50 µs by
    /// default on Linux).
    pub fn pause(&self) {
        if let Some(pause) = self.length() {
            std::thread::sleep(pause);
            // Whoever is ready to run may be about to commit.
            std::thread::yield_now();
        }
    }

    fn length(&self) -> Option<Duration> {
        (self.commits >= COMMITS_MIN).then(|| (self.sync / PART_OF_SYNC).min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_behind_several_commits_and_never_long() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.length(), None, "nothing was written yet");
        gathering.synced(Duration::from_micros(160));
        gathering.written(COMMITS_MIN - 1);
        assert_eq!(gathering.length(), None, "few sessions do not wait");
        gathering.synced(Duration::from_micros(160));
        gathering.written(COMMITS_MIN);
        assert_eq!(gathering.length(), Some(Duration::from_micros(40)));
        gathering.synced(Duration::from_millis(30));
        gathering.written(200);
        assert_eq!(gathering.length(), Some(PAUSE_MAX));
        gathering.synced(Duration::from_micros(160));
        gathering.written(0);
        assert_eq!(gathering.length(), None, "a vote is no commit");
    }
}
