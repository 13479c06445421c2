//! Who is logged in, with which roles, and so with which rights.
//!
//! Rights follow the accounts of the catalog that a statement runs with: what was granted or revoked on any compute
//! counts from the next statement on. A session of an account that is gone has none.

use super::{Engine, Session};
use crate::account::{AccountDef, AccountName, Accounts, Rights};
use crate::catalog::Catalog;
use crate::execute::account::{Actor, Policies};
use crate::session::variables::Values;
use crate::sql::plan::account::RoleChoice;
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What authentication found out.
#[derive(Debug, Clone)]
pub struct Login {
    /// As the client gave it.
    pub user: String,
    /// `localhost` or an address.
    pub host: String,
    /// The account that was matched.
    pub account: AccountName,
    /// Nothing may be done but to set another password.
    pub expired: bool,
}

impl Login {
    /// Of tests and of the server's own sessions.
    pub fn root(host: &str) -> Login {
        Login { user: "root".to_owned(), host: host.to_owned(), account: AccountName::new("root", "%"), expired: false }
    }
}

pub(super) struct Identity {
    pub login: Login,
    /// As USER() gives it.
    pub user: Arc<str>,
    /// As CURRENT_USER() gives it.
    pub current_user: Arc<str>,
    roles: Mutex<Roles>,
}

#[derive(Default)]
struct Roles {
    /// None until the first statement has looked up the default ones.
    active: Option<Vec<AccountName>>,
    kept: Option<Kept>,
}

/// Rights, for as long as the accounts are these.
struct Kept {
    accounts: Arc<Accounts>,
    rights: Arc<Rights>,
    current_role: Arc<str>,
    account: Option<Arc<AccountDef>>,
}

impl Identity {
    pub fn new(login: Login) -> Identity {
        Identity {
            user: format!("{}@{}", login.user, login.host).into(),
            current_user: login.account.to_string().into(),
            login,
            roles: Mutex::default(),
        }
    }

    /// For the body of a routine: the definer's rights, for the same client.
    pub fn as_definer(login: Login, user: Arc<str>, definer: &str) -> Identity {
        Identity { user, current_user: definer.into(), login, roles: Mutex::default() }
    }

    /// As after the login: COM_RESET_CONNECTION.
    pub fn forget_roles(&self) {
        *self.roles.lock() = Roles::default();
    }

    /// What may be done, CURRENT_ROLE(), and the account itself.
    pub fn look_up(
        &self,
        accounts: &Arc<Accounts>,
        engine: &Engine,
    ) -> (Arc<Rights>, Arc<str>, Option<Arc<AccountDef>>) {
        let mut roles = self.roles.lock();
        if let Some(kept) = &roles.kept
            && Arc::ptr_eq(&kept.accounts, accounts)
        {
            return (kept.rights.clone(), kept.current_role.clone(), kept.account.clone());
        }
        let globals = engine.globals();
        let account = accounts.get(&self.login.account).cloned();
        let granted = granted_roles(account.as_deref(), accounts, &mandatory_roles(&globals));
        let wanted =
            roles.active.get_or_insert_with(|| match (&account, globals.boolean("activate_all_roles_on_login")) {
                (_, true) => granted.iter().cloned().collect(),
                (Some(account), false) => account.default_roles.iter().cloned().collect(),
                (None, false) => Vec::new(),
            });
        let active: Vec<AccountName> = wanted.iter().filter(|role| granted.contains(*role)).cloned().collect();
        let current_role: Arc<str> = match active.is_empty() {
            true => "NONE".into(),
            false => active.iter().map(AccountName::quoted).collect::<Vec<_>>().join(",").into(),
        };
        let rights = Arc::new(Rights::of(&self.login.account, &self.login.host, &active, accounts));
        roles.kept = Some(Kept {
            accounts: accounts.clone(),
            rights: rights.clone(),
            current_role: current_role.clone(),
            account: account.clone(),
        });
        (rights, current_role, account)
    }

    /// SET ROLE. 3530 for a role that is not theirs.
    fn set_roles(&self, choice: &RoleChoice, accounts: &Accounts, globals: &Values) -> Result<(), SqlError> {
        let account = accounts.get(&self.login.account);
        let granted = granted_roles(account.map(|account| &**account), accounts, &mandatory_roles(globals));
        let known = |role: &AccountName| match granted.contains(role) {
            true => Ok(role.clone()),
            false => Err(SqlError::new(
                ErrorCode(3530),
                format!("{} is not granted to {}", role.quoted(), self.login.account.quoted()),
            )),
        };
        let mut active: Vec<AccountName> = match choice {
            RoleChoice::None => Vec::new(),
            RoleChoice::Default => account.iter().flat_map(|account| &account.default_roles).cloned().collect(),
            RoleChoice::All => granted.iter().cloned().collect(),
            RoleChoice::AllExcept(roles) => granted.iter().filter(|role| !roles.contains(role)).cloned().collect(),
            RoleChoice::These(roles) => roles.iter().map(known).collect::<Result<_, _>>()?,
        };
        active.sort();
        active.dedup();
        *self.roles.lock() = Roles { active: Some(active), kept: None };
        Ok(())
    }
}

/// mandatory_roles: `r1, 'r2'@'host'`.
pub(super) fn mandatory_roles(globals: &Values) -> Vec<AccountName> {
    let plain = |text: &str| text.trim().trim_matches(['`', '\'', '"']).to_owned();
    let names = globals.get("mandatory_roles").split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| match name.rsplit_once('@') {
            Some((user, host)) => AccountName::new(plain(user), plain(host)),
            None => AccountName::new(plain(name), "%"),
        })
        .collect()
}

/// Roles that an account has, at any distance, and those that everybody has.
fn granted_roles(
    account: Option<&AccountDef>,
    accounts: &Accounts,
    mandatory: &[AccountName],
) -> BTreeSet<AccountName> {
    let Some(account) = account else { return BTreeSet::new() };
    let direct = account.roles.keys().chain(mandatory);
    accounts.with_inherited(direct).iter().map(|role| role.name.clone()).collect()
}

impl Session {
    /// What the session's account may do, by the accounts of this catalog.
    pub(super) fn rights(&self, catalog: &Catalog) -> Arc<Rights> {
        self.identity.look_up(&catalog.accounts, &self.engine).0
    }

    /// By the newest accounts known here: for statements that ask no catalog.
    pub(super) fn newest_rights(&self) -> Arc<Rights> {
        self.rights(&self.engine.services.catalog.newest())
    }

    pub(super) fn actor(&self, catalog: &Catalog) -> Actor {
        let globals = self.engine.globals();
        let policies = Policies {
            history_count: globals.integer("password_history").try_into().unwrap_or(u32::MAX),
            history_days: globals.integer("password_reuse_interval").try_into().unwrap_or(u32::MAX),
            require_current: globals.boolean("password_require_current"),
            mandatory_roles: mandatory_roles(&globals),
            server_digest: self.engine.server_digest(),
            now_us: self.engine.clock.wall_us(),
        };
        Actor { rights: self.rights(catalog), policies }
    }

    pub(super) fn set_role(&mut self, choice: &RoleChoice, catalog: &Catalog) -> Result<(), SqlError> {
        self.identity.set_roles(choice, &catalog.accounts, &self.engine.globals())
    }
}
