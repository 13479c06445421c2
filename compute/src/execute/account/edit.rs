//! The accounts while a statement changes them.

use crate::account::{AccountDef, AccountName, Accounts};
use crate::catalog::storage;
use crate::execute::{StatementContext, ddl};
use expr::SqlError;
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Edit {
    before: Arc<Accounts>,
    /// What is to be stored; None is gone.
    changed: BTreeMap<AccountName, Option<AccountDef>>,
}

impl Edit {
    pub async fn begin(context: &mut StatementContext<'_>) -> Result<Edit, SqlError> {
        let catalog = ddl::lock_names(vec![storage::accounts_key()], context).await?;
        Ok(Edit { before: catalog.accounts.clone(), changed: BTreeMap::new() })
    }

    pub fn get(&self, name: &AccountName) -> Option<&AccountDef> {
        match self.changed.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.before.get(name).map(|account| &**account),
        }
    }

    pub fn get_mut(&mut self, name: &AccountName) -> Option<&mut AccountDef> {
        if !self.changed.contains_key(name) {
            let before = (**self.before.get(name)?).clone();
            self.changed.insert(name.clone(), Some(before));
        }
        self.changed.get_mut(name)?.as_mut()
    }

    pub fn put(&mut self, account: AccountDef) {
        self.changed.insert(account.name.clone(), Some(account));
    }

    pub fn remove(&mut self, name: &AccountName) -> Option<AccountDef> {
        let before = self.get(name)?.clone();
        self.changed.insert(name.clone(), None);
        Some(before)
    }

    /// Names of all accounts as they are now.
    pub fn names(&self) -> Vec<AccountName> {
        let before = self.before.iter().map(|account| &account.name).filter(|name| !self.changed.contains_key(*name));
        let changed = self.changed.iter().filter(|(_, account)| account.is_some()).map(|(name, _)| name);
        before.chain(changed).cloned().collect()
    }

    /// Puts the changes into the transaction.
    pub fn store(mut self, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        if self.before.is_untouched() {
            // From here on the first root is an account like others.
            for root in self.before.iter() {
                self.changed.entry(root.name.clone()).or_insert_with(|| Some((**root).clone()));
            }
        }
        for (name, account) in self.changed {
            let row = account.as_ref().map(storage::row_of).transpose()?;
            context.transaction.write(storage::account_key(&name), row, None)?;
        }
        Ok(())
    }
}
