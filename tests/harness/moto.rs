//! An S3 server as a real process: moto, from the machine or installed into a Python environment in the target directory.

use super::tools;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

pub struct Moto {
    child: Child,
    pub address: SocketAddr,
}

impl Moto {
    pub fn start() -> Moto {
        let mut child = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start moto_server");
        let (sender, lines) = mpsc::channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        // Reads on for as long as it runs, so that it never waits for its own log.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let address = loop {
            let line = lines.recv_timeout(Duration::from_secs(120)).expect("moto_server says where it listens");
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().parse().expect("an address");
            }
        };
        Moto { child, address }
    }

    pub fn create_bucket(&self, name: &str) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request =
            format!("PUT /{name} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `moto_server` of our own environment, else of the machine, else installed now.
fn program() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let ours = environment.join("bin/moto_server");
    let works = |program: &Path| {
        let help = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        help.is_ok_and(|status| status.success())
    };
    if works(&ours) {
        return ours;
    }
    if works(Path::new("moto_server")) {
        return "moto_server".into();
    }
    install(&environment);
    ours
}

fn install(environment: &Path) {
    let run = |command: &mut Command| command.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
    let python = tools::program("python3", &["python3", "python3-venv"]);
    let make = || run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(environment));
    if !make() {
        // Debian keeps this part of Python in a package of its own.
        tools::install(&["python3-venv"]);
        assert!(make(), "the tests against S3 need Python 3 with its venv module (Debian: python3 and python3-venv)");
    }
    let pip = environment.join("bin/pip");
    let installed = run(Command::new(pip).args(["install", "--quiet", "moto[server,s3]"]));
    assert!(installed, "the tests against S3 need moto: pip install 'moto[server,s3]' failed");
}
