//! A new password: its hash, and the rules that it has to meet. Manual: "Password Management" (8.2.15).

use crate::account::password::{self, Secret};
use crate::account::{AccountDef, Credential, HistoryEntry};
use crate::execute::StatementContext;
use crate::execute::account::Policies;
use common::env::random::Random;
use expr::{ErrorCode, SqlError};

const DAY_US: u64 = 86_400_000_000;

/// Gives the account another password. 3638 for one that it had lately.
pub async fn change(
    account: &mut AccountDef,
    password: &Secret,
    retain: bool,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    if retain {
        if password.0.is_empty() {
            return Err(SqlError::new(
                ErrorCode(3894),
                "Current password can not be retained for user because new password is empty.",
            ));
        }
        account.retained = Some(account.credential.clone());
    } else if password.0.is_empty() {
        account.retained = None;
    }
    let policies = &context.actor.policies;
    let lately = remembered(account, policies);
    let (plugin, text) = (account.plugin.clone(), password.0.clone());
    // Hashing takes milliseconds on purpose, and there may be thousands of old ones.
    let hashed = tokio::task::spawn_blocking(move || {
        let had = !text.is_empty() && lately.iter().any(|hash| password::verify(hash, &text));
        (!had).then(|| password::hash(&plugin, &text, &Random::system()))
    });
    let hash = hashed.await.map_err(|error| SqlError::internal(format!("hashing a password: {error}")))?;
    let Some(hash) = hash else {
        return Err(SqlError::new(
            ErrorCode(3638),
            format!(
                "Cannot use these credentials for '{}' because they contradict the password history policy",
                account.name
            ),
        ));
    };
    if !hash.is_empty() && has_history(account, policies) {
        account.history.push(HistoryEntry { changed_us: policies.now_us, hash: hash.clone() });
    }
    prune(account, policies);
    account.credential = Credential::Hash(hash);
    account.password_changed = policies.now_us / 1_000_000;
    account.expired = false;
    Ok(())
}

fn count_and_days(account: &AccountDef, policies: &Policies) -> (usize, u64) {
    let count = account.history_count.unwrap_or(policies.history_count) as usize;
    (count, account.history_days.unwrap_or(policies.history_days).into())
}

fn has_history(account: &AccountDef, policies: &Policies) -> bool {
    count_and_days(account, policies) != (0, 0)
}

/// Whether the entry at this position still counts.
fn counts(account: &AccountDef, policies: &Policies, position: usize) -> bool {
    let (count, days) = count_and_days(account, policies);
    let from_end = account.history.len() - position;
    let age_us = policies.now_us.saturating_sub(account.history[position].changed_us);
    from_end <= count || (days > 0 && age_us < days.saturating_mul(DAY_US))
}

/// Hashes of passwords that may not come again.
fn remembered(account: &AccountDef, policies: &Policies) -> Vec<String> {
    let positions = (0..account.history.len()).filter(|at| counts(account, policies, *at));
    positions.map(|at| account.history[at].hash.clone()).collect()
}

/// Forgets what does not count any more.
pub fn prune(account: &mut AccountDef, policies: &Policies) {
    let keep: Vec<bool> = (0..account.history.len()).map(|at| counts(account, policies, at)).collect();
    let mut keep = keep.into_iter();
    account.history.retain(|_| keep.next().unwrap_or(false));
}

/// REPLACE 'current password', for somebody who changes their own. 3891, 3892, 3893.
pub async fn check_current(
    account: &AccountDef,
    current: Option<&Secret>,
    is_own: bool,
    is_administrator: bool,
    policies: &Policies,
) -> Result<(), SqlError> {
    let Some(current) = current else {
        let required = account.require_current.unwrap_or(policies.require_current);
        if required && is_own && !is_administrator {
            let text = "Current password needs to be specified in the REPLACE clause in order to change it.";
            return Err(SqlError::new(ErrorCode(3892), text));
        }
        return Ok(());
    };
    if !is_own {
        let text = "Do not specify the current password while changing it for other users.";
        return Err(SqlError::new(ErrorCode(3893), text));
    }
    let right = match &account.credential {
        Credential::OfServer => match policies.server_digest {
            Some(digest) => password::equal_in_constant_time(&digest, &password::fast_digest(current.0.as_bytes())),
            None => current.0.is_empty(),
        },
        Credential::Hash(hash) => {
            let (hash, text) = (hash.clone(), current.0.clone());
            let verified = tokio::task::spawn_blocking(move || password::verify(&hash, &text)).await;
            verified.map_err(|error| SqlError::internal(format!("hashing a password: {error}")))?
        }
    };
    if right {
        return Ok(());
    }
    let text = "Incorrect current password. Specify the correct password which has to be replaced.";
    Err(SqlError::new(ErrorCode(3891), text))
}
