//! Debian's packages unpacked, PHP's web server, and a browser's worth of curl.

use crate::harness::tools;
use rustix::process::{Pid, Signal, kill_process_group};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PHP: [&str; 9] =
    ["php-cli", "php-mysql", "php-gd", "php-getid3", "php-xml", "php-mbstring", "php-intl", "php-curl", "curl"];

/// Unpacks packages below `directory`; links to files of the system lead into it.
pub fn unpack(packages: &[&str], directory: &Path) {
    // Files that packages need at run time come with the installed ones.
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        let has_all = Command::new("php").arg("-m").output().is_ok_and(|output| {
            let modules = String::from_utf8_lossy(&output.stdout).into_owned();
            ["mysqli", "intl", "mbstring", "xml", "curl", "gd"]
                .iter()
                .all(|module| modules.lines().any(|it| it == *module))
        });
        if !has_all || !Path::new("/usr/share/php/getid3").exists() {
            tools::install(&PHP);
        }
        *installed = true;
    }
    let download = Command::new("apt-get")
        .args(["download", "-qq"])
        .args(packages)
        .current_dir(directory)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(download.success(), "apt-get download {}", packages.join(" "));
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "deb") {
            let unpacked = Command::new("dpkg-deb").arg("-x").arg(&entry).arg(directory).status().unwrap();
            assert!(unpacked.success(), "{}", entry.display());
        }
    }
    relink(directory, directory);
}

fn relink(directory: &Path, root: &Path) {
    for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            if let Ok(inside) = target.strip_prefix("/")
                && root.join(inside).exists()
            {
                std::fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink(root.join(inside), &path).unwrap();
            }
        } else if path.is_dir() {
            relink(&path, root);
        }
    }
}

/// A copy in which links are the files that they lead to.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-rL").arg(from).arg(to).stderr(Stdio::null()).status().unwrap();
    // Links out of the packages lead nowhere, and are not copied.
    assert!(to.is_dir(), "{copied}");
}

/// Output of a PHP program.
pub fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("php").args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// PHP's web server. Killed when dropped.
pub struct Web {
    child: Child,
    pub address: SocketAddr,
    jar: PathBuf,
}

impl Web {
    /// `directory` served on `address`.
    pub fn start(directory: &Path, address: SocketAddr, jar: &Path) -> Web {
        Web::start_with(directory, address, jar, &[])
    }

    /// With arguments for PHP.
    pub fn start_with(directory: &Path, address: SocketAddr, jar: &Path, arguments: &[&str]) -> Web {
        let child = Command::new("php")
            .args(arguments)
            .args(["-S", &address.to_string()])
            .current_dir(directory)
            .env("PHP_CLI_SERVER_WORKERS", "2")
            // With its workers it is ended as a group.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let web = Web { child, address, jar: jar.to_owned() };
        let start = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "PHP's web server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        web
    }

    /// Body of an answer; cookies are kept. `fields`: a form, or with a body of its own (`json`) that.
    pub fn visit(&self, path: &str, fields: &[(&str, &str)], headers: &[&str], json: Option<&str>) -> String {
        let mut command = Command::new("curl");
        command
            .args(["-s", "-S", "-L", "--post301", "--max-time", "120", "-b"])
            .arg(&self.jar)
            .arg("-c")
            .arg(&self.jar);
        for (name, value) in fields {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        for header in headers {
            command.args(["-H", header]);
        }
        if let Some(json) = json {
            command.args(["-H", "Content-Type: application/json", "-d", json]);
        }
        let output = command.arg(format!("http://{}{path}", self.address)).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn get(&self, path: &str) -> String {
        self.visit(path, &[], &[], None)
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> String {
        self.visit(path, fields, &[], None)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What stands between two marks.
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.map_or_else(|| panic!("no {before:?}...{after:?} in {text}"), |(found, _)| found)
}
