//! Slows down those who try passwords, and keeps FAILED_LOGIN_ATTEMPTS. Of this compute alone, in memory.
//!
//! After some failures in a row each further attempt of the same account from the same address waits, behind those that
//! wait already: many connections at once try no more passwords than one. Attempts of one address over all accounts and
//! those on one account from everywhere wait too, each by itself: others may come through that address. The waits grow
//! with each failure, up to a few seconds.

use crate::account::{AccountDef, AccountName};
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// Failures that nobody waits for: of a person who mistypes, of a pool that starts with an old password.
const FREE_PAIR: u32 = 3;
const FREE_ADDRESS: u32 = 50;
const FREE_ACCOUNT: u32 = 100;
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Many clients may come through one address, a balancer's.
const WAIT_ADDRESS_MAX: Duration = Duration::from_secs(1);
/// An account that is attacked from everywhere stays usable by its owner.
const WAIT_ACCOUNT_MAX: Duration = Duration::from_millis(500);
/// Failures older than this are forgotten.
const FORGET_US: u64 = 600_000_000;
const ENTRIES_MAX: usize = 20_000;
const DAY_US: u64 = 86_400_000_000;

#[derive(Default)]
pub struct Guard {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pairs: HashMap<(String, IpAddr), Failures>,
    addresses: HashMap<IpAddr, Failures>,
    users: HashMap<String, Failures>,
    locks: HashMap<AccountName, Lock>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last_us: u64,
    /// When the last of the attempts that wait will be looked at.
    taken_until_us: u64,
}

/// Consecutive failures of an account with FAILED_LOGIN_ATTEMPTS.
struct Lock {
    failures: u32,
    locked_since_us: Option<u64>,
}

impl Guard {
    /// How long an attempt has to wait before it is looked at. The next one of the same account and address waits longer.
    pub fn wait(&self, user: &str, address: IpAddr, now_us: u64) -> Duration {
        let mut state = self.state.lock();
        let count = |failures: Option<&Failures>| {
            failures.filter(|failures| now_us.saturating_sub(failures.last_us) < FORGET_US).map_or(0, |it| it.count)
        };
        let pair = state.pairs.get_mut(&(user.to_owned(), address));
        let of_pair = match grown(count(pair.as_deref()), FREE_PAIR, WAIT_MAX) {
            Duration::ZERO => Duration::ZERO,
            turn => pair.map_or(Duration::ZERO, |pair| {
                pair.taken_until_us = pair.taken_until_us.max(now_us).saturating_add(turn.as_micros() as u64);
                Duration::from_micros(pair.taken_until_us - now_us)
            }),
        };
        let of_address = grown(count(state.addresses.get(&address)), FREE_ADDRESS, WAIT_ADDRESS_MAX);
        let of_user = grown(count(state.users.get(user)), FREE_ACCOUNT, WAIT_ACCOUNT_MAX);
        of_pair.max(of_address).max(of_user)
    }

    pub fn failed(&self, user: &str, address: IpAddr, now_us: u64) {
        let mut state = self.state.lock();
        note(&mut state.pairs, (user.to_owned(), address), now_us);
        note(&mut state.addresses, address, now_us);
        note(&mut state.users, user.to_owned(), now_us);
    }

    pub fn succeeded(&self, user: &str, address: IpAddr) {
        let mut state = self.state.lock();
        state.pairs.remove(&(user.to_owned(), address));
        // Whoever knows a password speaks for the others of that address.
        if let Some(failures) = state.addresses.get_mut(&address) {
            failures.count /= 2;
        }
    }

    /// FAILED_LOGIN_ATTEMPTS and PASSWORD_LOCK_TIME: 3955 while the account is locked, whatever the password.
    pub fn check_lock(&self, account: &AccountDef, right: bool, now_us: u64, who: &str) -> Result<(), SqlError> {
        if account.failed_login_attempts == 0 || account.lock_days == Some(0) {
            return Ok(());
        }
        let mut state = self.state.lock();
        let lock = state.locks.entry(account.name.clone()).or_insert(Lock { failures: 0, locked_since_us: None });
        if let Some(since_us) = lock.locked_since_us {
            let ends_us = account.lock_days.map(|days| since_us.saturating_add(u64::from(days) * DAY_US));
            if ends_us.is_none_or(|ends_us| now_us < ends_us) {
                let days = account.lock_days.map_or("unlimited".to_owned(), |days| days.to_string());
                let left =
                    ends_us.map_or("unlimited".to_owned(), |ends_us| (ends_us - now_us).div_ceil(DAY_US).to_string());
                return Err(SqlError::new(
                    ErrorCode(3955),
                    format!(
                        "Access denied for user {who}. Account is blocked for {days} day(s) ({left} day(s) remaining) due to \
                         {} consecutive failed logins.",
                        lock.failures
                    ),
                ));
            }
            *lock = Lock { failures: 0, locked_since_us: None };
        }
        if right {
            state.locks.remove(&account.name);
            return Ok(());
        }
        lock.failures += 1;
        if lock.failures >= u32::from(account.failed_login_attempts) {
            lock.locked_since_us = Some(now_us);
        }
        Ok(())
    }
}

/// Doubles with each failure after the free ones.
fn grown(count: u32, free: u32, max: Duration) -> Duration {
    match count.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(over) => WAIT_FIRST.saturating_mul(1 << (over - 1).min(10)).min(max),
    }
}

fn note<K: Hash + Eq + Clone>(table: &mut HashMap<K, Failures>, key: K, now_us: u64) {
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        table.retain(|_, failures| now_us.saturating_sub(failures.last_us) < FORGET_US);
        if table.len() >= ENTRIES_MAX {
            // Full of fresh ones: the oldest goes.
            let oldest = table.iter().min_by_key(|(_, failures)| failures.last_us).map(|(key, _)| key.clone());
            oldest.map(|key| table.remove(&key));
        }
    }
    let failures = table.entry(key).or_insert(Failures { count: 0, last_us: now_us, taken_until_us: 0 });
    if now_us.saturating_sub(failures.last_us) >= FORGET_US {
        failures.count = 0;
    }
    failures.count += 1;
    failures.last_us = now_us;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_makes_the_next_attempt_wait_longer() {
        let guard = Guard::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..FREE_PAIR {
            guard.failed("ann", address, 1);
        }
        assert_eq!(guard.wait("ann", address, 1), Duration::ZERO);
        guard.failed("ann", address, 1);
        let first = guard.wait("ann", address, 1);
        guard.failed("ann", address, 1);
        assert!(first > Duration::ZERO && guard.wait("ann", address, 1) > first);
        assert_eq!(guard.wait("bob", address, 1), Duration::ZERO);
        assert_eq!(guard.wait("ann", IpAddr::from([192, 0, 2, 2]), 1), Duration::ZERO);
        assert_eq!(guard.wait("ann", address, 1 + FORGET_US), Duration::ZERO);
        guard.succeeded("ann", address);
        assert_eq!(guard.wait("ann", address, 1), Duration::ZERO);
        for user in 0..100 {
            guard.failed(&user.to_string(), address, 1);
        }
        assert_eq!(guard.wait("bob", address, 1), WAIT_ADDRESS_MAX);
        guard.succeeded("bob", address);
        assert!(guard.wait("carl", address, 1) < WAIT_ADDRESS_MAX);
    }

    #[test]
    fn attempts_at_once_wait_one_behind_the_other() {
        let guard = Guard::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..FREE_PAIR + 2 {
            guard.failed("ann", address, 1);
        }
        let waits: Vec<Duration> = (0..3).map(|_| guard.wait("ann", address, 1)).collect();
        assert_eq!(waits, [waits[0], 2 * waits[0], 3 * waits[0]]);
        // Later they are gone.
        let later = 1 + waits[2].as_micros() as u64;
        assert_eq!(guard.wait("ann", address, later), waits[0]);
    }

    #[test]
    fn an_account_locks_itself_after_so_many_failures() {
        let guard = Guard::default();
        let mut account = AccountDef::new(AccountName::new("ann", "%"), "", 0);
        account.failed_login_attempts = 2;
        account.lock_days = Some(1);
        assert!(guard.check_lock(&account, false, 1, "").is_ok() && guard.check_lock(&account, false, 1, "").is_ok());
        assert_eq!(guard.check_lock(&account, true, 2, "").unwrap_err().code.0, 3955);
        assert!(guard.check_lock(&account, true, 1 + DAY_US, "").is_ok());
    }
}
