//! `drumlin doctor`: verifies everything that page servers keep on a store, and lists what nobody needs.
//!
//! The report goes to stdout, progress to stderr. Nothing is changed; a database may be running on the store.

use crate::failure::Failure;
use common::env::{Clock, StoreError, SystemClock, object_store};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use pageserver::doctor::{Damage, DoctorError, DoctorOptions, Progress, Report};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Where stderr is a file, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub const AFTER_HELP: &str = "\
Every manifest and every layer of all tablets and all archived log is read, and every checksum verified. The report on stdout says for each
damaged object which part it is and what to do, and lists objects that no manifest names. Progress goes to stderr.

Parts of unfinished uploads to S3 cannot be seen from here: give the bucket a lifecycle rule that aborts incomplete
multipart uploads.

Environment: AWS_... for s3:// stores, see `drumlin start --help`

Exit codes:
  0  nothing is damaged (there may be objects that nobody needs)
  1  failed while running, for example because the store stopped answering
  2  command line is wrong
  3  the store cannot be used, or has no database
  4  something is damaged";

#[derive(clap::Args)]
pub struct Settings {
    /// The store to examine: file://DIR or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "URL")]
    store: String,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Objects younger than so many seconds are not reported as not needed: they may be on their way into a manifest
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    grace: u64,
}

pub async fn run(settings: Settings) -> Result<(), Failure> {
    let store = object_store::open_to_read(&settings.store).await.map_err(|error| match &error {
        StoreError::BadUrl { .. } => Failure::settings(format!("--store: {error}")),
        StoreError::Unusable { .. } => Failure::in_the_way(format!("--store: {error}")),
    })?;
    let begun = Instant::now();
    let progress = Arc::new(Progress::default());
    let options = DoctorOptions { grace: Duration::from_secs(settings.grace), now_us: SystemClock.wall_us() };
    let examination = pageserver::doctor::examine(store.objects.clone(), options, progress.clone());
    let report = tokio::select! {
        report = examination => report,
        never = show(&progress) => match never {},
    };
    let report = report.map_err(|error| match error {
        DoctorError::Empty => {
            Failure::in_the_way(format!("{}: {error}; correct --store, bucket and prefix included", store.url))
        }
        DoctorError::Store(_) | DoctorError::Archive(_) | DoctorError::Cache(_) => {
            Failure::running(format!("{}: {error}", store.url))
        }
    })?;
    match settings.json {
        true => {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|error| Failure::running(error.to_string()))?)
        }
        false => print(&store.url, &report, begun.elapsed()),
    }
    match report.damage.len() {
        0 => Ok(()),
        1 => Err(Failure::damaged(format!("{}: one place is damaged; the report says where", store.url))),
        count => Err(Failure::damaged(format!("{}: {count} places are damaged; the report says where", store.url))),
    }
}

/// A bar for a person, a line now and then for a file.
async fn show(progress: &Progress) -> std::convert::Infallible {
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let mut shown = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (done, total) = (of(&progress.bytes_done), of(&progress.bytes_total));
        if let Some(bar) = &bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if shown.elapsed() >= LINE_EVERY {
            shown = Instant::now();
            let layers = (of(&progress.layers_done), of(&progress.layers_total));
            eprintln!("checked {} of {} layers, {} of {}", layers.0, layers.1, HumanBytes(done), HumanBytes(total));
        }
    }
}

fn print(url: &str, report: &Report, elapsed: Duration) {
    println!(
        "{url}: {} tablets, {} manifests, {} layers of {} blocks; {} in {} objects, checked in {:.1} s",
        report.tablets,
        report.manifests,
        report.layers,
        report.blocks,
        HumanBytes(report.bytes),
        report.objects,
        elapsed.as_secs_f64()
    );
    println!(
        "archive of the log: {} in {} objects; without any log, transactions up to {} could be recovered",
        HumanBytes(report.log_bytes),
        report.log_objects,
        report.recoverable_up_to
    );
    for damage in &report.damage {
        println!("damaged: {}{}: {}\n  {}", damage.object, place(damage), damage.what, damage.advice);
    }
    for leak in &report.leaks {
        let minutes = leak.age_seconds / 60;
        println!("not needed: {}: {}, written {minutes} min ago", leak.object, HumanBytes(leak.bytes));
    }
    if report.leaks_unknown {
        println!("what is not needed cannot be told while a manifest cannot be read");
    }
    if !report.leaks.is_empty() {
        println!(
            "{} in {} objects that no manifest names; a running server deletes them within two hours",
            HumanBytes(report.leaked_bytes),
            report.leaks.len()
        );
    }
    if report.is_sound() {
        println!("nothing is damaged");
    }
}

fn place(damage: &Damage) -> String {
    let Some(place) = &damage.place else { return String::new() };
    let what = match place.block {
        Some(block) => format!("block {block}"),
        None => "index".to_owned(),
    };
    let rows = match (place.table, place.index) {
        (Some(table), Some(index)) => format!(", rows of table {table}, index {index}"),
        _ => String::new(),
    };
    format!(", {what} (bytes {} to {}{rows})", place.start, place.end)
}
