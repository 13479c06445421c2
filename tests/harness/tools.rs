//! Programs that tests run beside Drumlin. What is missing is installed from Debian's packages, so that the README's test
//! command is enough on a fresh machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The program, installed now if it is not there. `packages`: Debian's, that bring it.
pub fn program(name: &str, packages: &[&str]) -> PathBuf {
    // One at a time: tests of one process run in parallel.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find(name) {
        return found;
    }
    install(packages);
    find(name).unwrap_or_else(|| panic!("{}", wanted(name, packages)))
}

/// Installs Debian's packages as root, or by sudo where that asks for no password. Whether it worked shows when the
/// program is looked for.
pub fn install(packages: &[&str]) {
    // Another process that installs is waited for.
    apt(&["update", "-qq"]);
    let options = ["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"];
    apt(&[&options, packages].concat());
}

fn apt(arguments: &[&str]) {
    // RUNLEVEL=1: servers that come with packages are not started; tests start their own.
    let settings = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"];
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("env")
    } else {
        let mut command = Command::new("sudo");
        command.args(["--non-interactive", "env"]);
        command
    };
    command.args(settings).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("apt-get {}: {status}", arguments.join(" ")),
        Err(error) => eprintln!("apt-get {}: {error}", arguments.join(" ")),
    }
}

fn wanted(name: &str, packages: &[&str]) -> String {
    format!("the tests need `{name}` and could not install it: apt-get install {}", packages.join(" "))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are in /usr/sbin, which users do not search.
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
