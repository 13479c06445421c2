//! Turns memtables into layers: when one is full, when changes have waited long enough, or when asked.
//!
//! A flush writes the memtables of all tablets up to one LSN, a cut. Its order: layers are put and durable, then the
//! manifests that name them are published, the first tablet's last, which says that the cut is complete; then the log is
//! told that it may be trimmed. A crash between two of these steps loses nothing: the log is replayed from the last
//! complete cut. A change of the map is on the store with the cut at its LSN: before that manifest the tablets are still
//! those of the old map, after it those of the new one.

use crate::config::Config;
use crate::layer::block::Version;
use crate::layer::writer::{EncodedLayer, LayerWriter, WriterOptions};
use crate::layer::{Compression, Layer};
use crate::manifest::{LayerMeta, Manifest, ManifestError};
use crate::tablet::{Change, Cut, CutPart, Frozen, Tablet, Tablets};
use common::env::objects::ObjectError;
use common::env::planted::{Bug, planted};
use common::env::threads;
use common::id::{Lsn, TabletId};
use common::service::WalService;
use common::service::page::PageError;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Memtables that are written at the same time.
const FLUSHES_AT_ONCE: usize = 4;
/// Keys copied from a memtable at a time.
const CHUNK_KEYS: usize = 1024;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Somebody waits for everything applied so far to be durable.
pub type FlushRequest = oneshot::Sender<Result<Lsn, PageError>>;

#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] ObjectError),
    #[error("the task that encodes a layer ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

pub struct Flusher {
    pub tablets: Arc<Tablets>,
    pub wal: Arc<dyn WalService>,
    pub config: Arc<Config>,
    pub requests: mpsc::Receiver<FlushRequest>,
    pub flush_wanted: Arc<Notify>,
    pub flushed: Arc<Notify>,
    /// Told after each flush: there may be something to compact.
    pub compaction_wanted: Arc<Notify>,
}

pub fn writer_options(config: &Config, compression: Compression) -> WriterOptions {
    WriterOptions { block_bytes: config.block_bytes, block_rows: config.block_rows_max, compression }
}

impl Flusher {
    /// Runs until `stop`; requests that wait then are answered by a last flush.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.config.flush_interval.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.flush_wanted.notified() => {}
                _ = interval.tick() => {}
                Some(request) = self.requests.recv() => waiting.push(request),
            }
            self.serve(waiting).await;
        }
        self.requests.close();
        let mut waiting = Vec::new();
        while let Ok(request) = self.requests.try_recv() {
            waiting.push(request);
        }
        if !waiting.is_empty() {
            self.serve(waiting).await;
        }
    }

    async fn serve(&mut self, mut waiting: Vec<FlushRequest>) {
        while let Ok(request) = self.requests.try_recv() {
            waiting.push(request);
        }
        let outcome = self.flush(!waiting.is_empty()).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "flush failed; the log keeps what is not in layers");
            if waiting.is_empty() {
                // The trigger may not come again by itself when ingestion stands still.
                tokio::time::sleep(RETRY_AFTER).await;
                if self.tablets.check_owned().is_ok() {
                    self.flush_wanted.notify_one();
                }
            }
        }
        for request in waiting {
            let answer = match &outcome {
                Ok(durable) => Ok(*durable),
                Err(error) => Err(PageError::Unavailable(error.to_string())),
            };
            // Whoever asked may have given up.
            let _ = request.send(answer);
        }
    }

    /// Writes everything applied up to now; returns the durable LSN. `exact`: also where nothing but the LSN has moved.
    async fn flush(&self, exact: bool) -> Result<Lsn, FlushError> {
        let applied = self.tablets.applied();
        self.tablets.cut();
        let mut changed = false;
        while let Some(cut) = self.tablets.oldest_cut() {
            self.flush_cut(&cut).await?;
            changed = true;
        }
        if exact && self.tablets.durable() < applied {
            // Heartbeats moved on past transactions of others.
            let (set, time_us) = (self.tablets.set(), self.tablets.time_us());
            let edit = |manifest: &Manifest| Tablet::durable_at(manifest, Vec::new(), applied, time_us);
            set.first().publish(Vec::new(), edit).await?;
            self.tablets.durable_up_to(applied);
        }
        self.flushed.notify_one();
        if changed {
            self.compaction_wanted.notify_one();
        }
        let durable = if planted(Bug::DurableTooEarly) { self.tablets.applied() } else { self.tablets.durable() };
        for tablet in self.tablets.set().map.tablets() {
            if let Err(error) = self.wal.report_durable(tablet, durable).await {
                tracing::warn!(%error, %durable, "the log did not take the durable lsn; the next flush tells it again");
                break;
            }
        }
        Ok(durable)
    }

    async fn flush_cut(&self, cut: &Arc<Cut>) -> Result<(), FlushError> {
        let first = cut.set.first().id;
        // Tablets whose layer is published with something else, and not at once.
        let left = match &cut.change {
            Some(Change::Merge { left, .. }) => Some(left.id),
            _ => None,
        };
        let waits = |id: TabletId| id == first || Some(id) == left;
        // An earlier attempt may have come this far.
        let todo = cut.parts().into_iter().filter(|part| part.tablet.durable() < cut.up_to);
        let writes: Vec<_> = todo.map(|part| self.flush_one(cut, part, waits)).collect();
        let mut written = futures::stream::iter(writes).buffer_unordered(FLUSHES_AT_ONCE).boxed();
        let mut waiting = HashMap::new();
        while let Some((id, layers)) = written.try_next().await? {
            waiting.insert(id, layers);
        }
        drop(written);
        self.change_stored(cut, &mut waiting).await?;
        self.complete(cut, waiting.remove(&first).unwrap_or_default()).await?;
        self.tablets.cut_flushed(cut);
        match &cut.change {
            Some(Change::Merge { right, .. }) => right.retire().await,
            Some(Change::Split { .. }) | None => {}
        }
        if let Some(change) = &cut.change {
            change.settled();
        }
        self.tablets.source.metrics.flushes.inc();
        self.flushed.notify_one();
        let kept = self.config.manifests_kept;
        for tablet in cut.parts().into_iter().map(|part| part.tablet).filter(|tablet| tablet.id != first) {
            if cut.set.by_id(tablet.id).is_some() {
                tablet.prune_manifests(kept).await;
            }
        }
        cut.set.first().prune_manifests(kept).await;
        Ok(())
    }

    /// Writes a tablet's memtable as a layer and, unless it `waits`, publishes it with what was attached.
    async fn flush_one(
        &self,
        cut: &Cut,
        part: CutPart<'_>,
        waits: impl Fn(TabletId) -> bool,
    ) -> Result<(TabletId, Vec<Arc<Layer>>), FlushError> {
        let CutPart { tablet, frozen, attached: mut layers } = part;
        if let Some(table) = frozen.cloned() {
            let options = writer_options(&self.config, Compression::Lz4);
            let encoded = threads::blocking(move || encode_memtable(&table, options)).await?;
            let encoded = encoded.expect("only memtables that have something are set aside");
            layers.push(put_layer(tablet, encoded, 0).await?);
        }
        if !waits(tablet.id) {
            let added = layers.iter().map(|layer| layer.meta.clone()).collect();
            let edit = |manifest: &Manifest| Tablet::durable_at(manifest, added, cut.up_to, cut.time_us);
            tablet.publish(layers.clone(), edit).await?;
            self.flushed.notify_one();
        }
        Ok((tablet.id, layers))
    }

    /// Brings the cut's change of the map to the store, as far as the first tablet's manifest does not.
    async fn change_stored(
        &self,
        cut: &Cut,
        waiting: &mut HashMap<TabletId, Vec<Arc<Layer>>>,
    ) -> Result<(), FlushError> {
        let first = cut.set.first().id;
        match &cut.change {
            Some(Change::Split { parent, child }) => {
                let pending = waiting.get(&parent.id).filter(|_| parent.id == first).cloned().unwrap_or_default();
                child.establish(parent, pending, cut).await?;
            }
            Some(Change::Merge { left, right }) if left.id != first && left.has_guest() => {
                let opened = waiting.remove(&left.id).unwrap_or_default();
                let added = opened.iter().map(|layer| layer.meta.clone()).collect();
                let edit = |manifest: &Manifest| Tablet::durable_at(manifest, added, cut.up_to, cut.time_us);
                left.absorb(right, opened, edit).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Publishes the first tablet's manifest, which says that everything up to the cut is there.
    async fn complete(&self, cut: &Cut, opened: Vec<Arc<Layer>>) -> Result<(), FlushError> {
        let first = cut.set.first();
        let added = opened.iter().map(|layer| layer.meta.clone()).collect();
        let edit = |manifest: &Manifest| {
            let mut next = Tablet::durable_at(manifest, added, cut.up_to, cut.time_us);
            next.counters = cut.counters.clone();
            next.points = cut.points.clone();
            next.map = Some(cut.set.map.clone());
            next
        };
        match &cut.change {
            Some(Change::Merge { left, right }) if left.id == first.id => first.absorb(right, opened, edit).await?,
            _ => first.publish(opened, edit).await?,
        }
        Ok(())
    }
}

fn encode_memtable(frozen: &Frozen, options: WriterOptions) -> Option<EncodedLayer> {
    let mut writer = LayerWriter::new(options);
    let mut after = None;
    loop {
        let versions: Vec<Version> = frozen.table.all_versions(after.as_ref(), CHUNK_KEYS);
        let Some(last) = versions.last() else { return writer.finish() };
        after = Some(last.key.clone());
        versions.into_iter().for_each(|version| writer.push(version));
    }
}

/// Puts an encoded layer under a new name and opens it.
pub async fn put_layer(tablet: &Tablet, encoded: EncodedLayer, level: u32) -> Result<Arc<Layer>, ObjectError> {
    let id = tablet.next_layer_id().await;
    let meta = LayerMeta {
        home: id.home,
        generation: id.generation,
        sequence: id.sequence,
        level,
        bytes: encoded.bytes.len() as u64,
        index_offset: encoded.index_offset,
        first: encoded.first,
        last: encoded.last,
        lsn_min: encoded.lsn_min,
        lsn_max: encoded.lsn_max,
        versions: encoded.versions,
        tombstones: encoded.tombstones,
        stamped: false,
    };
    // Held from before the object is there, so that it is never taken for one that nobody needs.
    let path = tablet.source.held.hold(id);
    tablet.source.objects.put(&path, encoded.bytes.into()).await?;
    tracing::info!(object = %path, bytes = meta.bytes, versions = meta.versions, level, "wrote a layer");
    Ok(Arc::new(Layer::written(tablet.source.clone(), meta, path, encoded.index)))
}
