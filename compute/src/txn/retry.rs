//! When a statement may run again behind the client's back.

use crate::txn::CommitFailure;

/// Runs of one autocommit statement, the first included.
pub const RUNS_MAX: u32 = 8;

/// Whether a statement that could not be committed runs again: only one that is a transaction by itself, and of which
/// the client has seen nothing. A transaction of several statements is never replayed: its client has seen results
/// that the second run might contradict.
pub fn may_run_again(failure: &CommitFailure, explicit_transaction: bool, results_sent: bool, runs: u32) -> bool {
    let passes = matches!(failure, CommitFailure::Conflict | CommitFailure::SchemaChanged);
    passes && !explicit_transaction && !results_sent && runs < RUNS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::SqlError;

    #[test]
    fn only_unseen_autocommit_statements_run_again_and_not_for_ever() {
        assert!(may_run_again(&CommitFailure::Conflict, false, false, 1));
        assert!(may_run_again(&CommitFailure::SchemaChanged, false, false, 1));
        assert!(!may_run_again(&CommitFailure::Conflict, true, false, 1), "several statements");
        assert!(!may_run_again(&CommitFailure::Conflict, false, true, 1), "results seen");
        assert!(!may_run_again(&CommitFailure::Conflict, false, false, RUNS_MAX), "bounded");
        assert!(!may_run_again(&CommitFailure::Failed(SqlError::internal("x")), false, false, 1));
    }
}
