//! Names of accounts and roles: `'user'@'host'`.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountName {
    pub user: String,
    /// A pattern, in lower case.
    pub host: String,
}

impl AccountName {
    pub fn new(user: impl Into<String>, host: impl AsRef<str>) -> AccountName {
        AccountName { user: user.into(), host: host.as_ref().to_lowercase() }
    }

    /// `user@host`; the host has no `@` in it.
    pub fn parse(text: &str) -> AccountName {
        match text.rsplit_once('@') {
            Some((user, host)) => AccountName::new(user, host),
            None => AccountName::new(text, "%"),
        }
    }

    /// `` `user`@`host` ``, as SHOW GRANTS writes it.
    pub fn quoted(&self) -> String {
        let quote = |text: &str| format!("`{}`", text.replace('`', "``"));
        format!("{}@{}", quote(&self.user), quote(&self.host))
    }

    /// `'user'@'host'`, as errors and GRANTEE columns write it.
    pub fn literal(&self) -> String {
        format!("'{}'@'{}'", self.user, self.host)
    }
}

/// `user@host`, as CURRENT_USER() gives it.
impl fmt::Display for AccountName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}", self.user, self.host)
    }
}
