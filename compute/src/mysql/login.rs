//! Finds out who a client is: its account, its password, and whether the account may be used.
//!
//! mysql_native_password needs one answer. caching_sha2_password has a short exchange, with a digest that this compute
//! remembers from an earlier one, and a long one, in which the client shows the password itself over TLS or RSA.
//! Manual: "Caching SHA-2 Pluggable Authentication" (8.4.1.2).

use super::authentication::{self, NONCE_BYTES, Plugin};
use super::guard::Guard;
use super::handshake::{HandshakeError, MESSAGE_BYTES_MAX, host, make_nonce, refuse};
use super::packet::PacketStream;
use super::rsa::KeyPair;
use super::server::Front;
use super::tls::Secured;
use crate::account::password::{self, NATIVE_PLUGIN};
use crate::account::{AccountDef, AccountName, Credential, TlsRule};
use crate::session::Login;
use common::env::random::Random;
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Begins a message that continues the exchange.
const MORE_DATA: u8 = 1;
const FAST_OK: u8 = 3;
const SHOW_PASSWORD: u8 = 4;
const WANTS_PUBLIC_KEY: [u8; 1] = [2];
const DAY_SECONDS: u64 = 86_400;

/// What logins of this compute share.
#[derive(Default)]
pub struct Logins {
    pub guard: Guard,
    /// SHA256(SHA256(password)) of accounts whose password was shown, beside the stored hash that it belongs to.
    digests: Mutex<HashMap<AccountName, (String, [u8; 32])>>,
    key: OnceCell<Arc<KeyPair>>,
}

impl Logins {
    async fn key(&self) -> Option<Arc<KeyPair>> {
        let make = || async {
            let made = tokio::task::spawn_blocking(|| Arc::new(KeyPair::generate(Random::system()))).await;
            made.map_err(|error| tracing::warn!(%error, "no RSA key could be made"))
        };
        self.key.get_or_try_init(make).await.ok().cloned()
    }

    fn digest(&self, account: &AccountDef, stored: &str) -> Option<[u8; 32]> {
        let digests = self.digests.lock();
        digests.get(&account.name).filter(|(of, _)| of == stored).map(|(_, digest)| *digest)
    }

    fn remember(&self, account: &AccountDef, stored: &str, password: &[u8]) {
        const ENTRIES_MAX: usize = 10_000;
        let mut digests = self.digests.lock();
        if digests.len() >= ENTRIES_MAX {
            // They come back with the next long exchange.
            digests.clear();
        }
        digests.insert(account.name.clone(), (stored.to_owned(), password::fast_digest(password)));
    }
}

/// What the client has sent so far.
pub struct Attempt<'a> {
    pub user: &'a str,
    pub peer: SocketAddr,
    /// None: not over TLS.
    pub tls: Option<&'a Secured>,
    pub can_handle_expired: bool,
    /// How `answer` was made from `nonce`; None: nothing usable was sent.
    pub plugin: Option<Plugin>,
    pub nonce: [u8; NONCE_BYTES],
    pub answer: Vec<u8>,
}

/// The login, or an error that was sent to the client.
pub async fn log_in(
    packets: &mut PacketStream,
    front: &Front,
    mut attempt: Attempt<'_>,
) -> Result<Login, HandshakeError> {
    let (user, peer) = (attempt.user.to_owned(), attempt.peer);
    let guard = &front.logins.guard;
    let wait = guard.wait(&user, peer.ip(), front.engine.clock.wall_us());
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let accounts = front.engine.newest_accounts().await;
    let account = accounts.matching(&user, &host(peer), peer.ip()).cloned();
    let right = match &account {
        Some(account) => is_right(packets, front, account, &mut attempt).await?,
        None => {
            // Looks as for an account with a password.
            if attempt.answer.len() > 1 {
                shown_password(packets, front, &attempt).await?;
            }
            false
        }
    };
    let now_us = front.engine.clock.wall_us();
    let who = format!("'{user}'@'{}'", host(peer));
    if let Some(account) = &account
        && let Err(error) = guard.check_lock(account, right, now_us, &who)
    {
        guard.failed(&user, peer.ip(), now_us);
        return refuse(packets, &user, error).await;
    }
    let Some(account) = account.filter(|account| right && tls_suffices(account, attempt.tls)) else {
        guard.failed(&user, peer.ip(), now_us);
        let used = if attempt.answer.len() > 1 { "YES" } else { "NO" };
        let text = format!("Access denied for user {who} (using password: {used})");
        return refuse(packets, &user, SqlError::new(ErrorCode::ACCESS_DENIED, text)).await;
    };
    guard.succeeded(&user, peer.ip());
    if account.locked {
        let text = format!("Access denied for user {who}. Account is locked.");
        return refuse(packets, &user, SqlError::new(ErrorCode(3118), text)).await;
    }
    let globals = front.engine.globals();
    let expired = account.expired || is_too_old(&account, globals.integer("default_password_lifetime"), now_us);
    if expired && !attempt.can_handle_expired {
        let text =
            "Your password has expired. To log in you must change it using a client that supports expired passwords.";
        return refuse(packets, &user, SqlError::new(ErrorCode(1862), text)).await;
    }
    let limit = globals.integer("max_user_connections").try_into().unwrap_or(u32::MAX);
    if let Err(error) = front.engine.usage.connect(&account.name, account.limits, limit, now_us) {
        return refuse(packets, &user, error).await;
    }
    Ok(Login { user, host: host(peer), account: account.name.clone(), expired })
}

fn is_too_old(account: &AccountDef, lifetime_of_server: u64, now_us: u64) -> bool {
    let days = account.lifetime_days.map_or(lifetime_of_server, u64::from);
    days > 0 && now_us / 1_000_000 >= account.password_changed.saturating_add(days * DAY_SECONDS)
}

fn tls_suffices(account: &AccountDef, tls: Option<&Secured>) -> bool {
    tls.map_or(account.tls == TlsRule::None, |secured| secured.satisfies(&account.tls))
}

async fn is_right(
    packets: &mut PacketStream,
    front: &Front,
    account: &Arc<AccountDef>,
    attempt: &mut Attempt<'_>,
) -> Result<bool, HandshakeError> {
    let Credential::Hash(stored) = &account.credential else { return of_server(packets, front, attempt).await };
    if attempt.plugin.is_none() && stored.is_empty() {
        ask(packets, front, attempt, Plugin::Sha2).await?;
    }
    if stored.is_empty() {
        // caching_sha2 clients send a single zero byte for an empty password.
        return Ok(attempt.answer.is_empty() || attempt.answer == [0]);
    }
    let plugin = if account.plugin == NATIVE_PLUGIN { Plugin::Native } else { Plugin::Sha2 };
    if attempt.plugin != Some(plugin) {
        ask(packets, front, attempt, plugin).await?;
    }
    if attempt.answer.len() <= 1 {
        return Ok(false);
    }
    let mut stored_ones = vec![stored.clone()];
    if let Some(Credential::Hash(retained)) = &account.retained {
        stored_ones.push(retained.clone());
    }
    if plugin == Plugin::Native {
        let fits = |stored: &String| {
            password::native_digest(stored)
                .is_some_and(|digest| authentication::native_fits(&digest, &attempt.nonce, &attempt.answer))
        };
        return Ok(stored_ones.iter().any(fits));
    }
    if let Some(digest) = front.logins.digest(account, stored)
        && authentication::sha2_fits(&digest, &attempt.nonce, &attempt.answer)
    {
        send(packets, &[FAST_OK]).await?;
        return Ok(true);
    }
    let Some(shown) = shown_password(packets, front, attempt).await? else { return Ok(false) };
    let text = String::from_utf8_lossy(&shown).into_owned();
    let verified =
        tokio::task::spawn_blocking(move || stored_ones.iter().position(|stored| password::verify(stored, &text)));
    let fitting = verified.await.unwrap_or_default();
    if fitting == Some(0) {
        front.logins.remember(account, stored, &shown);
    }
    Ok(fitting.is_some())
}

/// The first root, with the password that this server was started with; an empty one counts on this host only.
async fn of_server(
    packets: &mut PacketStream,
    front: &Front,
    attempt: &mut Attempt<'_>,
) -> Result<bool, HandshakeError> {
    let plugin = match attempt.plugin {
        Some(plugin) => plugin,
        None => {
            ask(packets, front, attempt, Plugin::Sha2).await?;
            Plugin::Sha2
        }
    };
    let allowed = !front.root.is_empty() || attempt.peer.ip().is_loopback() || front.insecure;
    let right = allowed && front.root.verify(plugin, &attempt.nonce, &attempt.answer);
    if right && plugin == Plugin::Sha2 && !front.root.is_empty() {
        send(packets, &[FAST_OK]).await?;
    }
    Ok(right)
}

/// Asks for an answer by this plugin, with a fresh challenge.
async fn ask(
    packets: &mut PacketStream,
    front: &Front,
    attempt: &mut Attempt<'_>,
    plugin: Plugin,
) -> Result<(), HandshakeError> {
    let nonce = make_nonce(&front.random);
    packets
        .write(|out| {
            out.push(0xfe);
            out.extend_from_slice(plugin.name().as_bytes());
            out.push(0);
            out.extend_from_slice(&nonce);
            out.push(0);
        })
        .await?;
    packets.flush().await?;
    attempt.answer = packets.read(MESSAGE_BYTES_MAX).await?;
    attempt.nonce = nonce;
    attempt.plugin = Some(plugin);
    Ok(())
}

async fn send(packets: &mut PacketStream, data: &[u8]) -> Result<(), HandshakeError> {
    packets
        .write(|out| {
            out.push(MORE_DATA);
            out.extend_from_slice(data);
        })
        .await?;
    Ok(packets.flush().await?)
}

/// The long exchange: the password in plain text, over TLS or encrypted by our key.
async fn shown_password(
    packets: &mut PacketStream,
    front: &Front,
    attempt: &Attempt<'_>,
) -> Result<Option<Vec<u8>>, HandshakeError> {
    send(packets, &[SHOW_PASSWORD]).await?;
    let mut message = packets.read(MESSAGE_BYTES_MAX).await?;
    if attempt.tls.is_none() {
        let Some(key) = front.logins.key().await else { return Ok(None) };
        if message == WANTS_PUBLIC_KEY {
            send(packets, key.public_pem.as_bytes()).await?;
            message = packets.read(MESSAGE_BYTES_MAX).await?;
        }
        let decrypted = tokio::task::spawn_blocking(move || key.decrypt(&message)).await.unwrap_or_default();
        let Some(masked) = decrypted else { return Ok(None) };
        message = masked.iter().zip(attempt.nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    }
    // It ends with a zero byte.
    if message.pop() != Some(0) {
        return Ok(None);
    }
    Ok(Some(message))
}
