//! GET_LOCK and its kin, and SLEEP: what a session's expressions wait for.
//!
//! A named lock is a key in the lock table, held by an id of the session's own, so that it outlives transactions and is
//! seen from every compute.

use crate::execute::row::waiting::WaitingFunctions;
use crate::txn::Remote;
use crate::txn::locking::NAMED_LOCKS;
use crate::txn::service_error::{lock_error, wal_error, with_backoff};
use async_trait::async_trait;
use common::id::{IndexId, TxnId};
use common::key::{Key, index_prefix};
use common::service::wal::{LockError, LockInfo, LockMode, LockRequest, LockTarget, LockWait, Tenure};
use expr::eval::EvalContext;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME_CHARACTERS_MAX: usize = 64;
/// A negative timeout waits for ever.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub struct NamedLocks {
    remote: Remote,
    owner: TxnId,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// How often each is held, by name in lower case.
    counts: BTreeMap<String, u64>,
    /// The oldest of them.
    tenure: Option<Tenure>,
}

impl NamedLocks {
    pub fn new(remote: Remote, connection: u64) -> NamedLocks {
        let owner = txn_of(&remote, connection);
        NamedLocks { remote, owner, held: Mutex::default() }
    }

    /// The session ends.
    pub async fn release_all(&self) -> Result<u64, SqlError> {
        let count = std::mem::take(&mut *self.held.lock()).counts.values().sum();
        if count > 0 {
            with_backoff(|| self.remote.wal.unlock(self.owner)).await.map_err(wal_error)?;
        }
        Ok(count)
    }

    /// Since when locks are held, if any are.
    pub fn tenure(&self) -> Option<Tenure> {
        let held = self.held.lock();
        held.tenure.filter(|_| !held.counts.is_empty())
    }

    /// They are gone.
    pub fn forget(&self) {
        *self.held.lock() = Held::default();
    }

    async fn get(&self, name: String, seconds: f64) -> Result<Value, SqlError> {
        if let Some(count) = self.held.lock().counts.get_mut(&name) {
            *count += 1;
            return Ok(Value::Int(1));
        }
        let wait = if seconds < 0.0 { FOREVER } else { Duration::try_from_secs_f64(seconds).unwrap_or(FOREVER) };
        let request = LockRequest::keys(self.owner, vec![(key(&name), LockMode::Exclusive)], LockWait::Timeout(wait));
        match with_backoff(|| self.remote.wal.lock(request.clone())).await {
            Ok(reply) => {
                let mut held = self.held.lock();
                let oldest = held.tenure.filter(|_| !held.counts.is_empty());
                held.tenure = Some(oldest.map_or(reply.tenure(), |oldest| oldest.min(reply.tenure())));
                held.counts.insert(name, 1);
                Ok(Value::Int(1))
            }
            Err(LockError::Timeout) => Ok(Value::Int(0)),
            Err(LockError::Deadlock) => {
                // The lock table has let go of all of them, and waits to hear that this one knows.
                self.forget();
                with_backoff(|| self.remote.wal.unlock(self.owner)).await.map_err(wal_error)?;
                let text = "Deadlock found when trying to get user-level lock; try rolling back transaction/releasing \
                            locks and restarting lock acquisition.";
                Err(SqlError::new(ErrorCode(3058), text))
            }
            Err(error) => Err(lock_error(error)),
        }
    }

    async fn release(&self, name: String) -> Result<Value, SqlError> {
        let left = {
            let mut held = self.held.lock();
            let left = held.counts.get_mut(&name).map(|count| {
                *count -= 1;
                *count
            });
            if left == Some(0) {
                held.counts.remove(&name);
            }
            left
        };
        match left {
            Some(0) => {
                let keys = vec![key(&name)];
                with_backoff(|| self.remote.wal.unlock_keys(self.owner, keys.clone())).await.map_err(wal_error)?;
                Ok(Value::Int(1))
            }
            Some(_) => Ok(Value::Int(1)),
            // Another session's, or nobody's.
            None => Ok(if self.holder(&name).await?.is_some() { Value::Int(0) } else { Value::Null }),
        }
    }

    /// The number of the connection that holds it.
    async fn holder(&self, name: &str) -> Result<Option<u64>, SqlError> {
        let locks = with_backoff(|| self.remote.wal.locks()).await.map_err(wal_error)?;
        let wanted = LockTarget::Key(key(name));
        let held = |lock: &&LockInfo| lock.target == wanted && lock.waits_for.is_none();
        Ok(locks.iter().find(held).map(|lock| u64::from(lock.txn.0 as u32)))
    }
}

/// A new id to lock under. Its lower 32 bits are the connection's number, so that people see who holds what.
pub fn txn_of(remote: &Remote, connection: u64) -> TxnId {
    TxnId((remote.new_id)() << 32 | u128::from(connection as u32))
}

fn key(name: &str) -> Key {
    let mut key = index_prefix(NAMED_LOCKS, IndexId(0)).to_vec();
    key.extend_from_slice(name.as_bytes());
    key.into()
}

fn name_of(value: Option<&Value>) -> Result<String, SqlError> {
    let name = match value {
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_text().to_lowercase(),
    };
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(SqlError::new(ErrorCode(3057), format!("Incorrect user-level lock name '{name}'.")));
    }
    Ok(name)
}

#[async_trait]
impl WaitingFunctions for NamedLocks {
    async fn call(&self, function: &str, arguments: Vec<Value>) -> Result<Value, SqlError> {
        let quiet = EvalContext::constant();
        match function {
            "SLEEP" => {
                let seconds = match arguments.first() {
                    None | Some(Value::Null) => -1.0,
                    Some(value) => value.to_f64(&quiet)?,
                };
                let Ok(time) = Duration::try_from_secs_f64(seconds) else {
                    return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to sleep."));
                };
                tokio::time::sleep(time.min(FOREVER)).await;
                Ok(Value::Int(0))
            }
            "GET_LOCK" => {
                let name = name_of(arguments.first())?;
                match arguments.get(1) {
                    None | Some(Value::Null) => self.get(name, 0.0).await,
                    Some(seconds) => self.get(name, seconds.to_f64(&quiet)?).await,
                }
            }
            "RELEASE_LOCK" => self.release(name_of(arguments.first())?).await,
            "RELEASE_ALL_LOCKS" => Ok(Value::UInt(self.release_all().await?)),
            "IS_FREE_LOCK" => {
                let holder = self.holder(&name_of(arguments.first())?).await?;
                Ok(Value::Int(i64::from(holder.is_none())))
            }
            "IS_USED_LOCK" => {
                let holder = self.holder(&name_of(arguments.first())?).await?;
                Ok(holder.map_or(Value::Null, Value::UInt))
            }
            other => Err(SqlError::internal(format!("{other} is no function that waits; report it"))),
        }
    }
}
