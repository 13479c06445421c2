//! A cluster of real processes, made by `drumlin cluster up`, whose nodes are ended and restarted by their recorded
//! commands.

use super::program;
use mysql_async::{Conn, Opts, OptsBuilder};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// For whatever has to happen at last: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Cluster {
    directory: tempfile::TempDir,
    nodes: Vec<Node>,
    /// Of every process.
    environment: Vec<(String, String)>,
    /// Nodes that were restarted here.
    children: Mutex<Vec<Child>>,
}

#[derive(Clone)]
pub struct Node {
    pub name: String,
    pub role: String,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    pub start: Vec<String>,
    pub log: PathBuf,
}

fn node_of(value: &serde_json::Value) -> Node {
    let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned();
    let words = value["start"].as_array().expect("a command");
    Node {
        name: text("name"),
        role: text("role"),
        listen: text("listen").parse().expect("an address"),
        http: text("http").parse().expect("an address"),
        start: words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect(),
        log: text("log").into(),
    }
}

impl Cluster {
    pub fn up(wal: u16, pageservers: u16, compute: u16) -> Cluster {
        Cluster::up_with(wal, pageservers, compute, |_| Vec::new())
    }

    /// With variables for its processes, which may depend on the cluster's directory.
    pub fn up_with(
        wal: u16,
        pageservers: u16,
        compute: u16,
        environment: impl FnOnce(&Path) -> Vec<(String, String)>,
    ) -> Cluster {
        Cluster::up_as(wal, pageservers, compute, &[], environment)
    }

    /// With further arguments of `drumlin cluster up`.
    pub fn up_as(
        wal: u16,
        pageservers: u16,
        compute: u16,
        arguments: &[&str],
        environment: impl FnOnce(&Path) -> Vec<(String, String)>,
    ) -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let environment = environment(directory.path());
        let mut command = Command::new(program());
        command.args(["cluster", "up", "--base-port", "0", "--dir"]).arg(directory.path());
        command.args(["--wal", &wal.to_string(), "--pageservers", &pageservers.to_string()]);
        command.args(["--compute", &compute.to_string()]).env_remove("DRUMLIN_ROOT_PASSWORD");
        command.args(arguments);
        command.envs(environment.iter().cloned());
        let output = command.output().expect("run drumlin cluster up");
        // Whatever goes wrong from here on, its processes end with this value.
        let mut cluster = Cluster { directory, nodes: Vec::new(), environment, children: Mutex::default() };
        if let Ok(text) = std::fs::read(cluster.directory.path().join("cluster.json")) {
            let listed: serde_json::Value = serde_json::from_slice(&text).unwrap();
            cluster.nodes = listed["nodes"].as_array().expect("nodes").iter().map(node_of).collect();
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stderr), cluster.logs());
        assert!(text(&output.stdout).starts_with("ready "), "{}", text(&output.stdout));
        cluster
    }

    /// `drumlin cluster up` on the same directory: what does not run is started.
    pub fn up_again(&self) {
        let mut command = Command::new(program());
        command.args(["cluster", "up", "--dir"]).arg(self.directory()).env_remove("DRUMLIN_ROOT_PASSWORD");
        let output = command.envs(self.environment.iter().cloned()).output().expect("run drumlin cluster up");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stderr), self.logs());
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn node(&self, name: &str) -> Node {
        self.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}")).clone()
    }

    pub fn of_role(&self, role: &str) -> Vec<Node> {
        self.nodes.iter().filter(|node| node.role == role).cloned().collect()
    }

    /// The process of a node: by its lock file, if its command line is the recorded one.
    fn pid(&self, node: &Node) -> Option<Pid> {
        let holder = std::fs::read_to_string(self.directory().join(&node.name).join("LOCK")).ok()?;
        let pid: i32 = holder.trim().parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = arguments.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        arguments.eq(node.start.iter().map(String::as_bytes)).then(|| Pid::from_raw(pid))?
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.pid(&self.node(name)).is_some()
    }

    /// The number of a node's process, which runs.
    pub fn process(&self, name: &str) -> i32 {
        let pid = self.pid(&self.node(name)).unwrap_or_else(|| panic!("{name} does not run"));
        pid.as_raw_nonzero().get()
    }

    /// What a wal node says that it has of the log.
    pub fn committed(&self, name: &str) -> u64 {
        let all = self.status();
        let node = all.iter().find(|node| node["name"] == name);
        node.and_then(|node| node["lsn"].as_u64()).unwrap_or(0)
    }

    pub fn signal(&self, name: &str, signal: Signal) {
        let node = self.node(name);
        let pid = self.pid(&node).unwrap_or_else(|| panic!("{name} does not run"));
        kill_process(pid, signal).unwrap();
    }

    /// kill -9, or SIGTERM; returns when the process is gone.
    pub fn end(&self, name: &str, signal: Signal) {
        self.signal(name, signal);
        self.wait_ended(name);
    }

    /// Whether nothing is left of the process that has the node's directory. Of one that was killed the command line goes first,
    /// then its first thread, and its ports with its last one, which the disk may hold up.
    fn is_gone(&self, node: &Node) -> bool {
        let holder = std::fs::read_to_string(self.directory().join(&node.name).join("LOCK")).unwrap_or_default();
        let Ok(pid) = holder.trim().parse::<i32>() else { return true };
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if !arguments.is_empty() {
            // Alive, or another process by now.
            let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments).split(|byte| *byte == 0);
            return !arguments.eq(node.start.iter().map(String::as_bytes));
        }
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        // Behind the name, which may hold anything. A zombie waits for its parent only.
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        matches!(state, Some('Z' | 'X')) && threads <= 1
    }

    /// Until the process is gone.
    pub fn wait_ended(&self, name: &str) {
        let node = self.node(name);
        let begun = Instant::now();
        while !self.is_gone(&node) {
            assert!(begun.elapsed() < PATIENCE, "{name} does not end{}", self.logs());
            self.reap();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn reap(&self) {
        self.children.lock().unwrap().retain_mut(|child| child.try_wait().is_ok_and(|ended| ended.is_none()));
    }

    /// By the recorded command. Its port may be free a little later than its former process is gone.
    pub fn restart(&self, name: &str) {
        let node = self.node(name);
        self.wait(&format!("the port {} of {name} is free", node.http), || std::net::TcpListener::bind(node.http).ok());
        self.spawn(&node);
    }

    pub fn spawn(&self, node: &Node) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&node.log).unwrap();
        let mut command = Command::new(&node.start[0]);
        command.args(&node.start[1..]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env_remove("DRUMLIN_ROOT_PASSWORD").envs(self.environment.iter().cloned());
        let child = command.spawn().expect("restart a node");
        self.children.lock().unwrap().push(child);
    }

    pub fn is_ready(&self, name: &str) -> bool {
        use std::io::{Read, Write};
        let ask = || -> std::io::Result<bool> {
            let mut stream = std::net::TcpStream::connect(self.node(name).http)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200"))
        };
        ask().unwrap_or(false)
    }

    pub fn wait_ready(&self, name: &str) {
        self.wait(&format!("{name} is ready"), || self.is_ready(name).then_some(()));
    }

    /// Until there is an answer.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What `drumlin cluster status` says of each node.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let mut command = Command::new(program());
        command.args(["cluster", "status", "--json", "--dir"]).arg(self.directory());
        let output = command.output().expect("run drumlin cluster status");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        answer["nodes"].as_array().expect("nodes").clone()
    }

    /// The one node that is `leader`, or `owner`.
    pub fn with_part(&self, part: &str) -> String {
        self.wait(part, || {
            let mut found: Vec<(u64, String)> = self
                .status()
                .iter()
                .filter(|node| node["part"] == part)
                .map(|node| (node["term"].as_u64().unwrap_or(0), node["name"].as_str().unwrap().to_owned()))
                .collect();
            // One that was replaced may not know it yet.
            found.sort();
            Some(found.pop()?.1)
        })
    }

    pub async fn connect(&self, compute: &str) -> mysql_async::Result<Conn> {
        let listen = self.node(compute).listen;
        let options = OptsBuilder::default()
            .ip_or_hostname(listen.ip().to_string())
            .tcp_port(listen.port())
            .user(Some("root"))
            .prefer_socket(false);
        Conn::new(Opts::from(options)).await
    }

    /// The last lines of every node, for a test that fails.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for node in &self.nodes {
            let text = std::fs::read(&node.log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            all.push_str(&format!("\n--- {}\n{last}\n", node.name));
        }
        all
    }

    /// `drumlin cluster down`, after which nothing of it runs.
    pub fn down(self) {
        let mut command = Command::new(program());
        command.args(["cluster", "down", "--dir"]).arg(self.directory());
        // Those that were restarted here are this process's to bury.
        let mut down = command.stdout(Stdio::null()).spawn().expect("run drumlin cluster down");
        let ended = self.wait("cluster down", || {
            self.reap();
            down.try_wait().expect("wait for cluster down")
        });
        assert!(ended.success(), "{ended}{}", self.logs());
        for node in &self.nodes {
            assert!(self.pid(node).is_none(), "{} still runs", node.name);
            let log = std::fs::read_to_string(&node.log).unwrap_or_default();
            assert!(!log.contains("panicked"), "{}: {log}", node.name);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Some(pid) = self.pid(node) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for child in self.children.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter_mut() {
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}
