//! The processes of a cluster: which is which, starting and ending them.

use super::Node;
use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The process that runs this node now, whoever started it.
pub fn running(dir: &Path, node: &Node) -> Option<u32> {
    let holder = std::fs::read_to_string(dir.join(&node.name).join("LOCK")).unwrap_or_default();
    let candidates = [holder.trim().parse().unwrap_or(0), node.pid];
    candidates.into_iter().find(|pid| is_ours(*pid, node))
}

/// Whether a process has the recorded command line. One that has ended has none.
pub fn is_ours(pid: u32, node: &Node) -> bool {
    let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let arguments: Vec<&[u8]> = arguments.strip_suffix(b"\0").unwrap_or_default().split(|byte| *byte == 0).collect();
    pid > 0 && arguments.iter().copied().eq(node.start.iter().map(String::as_bytes))
}

pub fn has_ended(pid: u32) -> bool {
    pid_of(pid).is_none_or(|pid| test_kill_process(pid).is_err())
        || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| arguments.is_empty())
}

fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Starts a node, which outlives this process.
pub fn spawn(node: &Node) -> Result<u32, Failure> {
    let failed = |error: std::io::Error| Failure::running(format!("start {}: {error}", node.name));
    let log = OpenOptions::new().create(true).append(true).open(&node.log).map_err(failed)?;
    let (program, arguments) = node
        .start
        .split_first()
        .ok_or_else(|| Failure::damaged(format!("cluster.json has no command for {}", node.name)))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    // Not ended by the ctrl-c that ends this command.
    command.process_group(0);
    Ok(command.spawn().map_err(failed)?.id())
}

/// SIGTERM.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// SIGKILL.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    // Gone meanwhile is fine.
    let _ = pid_of(pid).map(|pid| kill_process(pid, signal));
}

/// What a node said last, for people.
pub fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
}
