//! All accounts as of one catalog, and the search for the one that a client logs in with.

use super::{AccountDef, AccountName, host};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

#[derive(Debug, Clone, Default)]
pub struct Accounts {
    stored: BTreeMap<AccountName, Arc<AccountDef>>,
}

static FIRST_ROOT: LazyLock<BTreeMap<AccountName, Arc<AccountDef>>> = LazyLock::new(|| {
    let root = AccountDef::first_root();
    BTreeMap::from([(root.name.clone(), Arc::new(root))])
});

impl Accounts {
    /// Takes over a row of the catalog's table.
    pub fn put(&mut self, name: AccountName, definition: Option<AccountDef>) {
        match definition {
            Some(definition) => drop(self.stored.insert(name, Arc::new(definition))),
            None => drop(self.stored.remove(&name)),
        }
    }

    /// Nobody has stored an account yet: the first root is all there is.
    pub fn is_untouched(&self) -> bool {
        self.stored.is_empty()
    }

    fn all(&self) -> &BTreeMap<AccountName, Arc<AccountDef>> {
        if self.stored.is_empty() { &FIRST_ROOT } else { &self.stored }
    }

    pub fn get(&self, name: &AccountName) -> Option<&Arc<AccountDef>> {
        self.all().get(name)
    }

    /// By user, then host.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AccountDef>> {
        self.all().values()
    }

    /// The account of a client: a named user before the anonymous one, then the most specific host that matches. (MySQL
    /// looks at the host first; then an anonymous account of this host would shut out `root`@`%`.)
    pub fn matching(&self, user: &str, client_host: &str, address: IpAddr) -> Option<&Arc<AccountDef>> {
        let candidate = |account: &&Arc<AccountDef>| {
            (account.name.user == user || account.name.user.is_empty())
                && host::matches(&account.name.host, client_host, address)
        };
        let rank = |account: &&Arc<AccountDef>| (account.name.user.is_empty(), host::rank(&account.name.host));
        self.iter().filter(candidate).min_by_key(rank)
    }

    /// The account that a view's DEFINER names; without one of that name, the one that such a client would be.
    pub fn definer(&self, name: &AccountName) -> Option<&Arc<AccountDef>> {
        self.get(name).or_else(|| {
            let address = name.host.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
            (!name.user.is_empty() && !name.host.contains(['%', '_']))
                .then(|| self.matching(&name.user, &name.host, address))
                .flatten()
                .filter(|account| !account.name.user.is_empty())
        })
    }

    /// These roles and those granted to them, each once.
    pub fn with_inherited<'n>(&self, roles: impl IntoIterator<Item = &'n AccountName>) -> Vec<Arc<AccountDef>> {
        let mut seen: BTreeSet<AccountName> = BTreeSet::new();
        let mut open: Vec<AccountName> = roles.into_iter().cloned().collect();
        let mut found = Vec::new();
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(role) = self.get(&name) {
                open.extend(role.roles.keys().cloned());
                found.push(role.clone());
            }
        }
        found
    }
}
