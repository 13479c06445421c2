//! A scan of TPC-H's lineitem beside DuckDB: the sum of l_extendedprice * l_discount over a range of l_shipdate, data in
//! memory, one thread each; and what the table takes after compaction. In two forms: summed by the page server, and by the
//! caller from the columns that the page server gives. CPU time of the whole process is counted.
//!
//! `DUCKDB_PYTHON=<python with the duckdb package> cargo bench -p pageserver --bench lineitem_scan`; without the variable,
//! only the own figures. LINEITEM_SCALE_FACTOR: default 1; LINEITEM_ROUNDS: scans of each kind, of which the fastest counts.

#[path = "support/lineitem.rs"]
mod lineitem;
mod support;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use common::id::ColumnId;
use common::key::KeyRange;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{
    Aggregates, ColumnBound, Direction, PartialCall, ScanBatch, ScanOutput, ScanRequest, TermStep,
};
use futures::StreamExt;
use lineitem::{DISCOUNT, EXTENDEDPRICE, SHIPDATE, date};
use pageserver::Config;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use support::{INDEX, Pages, TABLE, column, number_from, process_cpu};

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let csv = directory.path().join("lineitem.csv");
    // One thread does all: this one.
    let pages = Pages::start(Config { scan_threads: 0, ..Config::default() });
    let begun = Instant::now();
    let mut file = BufWriter::new(std::fs::File::create(&csv).expect("create the CSV file"));
    pages.load(lineitem::rows(number_from("LINEITEM_SCALE_FACTOR", 1.0), &mut file));
    file.flush().expect("write the CSV file");
    pages.flush();
    let flushed = pages.status().layer_bytes;
    pages.compact();
    let (status, csv_bytes) = (pages.status(), csv.metadata().expect("the CSV file").len());
    println!(
        "loaded in {:.1} s: {} MB of CSV are {} layers of {} MB, {:.1} % ({:.1} % before the last compaction)",
        begun.elapsed().as_secs_f64(),
        csv_bytes >> 20,
        status.layers,
        status.layer_bytes >> 20,
        status.layer_bytes as f64 * 100.0 / csv_bytes as f64,
        flushed as f64 * 100.0 / csv_bytes as f64
    );
    let peers: Vec<(&str, Duckdb)> = match std::env::var_os("DUCKDB_PYTHON") {
        None => Vec::new(),
        Some(python) => {
            let python = Path::new(&python);
            let file = directory.path().join("lineitem.duckdb");
            vec![
                ("in memory", Duckdb::start(python, &csv, None)),
                ("from its file", Duckdb::start(python, &csv, Some(&file))),
            ]
        }
    };
    run(&pages, peers);
}

fn run(pages: &Pages, mut peers: Vec<(&str, Duckdb)>) {
    for (what, low, high) in [
        ("a year, 15 % of the rows", (1994, 1, 1), (1995, 1, 1)),
        ("all rows", (1900, 1, 1), (2000, 1, 1)),
        ("a month, 1 %", (1995, 9, 1), (1995, 10, 1)),
    ] {
        // Once to warm up; then in turns, so that a noisy moment meets all.
        let mut best = vec![(Duration::MAX, Duration::MAX); peers.len() + 2];
        let mut answers = Vec::new();
        for _ in 0..=number_from("LINEITEM_ROUNDS", 9) {
            answers.clear();
            for (at, form) in [Form::Aggregates, Form::Columns].into_iter().enumerate() {
                let (answer, wall, cpu) = own(pages, low, high, form);
                answers.push(answer);
                best[at] = (best[at].0.min(wall), best[at].1.min(cpu));
            }
            for (at, (_, peer)) in peers.iter_mut().enumerate() {
                let (answer, wall, cpu) = peer.ask(low, high);
                answers.push(answer);
                best[at + 2] = (best[at + 2].0.min(wall), best[at + 2].1.min(cpu));
            }
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the answers differ: {answers:?}");
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!("{what} ({} of them):", answers[0].1);
        for (name, (wall, cpu)) in ["summed by the page server", "columns handed on"].iter().zip(&best) {
            println!("  {name}: {:.1} ms, CPU {:.1} ms", milliseconds(*wall), milliseconds(*cpu));
        }
        for ((name, _), (wall, cpu)) in peers.iter().zip(&best[2..]) {
            println!(
                "  DuckDB {name}: {:.1} ms, CPU {:.1} ms; ratios of CPU time {:.2} and {:.2}",
                milliseconds(*wall),
                milliseconds(*cpu),
                best[0].1.as_secs_f64() / cpu.as_secs_f64(),
                best[1].1.as_secs_f64() / cpu.as_secs_f64()
            );
        }
    }
}

type Day = (i64, i64, i64);
type Answer = (i128, u64);

#[derive(Clone, Copy)]
enum Form {
    Aggregates,
    Columns,
}

/// Scans and sums; the page server's and the caller's CPU time together.
fn own(pages: &Pages, low: Day, high: Day, form: Form) -> (Answer, Duration, Duration) {
    let (low, high) = (date(low.0, low.1, low.2), date(high.0, high.1, high.2));
    let columns = [EXTENDEDPRICE, DISCOUNT, SHIPDATE].map(|id| column(id, PhysicalType::Int64)).to_vec();
    let request = ScanRequest {
        lsn: pages.log.newest(),
        ranges: vec![KeyRange::index(TABLE, INDEX)],
        direction: Direction::Forward,
        limit: None,
        output: match form {
            Form::Columns => ScanOutput::Columns(columns),
            Form::Aggregates => {
                let term = vec![TermStep::Column(0), TermStep::Column(1), TermStep::Multiply];
                ScanOutput::Aggregates(Aggregates { columns, calls: vec![PartialCall::Sum(term), PartialCall::Rows] })
            }
        },
        bounds: vec![ColumnBound {
            column: ColumnId(SHIPDATE),
            min: Some(PhysicalValue::Int64(low)),
            max: Some(PhysicalValue::Int64(high - 1)),
        }],
        batch_rows: 8192,
    };
    let service = pages.server.service();
    let (wall, cpu) = (Instant::now(), process_cpu());
    let answer = pages.runtime.block_on(async {
        let mut batches = service.scan(request).await.expect("scan");
        let (mut total, mut count) = (0i128, 0);
        while let Some(batch) = batches.next().await {
            let batch = match batch.expect("batch") {
                ScanBatch::Columns(batch) => batch,
                ScanBatch::Aggregates(values) => {
                    let [PhysicalValue::Int256(sum), PhysicalValue::UInt64(rows)] = &values[..] else {
                        panic!("a sum and a count were asked for, and came as {values:?}");
                    };
                    (total, count) = (i128::from_le_bytes(*sum.first_chunk().expect("half of it")), *rows);
                    continue;
                }
                ScanBatch::Rows(_) => panic!("rows were not asked for"),
            };
            let values = |at: usize| &batch.column(at).as_primitive::<Int64Type>().values()[..];
            let (prices, discounts, days) = (values(0), values(1), values(2));
            // The caller checks the bounds again, as the service's contract says.
            let (mut sum, mut rows) = (0i64, 0);
            for at in 0..days.len() {
                let wanted = days[at] >= low && days[at] < high;
                sum += if wanted { prices[at] * discounts[at] } else { 0 };
                rows += u64::from(wanted);
            }
            total += i128::from(sum);
            count += rows;
        }
        (total, count)
    });
    (answer, wall.elapsed(), process_cpu() - cpu)
}

struct Duckdb {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    child: Child,
}

impl Duckdb {
    fn start(python: &Path, csv: &Path, file: Option<&Path>) -> Duckdb {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/pages/support/duckdb_peer.py");
        let mut command = Command::new(python);
        command.arg(script).arg(csv).args(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start python");
        let questions = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        answers.read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready"), "DuckDB did not load the file");
        Duckdb { questions, answers, child }
    }

    fn ask(&mut self, low: Day, high: Day) -> (Answer, Duration, Duration) {
        let text = |day: Day| format!("{}-{:02}-{:02}", day.0, day.1, day.2);
        writeln!(self.questions, "{} {}", text(low), text(high)).expect("ask DuckDB");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        let words: Vec<i128> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [total, count, wall, cpu] = words[..] else { panic!("DuckDB answered {line:?}") };
        ((total, count as u64), Duration::from_nanos(wall as u64), Duration::from_nanos(cpu as u64))
    }
}

impl Drop for Duckdb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
