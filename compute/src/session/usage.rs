//! Resource limits of accounts: what each has used within the hour, on this compute.
//! Manual: "Setting Account Resource Limits" (8.2.21).

use crate::account::{AccountName, Limits};
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;

const HOUR_US: u64 = 3_600_000_000;

#[derive(Default)]
pub struct UsageTable {
    /// Of accounts with limits or with open connections.
    by_account: Mutex<HashMap<AccountName, Usage>>,
}

#[derive(Default)]
struct Usage {
    hour_began_us: u64,
    queries: u32,
    updates: u32,
    connections: u32,
    open: u32,
}

impl Usage {
    fn at(&mut self, now_us: u64) -> &mut Usage {
        if now_us.saturating_sub(self.hour_began_us) >= HOUR_US {
            *self = Usage { hour_began_us: now_us, open: self.open, ..Usage::default() };
        }
        self
    }
}

impl UsageTable {
    /// Counts a connection. 1226 and 1203 where there are too many. `limit_of_server`: max_user_connections.
    pub fn connect(
        &self,
        account: &AccountName,
        limits: Limits,
        limit_of_server: u32,
        now_us: u64,
    ) -> Result<(), SqlError> {
        let mut table = self.by_account.lock();
        let usage = table.entry(account.clone()).or_default().at(now_us);
        let open_max = if limits.user_connections > 0 { limits.user_connections } else { limit_of_server };
        if open_max > 0 && usage.open >= open_max {
            if limits.user_connections > 0 {
                return Err(exceeded(account, "max_user_connections", open_max));
            }
            let text = format!("User {} already has more than 'max_user_connections' active connections", account.user);
            return Err(SqlError::new(ErrorCode(1203), text));
        }
        if limits.connections_per_hour > 0 && usage.connections >= limits.connections_per_hour {
            return Err(exceeded(account, "max_connections_per_hour", limits.connections_per_hour));
        }
        usage.connections += 1;
        usage.open += 1;
        Ok(())
    }

    pub fn disconnect(&self, account: &AccountName) {
        let mut table = self.by_account.lock();
        if let Some(usage) = table.get_mut(account) {
            usage.open = usage.open.saturating_sub(1);
        }
        // Nothing grows with the number of accounts that were ever here.
        if table.len() > 10_000 {
            table.retain(|_, usage| usage.open > 0);
        }
    }

    /// Counts a statement. 1226.
    pub fn statement(&self, account: &AccountName, limits: Limits, changes: bool, now_us: u64) -> Result<(), SqlError> {
        if limits.queries_per_hour == 0 && limits.updates_per_hour == 0 {
            return Ok(());
        }
        let mut table = self.by_account.lock();
        let usage = table.entry(account.clone()).or_default().at(now_us);
        if limits.queries_per_hour > 0 && usage.queries >= limits.queries_per_hour {
            return Err(exceeded(account, "max_questions", limits.queries_per_hour));
        }
        if changes && limits.updates_per_hour > 0 && usage.updates >= limits.updates_per_hour {
            return Err(exceeded(account, "max_updates", limits.updates_per_hour));
        }
        usage.queries += 1;
        usage.updates += u32::from(changes);
        Ok(())
    }

    /// FLUSH USER_RESOURCES.
    pub fn reset(&self) {
        self.by_account.lock().values_mut().for_each(|usage| *usage = Usage { open: usage.open, ..Usage::default() });
    }
}

fn exceeded(account: &AccountName, resource: &str, limit: u32) -> SqlError {
    let text = format!("User '{}' has exceeded the '{resource}' resource (current value: {limit})", account.user);
    SqlError::new(ErrorCode(1226), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counted_by_the_hour() {
        let table = UsageTable::default();
        let ann = AccountName::new("ann", "%");
        let limits = Limits { queries_per_hour: 2, updates_per_hour: 1, ..Limits::default() };
        assert!(table.statement(&ann, limits, true, 1).is_ok());
        assert_eq!(table.statement(&ann, limits, true, 2).unwrap_err().code.0, 1226);
        assert!(table.statement(&ann, limits, false, 3).is_ok());
        assert!(table.statement(&ann, limits, false, 4).is_err());
        assert!(table.statement(&ann, limits, false, HOUR_US + 1).is_ok());
        let one = Limits { user_connections: 1, ..Limits::default() };
        assert!(table.connect(&ann, one, 0, 1).is_ok());
        assert_eq!(table.connect(&ann, one, 0, 1).unwrap_err().code.0, 1226);
        assert_eq!(table.connect(&ann, Limits::default(), 1, 1).unwrap_err().code.0, 1203);
        table.disconnect(&ann);
        assert!(table.connect(&ann, one, 0, 1).is_ok());
    }
}
