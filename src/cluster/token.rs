//! `drumlin cluster token` and `drumlin cluster admit`: how nodes on other machines get into a cluster.
//!
//! ```text
//! DIR/tokens/ID.json    what is kept of a token; removed, the token is void
//! DIR/tokens/LOCK       held by whoever changes one
//! ```
//!
//! A use is on disk before its node gets a certificate: also after a power failure, a token opens the door no more often
//! than it was made to.

use crate::failure::Failure;
use crate::lifecycle::{self, Roles};
use common::env::{Clock, Random, SystemClock};
use common::rpc::{Admission, AdmissionDesk, ClusterAuthority, JoinToken, NodeRole, Refusal, RpcError, TokenRecord};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

/// An expired token is known for so long, so that who shows it hears that it has expired.
const EXPIRED_KEPT_US: u64 = 24 * 3600 * 1_000_000;
/// How often the desk looks whether the authority is another one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(2);

/// What a new token is good for.
pub struct Terms {
    pub role: NodeRole,
    pub lifetime: Duration,
    pub uses: u32,
}

/// Makes a token and prints it, alone, on standard output.
pub fn token(dir: &Path, terms: &Terms) -> Result<(), Failure> {
    let dir = existing(dir)?;
    if terms.uses == 0 || terms.lifetime.is_zero() {
        return Err(Failure::settings("--uses and --lifetime: a token of no use would be of no use"));
    }
    let tokens = Tokens::open(&dir).map_err(|error| in_the_way(&dir, &error))?;
    let now_us = SystemClock.wall_us();
    let token =
        authority(&dir)?.draw_token(&Random::system()).map_err(|error| Failure::in_the_way(error.to_string()))?;
    let expires_us = now_us.saturating_add(u64::try_from(terms.lifetime.as_micros()).unwrap_or(u64::MAX));
    let kept = tokens
        .forget_expired(now_us)
        .and_then(|()| tokens.write(&token.id(), &token.record(terms.role, expires_us, terms.uses)));
    kept.map_err(|error| in_the_way(&dir, &error))?;
    eprintln!(
        "token {} for {} of role {}, for {} s; nodes use it with `drumlin node join` while `drumlin cluster admit` runs here",
        token.id(),
        if terms.uses == 1 { "one node".to_owned() } else { format!("{} nodes", terms.uses) },
        terms.role,
        terms.lifetime.as_secs()
    );
    println!("{}", token.reveal());
    Ok(())
}

/// Lets nodes with tokens in, until it is told to stop.
pub async fn admit(dir: &Path, listen: SocketAddr, http: SocketAddr) -> Result<(), Failure> {
    let dir = existing(dir)?;
    lifecycle::serve(http, async || Desk::open(dir, listen)).await
}

struct Desk {
    desk: Arc<AdmissionDesk>,
    listen: SocketAddr,
    following: AbortOnDropHandle<()>,
}

impl Desk {
    fn open(dir: PathBuf, listen: SocketAddr) -> Result<Desk, Failure> {
        let failed = |error: RpcError| Failure::in_the_way(format!("--listen: {error}"));
        let from = dir.clone();
        let admit = Arc::new(move |token: &JoinToken| admission(&from, token));
        let desk = Arc::new(AdmissionDesk::open(listen, &authority(&dir)?, admit).map_err(failed)?);
        let listen = desk.local_addr().map_err(|error| Failure::in_the_way(format!("--listen: {error}")))?;
        let following = AbortOnDropHandle::new(tokio::spawn(follow_authority(dir, desk.clone())));
        Ok(Desk { desk, listen, following })
    }
}

impl Roles for Desk {
    fn ready_line(&self, http: SocketAddr) -> String {
        format!("admit={} http={http}", self.listen)
    }

    async fn shutdown(self) {
        self.following.abort();
        self.desk.shutdown(GRACE).await;
    }
}

/// Shows a certificate of the authority that there is, also after `drumlin cluster rotate`.
async fn follow_authority(dir: PathBuf, desk: Arc<AdmissionDesk>) {
    let certificate = dir.join("ca/ca.pem");
    let mut shown = std::fs::read(&certificate).ok();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let now = std::fs::read(&certificate).ok();
        if now.is_none() || now == shown {
            continue;
        }
        match authority(&dir).map(|authority| desk.renew(&authority)) {
            Ok(Ok(())) => {
                info!("the cluster has another authority; tokens of the old one are void");
                shown = now;
            }
            Ok(Err(error)) => warn!(%error, "the new authority cannot be used"),
            Err(_) => {}
        }
    }
}

/// Takes one use of the token, on disk, and gives what its node is let in with.
fn admission(dir: &Path, token: &JoinToken) -> Result<Admission, Refusal> {
    let unable = |error: &dyn std::fmt::Display| {
        error!(%error, "tokens or the authority cannot be read or written");
        Refusal::Unable
    };
    // A node that came in now would have a certificate that nobody believes any more.
    if dir.join("ca-next").exists() {
        return Err(Refusal::Rotating);
    }
    let authority = ClusterAuthority::load(&dir.join("ca")).map_err(|error| unable(&error))?;
    let tokens = Tokens::open(dir).map_err(|error| unable(&error))?;
    let mut record = tokens.read(&token.id()).map_err(|error| unable(&error))?.ok_or(Refusal::Unknown)?;
    let role = record.take(token, SystemClock.wall_us())?;
    tokens.write(&token.id(), &record).map_err(|error| unable(&error))?;
    Ok(Admission { role, authority })
}

fn existing(dir: &Path) -> Result<PathBuf, Failure> {
    dir.canonicalize().map_err(|error| Failure::in_the_way(format!("--dir {}: {error}", dir.display())))
}

fn authority(dir: &Path) -> Result<ClusterAuthority, Failure> {
    ClusterAuthority::load(&dir.join("ca"))
        .map_err(|error| Failure::in_the_way(format!("{error}; is there a cluster in this directory?")))
}

fn in_the_way(dir: &Path, error: &io::Error) -> Failure {
    Failure::in_the_way(format!("{}: {error}", dir.join("tokens").display()))
}

/// The records of a cluster's tokens, for one process at a time.
struct Tokens {
    directory: PathBuf,
    /// Held while this lives.
    _lock: File,
}

impl Tokens {
    fn open(dir: &Path) -> io::Result<Tokens> {
        let directory = dir.join("tokens");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join("LOCK"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Tokens { directory, _lock: lock })
    }

    /// `id` is of hexadecimal digits.
    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn read(&self, id: &str) -> io::Result<Option<TokenRecord>> {
        match std::fs::read(self.path(id)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// There whole, and on disk, when this returns.
    fn write(&self, id: &str, record: &TokenRecord) -> io::Result<()> {
        let (path, staged) = (self.path(id), self.path(id).with_extension("new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        std::fs::rename(&staged, &path)?;
        File::open(&self.directory)?.sync_all()
    }

    fn forget_expired(&self, now_us: u64) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            if is_record
                && self.read(&id)?.is_some_and(|record| record.expires_us.saturating_add(EXPIRED_KEPT_US) < now_us)
            {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
