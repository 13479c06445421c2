//! Turns memtables into layers: when one is full, when changes have waited long enough, or when asked.
//!
//! Order of a flush: the layer is put and durable, then the manifest that names it is published, then the log is told
//! that it may be trimmed. A crash between two of these steps loses nothing: the log is replayed from the manifest's LSN.

use crate::config::Config;
use crate::layer::block::Version;
use crate::layer::writer::{EncodedLayer, LayerWriter, WriterOptions};
use crate::layer::{Compression, Layer};
use crate::manifest::{LayerMeta, ManifestError};
use crate::objects::ObjectError;
use crate::tablet::{Frozen, Tablet};
use common::id::Lsn;
use common::service::WalService;
use common::service::page::PageError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

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
    pub tablet: Arc<Tablet>,
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
                if self.tablet.check_owned().is_ok() {
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
        let applied = self.tablet.applied();
        self.tablet.freeze();
        let frozen = self.tablet.snapshot().frozen.clone();
        for frozen in frozen.iter().rev() {
            self.flush_one(frozen).await?;
        }
        if exact && self.tablet.durable() < applied && self.tablet.snapshot().frozen.is_empty() {
            // Heartbeats moved on past transactions of others.
            self.tablet
                .publish(Vec::new(), |manifest| {
                    let mut next = manifest.with_layers(&[], Vec::new());
                    next.durable = applied;
                    next
                })
                .await?;
        }
        self.flushed.notify_one();
        if !frozen.is_empty() {
            self.compaction_wanted.notify_one();
            self.tablet.prune_manifests(self.config.manifests_kept).await;
        }
        let durable = self.tablet.durable();
        if let Err(error) = self.wal.report_durable(self.tablet.id, durable).await {
            tracing::warn!(%error, %durable, "the log did not take the durable lsn; the next flush tells it again");
        }
        Ok(durable)
    }

    async fn flush_one(&self, frozen: &Arc<Frozen>) -> Result<(), FlushError> {
        let options = writer_options(&self.config, Compression::Lz4);
        let table = frozen.clone();
        let encoded = tokio::task::spawn_blocking(move || encode_memtable(&table, options)).await?;
        let mut opened = Vec::new();
        if let Some(encoded) = encoded {
            opened.push(put_layer(&self.tablet, encoded, 0).await?);
        }
        let (up_to, time_us, counters) = (frozen.up_to, frozen.time_us, frozen.counters.clone());
        let added: Vec<LayerMeta> = opened.iter().map(|layer| layer.meta.clone()).collect();
        self.tablet
            .publish(opened, |manifest| {
                let mut next = manifest.with_layers(&[], added);
                next.durable = up_to;
                next.durable_time_us = time_us;
                next.counters = counters;
                next
            })
            .await?;
        self.tablet.source.metrics.flushes.inc();
        self.flushed.notify_one();
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
    let (generation, sequence) = tablet.next_layer_id().await;
    let meta = LayerMeta {
        generation,
        sequence,
        level,
        bytes: encoded.bytes.len() as u64,
        index_offset: encoded.index_offset,
        first: encoded.first,
        last: encoded.last,
        lsn_min: encoded.lsn_min,
        lsn_max: encoded.lsn_max,
        versions: encoded.versions,
        tombstones: encoded.tombstones,
    };
    let path = meta.path(tablet.id);
    tablet.source.objects.put(&path, encoded.bytes.into()).await?;
    tracing::info!(object = %path, bytes = meta.bytes, versions = meta.versions, level, "wrote a layer");
    Ok(Arc::new(Layer::written(tablet.source.clone(), meta, encoded.index)))
}
