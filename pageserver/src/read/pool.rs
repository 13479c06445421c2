//! Threads for scans: a bounded number, apart from those that answer point reads, and of lower priority.
//!
//! ```text
//!  scan ──first batch, and that there are no others──▶ on the caller's thread: a short scan never leaves it
//!       └─anything more─▶ a task of the pool ──▶ a channel of a few batches ──▶ the caller
//! ```
//!
//! A point read takes microseconds, a step of a scan may take a hundred times that. On shared threads every read behind
//! such a step would wait for it; here it finds its own threads free, and a processor that the scans give up before it does
//! (`common::env::threads::give_way`).

use common::env::threads;
use common::service::page::{PageError, ScanBatch};
use futures::stream::{BoxStream, Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;

/// Batches that wait for their reader; a scan pauses where nobody takes them.
const BATCHES_WAITING_MAX: usize = 2;
/// The first batch, and the end that follows it.
const LOOKS: u8 = 2;

pub type Batches = BoxStream<'static, Result<ScanBatch, PageError>>;

/// Dropping it ends the scans that run.
pub struct ScanPool {
    /// `None`: scans run where they are polled.
    runtime: Option<Runtime>,
}

impl ScanPool {
    pub fn start(thread_count: usize) -> Result<ScanPool, std::io::Error> {
        if thread_count == 0 {
            return Ok(ScanPool { runtime: None });
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(thread_count).thread_name("scan").on_thread_start(threads::give_way).enable_all();
        Ok(ScanPool { runtime: Some(builder.build()?) })
    }

    /// The same batches. What is not there at the first look is read by the pool, and so is what comes after the first
    /// batch: a scan yields before it reads that.
    pub fn run(&self, scan: Batches) -> Batches {
        match &self.runtime {
            None => scan,
            Some(runtime) => Handover { state: State::Here { scan, looks: 0 }, pool: runtime.handle().clone() }.boxed(),
        }
    }
}

impl Drop for ScanPool {
    fn drop(&mut self) {
        // Not a plain drop, which waits for the threads, and panics on those of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a task of the pool gives; `None` at the end of its scan. A channel that ends without that was cut with the pool.
type Pumped = Option<Result<ScanBatch, PageError>>;

struct Handover {
    state: State,
    pool: Handle,
}

enum State {
    /// The first batch, or a scan that has given no more than that.
    Here {
        scan: Batches,
        looks: u8,
    },
    Pooled(mpsc::Receiver<Pumped>),
    Ended,
}

impl Stream for Handover {
    type Item = Result<ScanBatch, PageError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Here { scan, looks } = &mut self.state
            && *looks < LOOKS
        {
            *looks += 1;
            match scan.poll_next_unpin(context) {
                Poll::Ready(None) => self.state = State::Ended,
                Poll::Ready(batch) => return Poll::Ready(batch),
                // It has to read from the store, goes on for longer than one turn, or has more than a batch.
                Poll::Pending => {}
            }
        }
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Here { scan, .. } => {
                let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
                self.pool.spawn(pump(scan, sender));
                State::Pooled(receiver)
            }
            other => other,
        };
        match &mut self.state {
            State::Pooled(batches) => {
                let pumped = std::task::ready!(batches.poll_recv(context));
                let cut = || Some(Err(PageError::Unavailable("the page server ends its scans".into())));
                let batch = pumped.unwrap_or_else(cut);
                if !matches!(batch, Some(Ok(_))) {
                    self.state = State::Ended;
                }
                Poll::Ready(batch)
            }
            State::Here { .. } | State::Ended => Poll::Ready(None),
        }
    }
}

/// Ends with the scan, or when nobody wants its batches any more.
async fn pump(mut scan: Batches, batches: mpsc::Sender<Pumped>) {
    loop {
        let next = tokio::select! {
            biased;
            () = batches.closed() => return,
            next = scan.next() => next,
        };
        let ended = next.is_none();
        if batches.send(next).await.is_err() || ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::Lsn;
    use common::key::Key;
    use common::service::page::ScannedRow;
    use futures::stream;
    use std::thread::{ThreadId, current};

    /// Batches that tell by their length how many came before, made as scans make them; and the threads that made them and
    /// said that there are no others.
    fn batches(count: usize, threads: mpsc::UnboundedSender<ThreadId>) -> Batches {
        stream::unfold(0, move |number| {
            let threads = threads.clone();
            async move {
                if number > 0 && number < count {
                    tokio::task::yield_now().await;
                }
                threads.send(current().id()).expect("the test still listens");
                let row = ScannedRow { key: Key::new(), lsn: Lsn::ZERO, row: Key::new() };
                (number < count).then(|| (Ok(ScanBatch::Rows(vec![row; number])), number + 1))
            }
        })
        .boxed()
    }

    async fn lengths(mut scan: Batches) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some(batch) = scan.next().await {
            match batch.expect("no batch fails") {
                ScanBatch::Rows(rows) => lengths.push(rows.len()),
                other => panic!("rows were put in, not {other:?}"),
            }
        }
        lengths
    }

    #[tokio::test]
    async fn the_first_batch_and_the_end_behind_it_are_made_here_and_others_by_the_pool() {
        let pool = ScanPool::start(1).unwrap();
        for count in [0, 1, 2, 20] {
            let (sender, mut threads) = mpsc::unbounded_channel();
            assert_eq!(lengths(pool.run(batches(count, sender))).await, (0..count).collect::<Vec<_>>());
            let mut here = Vec::new();
            while let Some(thread) = threads.recv().await {
                here.push(thread == current().id());
            }
            assert_eq!(here, (0..=count).map(|number| number == 0 || count == 1).collect::<Vec<_>>(), "{count}");
        }
    }

    #[tokio::test]
    async fn without_threads_all_is_made_here() {
        let pool = ScanPool::start(0).unwrap();
        let (sender, mut threads) = mpsc::unbounded_channel();
        assert_eq!(lengths(pool.run(batches(3, sender))).await, [0, 1, 2]);
        while let Some(thread) = threads.recv().await {
            assert_eq!(thread, current().id());
        }
    }

    #[tokio::test]
    async fn a_scan_that_ends_with_its_pool_says_that_there_is_more() {
        let pool = ScanPool::start(1).unwrap();
        let waits = stream::iter([Ok(ScanBatch::Rows(Vec::new()))]).chain(stream::pending());
        let mut scan = pool.run(waits.boxed());
        assert!(matches!(scan.next().await, Some(Ok(_))));
        // The second look hands it to the pool.
        assert!(futures::poll!(scan.next()).is_pending());
        drop(pool);
        assert!(matches!(scan.next().await, Some(Err(PageError::Unavailable(_)))));
        assert!(scan.next().await.is_none());
    }

    #[tokio::test]
    async fn a_scan_ends_when_its_reader_is_gone() {
        let pool = ScanPool::start(1).unwrap();
        let (sender, mut ended) = mpsc::channel::<()>(1);
        let endless = stream::repeat_with(move || {
            let _held = &sender;
            Ok(ScanBatch::Rows(Vec::new()))
        });
        let mut scan = pool.run(endless.boxed());
        for _ in 0..3 {
            scan.next().await;
        }
        drop(scan);
        assert_eq!(ended.recv().await, None, "the scan and what it holds are dropped");
    }
}
