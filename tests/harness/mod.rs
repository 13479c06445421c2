//! Starts the real binary in a directory of its own, and ends it in every way it can end.
//!
//! Ports are given by the kernel; the `ready` line says which. What the server logs is shown when a test fails.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod bank;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod lists;
pub mod mariadb;
pub mod moto;
pub mod mutation;
pub mod segment;
pub mod tools;
pub mod unsynced;
pub mod wire;

use moto::Moto;
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts, OptsBuilder, Value};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Recovery of a large log in a debug build, on a busy machine, with room to spare.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A value of the text protocol; None for NULL.
pub fn text_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => panic!("the text protocol sends text: {other:?}"),
    }
}

/// How to start a server.
#[derive(Clone)]
pub struct Launch {
    pub data_dir: PathBuf,
    pub store: Option<String>,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// The S3 server that `store` is on, for as long as a server or another start may need it.
    moto: Option<Arc<Moto>>,
}

impl Launch {
    /// On a store below the data directory. With `DRUMLIN_TEST_STORE=s3`: in a bucket of an S3 server of its own.
    pub fn new(data_dir: &Path) -> Launch {
        let launch = Launch {
            data_dir: data_dir.to_owned(),
            store: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            moto: None,
        };
        match std::env::var("DRUMLIN_TEST_STORE").as_deref() {
            Ok("s3") => {
                let moto = Moto::start();
                moto.create_bucket("test");
                launch.on_s3(&Arc::new(moto), "s3://test/database")
            }
            Ok(other) => panic!("DRUMLIN_TEST_STORE={other}: only s3 is known"),
            Err(_) => launch,
        }
    }

    /// Settings of a real AWS user on this machine must not reach the test, nor the test them.
    pub fn on_s3(self, moto: &Arc<Moto>, url: &str) -> Launch {
        let nowhere = self.data_dir.join("no-such-file");
        let nowhere = nowhere.to_str().expect("temporary directories have plain names");
        let launch = self
            .store(url)
            .variable("AWS_ENDPOINT_URL", &format!("http://{}", moto.address))
            .variable("AWS_ACCESS_KEY_ID", "test")
            .variable("AWS_SECRET_ACCESS_KEY", "test")
            .variable("AWS_REGION", "eu-central-1")
            .variable("AWS_EC2_METADATA_DISABLED", "true")
            .variable("AWS_CONFIG_FILE", nowhere)
            .variable("AWS_SHARED_CREDENTIALS_FILE", nowhere);
        Launch { moto: Some(moto.clone()), ..launch }
    }

    pub fn store(mut self, url: &str) -> Launch {
        self.store = Some(url.to_owned());
        self
    }

    pub fn argument(mut self, argument: &str) -> Launch {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn spawn(&self) -> Child {
        let mut command = Command::new(program());
        command.args(["start", "--data-dir"]).arg(&self.data_dir);
        for (flag, default) in [("--listen", "127.0.0.1:0"), ("--http", "127.0.0.1:0"), ("--cache-disk", "64M")] {
            if !self.arguments.iter().any(|argument| argument == flag) {
                command.args([flag, default]);
            }
        }
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        command.args(&self.arguments);
        command.env_remove("DRUMLIN_ROOT_PASSWORD").env_remove("AWS_PROFILE").envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("start the drumlin binary")
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&self) -> Server {
        let mut child = self.spawn();
        let log = collect_log(&mut child);
        let (lines_sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = lines_sender.send(line);
            }
        });
        match lines.recv_timeout(READY_WITHIN) {
            Ok(ready) => Server { child, ready, lines, log, _moto: self.moto.clone() },
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server was not ready; its log:\n{}", log.text());
            }
        }
    }

    /// For starts that must fail: the exit code and the last line on stderr.
    pub fn fail(&self) -> (i32, String) {
        let mut child = self.spawn();
        let log = collect_log(&mut child);
        let Some(status) = wait(&mut child, READY_WITHIN) else {
            let _ = child.kill();
            panic!("the server should have refused to start; its log:\n{}", log.text());
        };
        let mut stdout = String::new();
        child.stdout.take().expect("stdout is piped").read_to_string(&mut stdout).unwrap();
        assert_eq!(stdout, "", "nothing is ready");
        let text = log.finished_text();
        assert!(!text.contains("panicked"), "{text}");
        (status.code().unwrap_or(-1), text.lines().last().unwrap_or_default().to_owned())
    }
}

/// The binary under test: of this build, or the one that `DRUMLIN_TEST_BINARY` names (a release build, for one).
pub fn program() -> PathBuf {
    std::env::var_os("DRUMLIN_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_drumlin").into(), PathBuf::from)
}

/// What a child writes to stderr.
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, once the child has ended.
    fn finished_text(mut self) -> String {
        self.reader.take().expect("finished once").join().unwrap();
        self.text()
    }
}

fn collect_log(child: &mut Child) -> Log {
    let text = Arc::new(Mutex::new(String::new()));
    let (stderr, sink) = (child.stderr.take().expect("stderr is piped"), text.clone());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut text = sink.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
    Log { text, reader: Some(reader) }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for the server") {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    ready: String,
    lines: mpsc::Receiver<String>,
    log: Log,
    _moto: Option<Arc<Moto>>,
}

impl Server {
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A value of the ready line.
    pub fn ready_value(&self, name: &str) -> &str {
        let found = self.ready.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name}= in {}", self.ready))
    }

    pub fn mysql(&self) -> SocketAddr {
        self.ready_value("mysql").parse().expect("an address")
    }

    pub fn http(&self) -> SocketAddr {
        self.ready_value("http").parse().expect("an address")
    }

    pub fn options(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname(self.mysql().ip().to_string())
            .tcp_port(self.mysql().port())
            .user(Some("root"))
            .prefer_socket(false)
    }

    pub async fn connect(&self) -> Conn {
        self.try_connect("").await.unwrap_or_else(|error| panic!("connect: {error}; log:\n{}", self.log.text()))
    }

    pub async fn try_connect(&self, password: &str) -> mysql_async::Result<Conn> {
        let password = (!password.is_empty()).then_some(password);
        Conn::new(Opts::from(self.options().pass(password))).await
    }

    /// Runs statements in a connection of their own.
    pub async fn run(&self, statements: &[&str]) {
        let mut connection = self.connect().await;
        for statement in statements {
            if let Err(error) = connection.query_drop(*statement).await {
                panic!("{statement}: {error}; log:\n{}", self.log.text());
            }
        }
        connection.disconnect().await.unwrap();
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.http()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer with a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and expects exit code 0, nothing more on stdout, and no panic in the log.
    pub fn stop(self) {
        self.stop_by(Signal::TERM);
    }

    pub fn stop_by(mut self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
        let status = wait(&mut self.child, STOP_WITHIN);
        let log = self.log.text();
        let status = status.unwrap_or_else(|| panic!("the server did not stop; its log:\n{log}"));
        assert!(status.success(), "{status}; log:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(self.lines.iter().collect::<Vec<_>>(), Vec::<String>::new(), "one line on stdout");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the server {}:\n{}", self.ready, self.log.text());
        }
    }
}
