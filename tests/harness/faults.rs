//! What goes wrong around processes: the network between them, and the space on their disks.

use super::tools;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set in the process that a test runs itself in.
const INSIDE: &str = "DRUMLIN_TEST_INSIDE";

/// Runs the calling test once more in a process with a network of its own (and mounts of its own), as root of them, and
/// answers false; in that process, true. What is done to the network there is gone with it.
pub fn with_own_network(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // Installed from outside: the other network leads nowhere.
    for (name, packages) in [("iptables", ["iptables"]), ("ip", ["iproute2"]), ("unshare", ["util-linux"])] {
        tools::program(name, &packages);
    }
    let own = std::env::current_exe().expect("the path of this program");
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]).args((!root).then_some("--map-root-user"));
    command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(own);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let ended = command.stdin(Stdio::null()).status().expect("run unshare");
    assert!(ended.success(), "{test} in a network of its own: {ended}");
    false
}

fn run(program: &str, packages: &[&str], arguments: &[&str]) {
    let mut command = Command::new(tools::program(program, packages));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("run a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {} {said}", arguments.join(" "), output.status);
}

/// The UDP ports of a process: what it listens at, and what it calls others from.
fn udp_ports(pid: i32) -> Vec<u16> {
    let mut sockets = HashSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if let Some(inode) = target.to_string_lossy().strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    let mut ports = Vec::new();
    for table in ["udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = words.get(1).and_then(|local| u16::from_str_radix(local.rsplit(':').next()?, 16).ok());
            if let (Some(port), Some(inode)) = (port, words.get(9))
                && sockets.contains(*inode)
            {
                ports.push(port);
            }
        }
    }
    ports
}

/// Nothing passes between a process and any other, but for HTTP and MySQL. Ends with this value.
pub struct Isolated {
    ports: Vec<u16>,
}

/// Only in a network of one's own, see [`with_own_network`].
pub fn isolate(pid: i32) -> Isolated {
    assert!(std::env::var_os(INSIDE).is_some(), "in a network of its own");
    let ports = udp_ports(pid);
    assert!(!ports.is_empty(), "it talks to others");
    ports.iter().for_each(|port| rules("-A", *port));
    Isolated { ports }
}

fn rules(action: &str, port: u16) {
    for direction in ["--dport", "--sport"] {
        let port = port.to_string();
        let arguments = ["-w", action, "INPUT", "-p", "udp", direction, &port, "-j", "DROP"];
        run("iptables", &["iptables"], &arguments);
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        self.ports.iter().for_each(|port| rules("-D", *port));
    }
}

/// A small disk in memory at a directory that exists, with what was in it. Its mount is seen in this process (and those that
/// it starts) only, see [`with_own_network`].
pub struct SmallDisk {
    path: PathBuf,
    ballast: PathBuf,
}

impl SmallDisk {
    /// `megabytes`: for all that is there now and comes.
    pub fn at(path: &Path, megabytes: u64) -> SmallDisk {
        assert!(std::env::var_os(INSIDE).is_some(), "among mounts of its own");
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).expect("move the directory aside");
        std::fs::create_dir(path).expect("a place for the disk");
        let text = path.to_str().expect("a path of letters");
        run("mount", &["mount"], &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", text]);
        let from = format!("{}/.", aside.to_str().expect("a path of letters"));
        run("cp", &["coreutils"], &["-a", "--sparse=never", &from, text]);
        std::fs::remove_dir_all(aside).expect("remove the copy");
        SmallDisk { path: path.to_owned(), ballast: path.join("ballast") }
    }

    /// Takes the space that is left, but for what small files need.
    pub fn fill(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::create(&self.ballast).expect("make a file");
        let block = vec![7; 64 << 10];
        while ballast.write_all(&block).is_ok() {}
        let length = ballast.metadata().expect("its length").len();
        ballast.set_len(length.saturating_sub(8 << 20)).expect("make it shorter");
    }

    /// Gives it back.
    pub fn free(&self) {
        std::fs::remove_file(&self.ballast).expect("remove the file");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The mount ends with its namespace at the latest.
        let text = self.path.to_string_lossy().into_owned();
        let _ = Command::new("umount").args(["-l", &text]).status();
    }
}
