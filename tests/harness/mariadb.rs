//! MariaDB as a real process: the reference that answers are compared with where it means the same as MySQL 8.4.

use super::tools;
use mysql_async::OptsBuilder;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A private MariaDB in a directory of its own; ends with this value.
pub struct MariaDb {
    child: Child,
    pub socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl MariaDb {
    pub fn start() -> MariaDb {
        MariaDb::start_with(&[])
    }

    /// With more arguments for the server.
    pub fn start_with(arguments: &[&str]) -> MariaDb {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let options = |command: &mut Command| {
            command.arg("--no-defaults").arg(format!("--datadir={}", path("data").display()));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        };
        let server = tools::program("mariadbd", &["mariadb-server"]);
        // --force: also where the host has no name that can be looked up.
        let mut install = Command::new(tools::program("mariadb-install-db", &["mariadb-server"]));
        options(&mut install);
        let user = if rustix::process::geteuid().is_root() { vec!["--user=root"] } else { Vec::new() };
        let installed = install.args(&user).args(["--auth-root-authentication-method=normal", "--force"]).status();
        assert!(installed.expect("mariadb-install-db").success());
        let mut command = Command::new(server);
        options(&mut command);
        let socket = path("socket");
        command.args(&user).arg(format!("--socket={}", socket.display())).arg("--skip-networking").args(arguments);
        let child = command.spawn().expect("mariadbd");
        let mut started = MariaDb { child, socket, _directory: directory };
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&started.socket).is_err() {
            assert!(started.child.try_wait().unwrap().is_none(), "mariadbd ended");
            assert!(begun.elapsed() < Duration::from_secs(60), "mariadbd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    /// For a client in this process.
    pub fn options(&self) -> OptsBuilder {
        OptsBuilder::default().user(Some("root")).socket(Some(self.socket.display().to_string()))
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
