//! The PROXY protocol: clients behind a balancer are who they are, and nobody else's word is taken.

use super::error_number;
use super::harness::wire::{self, Wire};
use super::harness::{Launch, tools};
use mysql_async::prelude::Queryable;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 3306\r\n";

#[tokio::test]
async fn headers_count_where_the_balancer_is_trusted() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).argument("--proxy-from").argument("127.0.0.1/32").start();
    server.run(&["CREATE USER ann@'203.0.113.7'"]).await;
    let answer = Wire::log_in_through(server.mysql(), V1, "ann");
    // An account without a password is asked for an answer by its own plugin first.
    assert!(matches!(answer[0], 0 | 0xfe), "{answer:?}");
    assert_eq!(error_number(&Wire::log_in_through(server.mysql(), b"", "ann")), 1045);
    // Without a header a client is itself.
    Wire::log_in(server.mysql(), wire::PLAIN).finish();
    // What begins like a header and is none.
    assert_eq!(Wire::log_in_through(server.mysql(), b"PROXY TCP4 nobody\r\n", "root"), b"");
    server.stop();

    let server = Launch::new(data.path()).start();
    let answer = Wire::log_in_through(server.mysql(), V1, "ann");
    assert_ne!(answer.first(), Some(&0), "{answer:?}");
    server.stop();
}

#[tokio::test]
async fn haproxy_says_who_the_client_is() {
    let haproxy = tools::program("haproxy", &["haproxy"]);
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).argument("--proxy-from").argument("127.0.0.0/8,::1/128").start();
    for version in ["send-proxy", "send-proxy-v2"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = data.path().join("haproxy.cfg");
        let mut file = std::fs::File::create(&settings).unwrap();
        writeln!(
            file,
            "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\nlisten vip\n  bind \
             127.0.0.1:{port}\n  server one {} {version}",
            server.mysql()
        )
        .unwrap();
        let mut balancer = Command::new(&haproxy)
            .arg("-f")
            .arg(&settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        while std::net::TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "haproxy does not listen");
            tokio::task::yield_now().await;
        }
        // The address that it connects from is another than the server's and the balancer's.
        let options = server.options().tcp_port(port);
        let mut connection = mysql_async::Conn::new(mysql_async::Opts::from(options)).await.unwrap();
        let user: Option<String> = connection.query_first("SELECT USER()").await.unwrap();
        assert_eq!(user.as_deref(), Some("root@localhost"));
        connection.disconnect().await.unwrap();
        balancer.kill().unwrap();
        balancer.wait().unwrap();
    }
    server.stop();
}
