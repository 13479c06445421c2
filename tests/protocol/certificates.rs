//! Certificates of clients: who may log in with which. OpenSSL makes them, MariaDB's client shows them.

use super::harness::{Launch, Server, tools};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Keys and certificates in a directory of their own, each as `NAME.pem` and `NAME-key.pem`.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// An authority and what it signed, and a stranger with an authority of his own.
    fn make() -> Certificates {
        let made = Certificates { directory: tempfile::tempdir().unwrap() };
        let authority = ["-addext", "basicConstraints=critical,CA:TRUE"];
        made.request("authority", "/C=SE/O=Example/CN=authority", &authority);
        made.request("other-authority", "/C=SE/O=Example/CN=other authority", &authority);
        made.signed("server", "/CN=localhost", "authority", "subjectAltName=DNS:localhost");
        made.signed("ann", "/C=SE/O=Example/OU=Å & Co/CN=ann", "authority", "extendedKeyUsage=clientAuth");
        made.signed("bob", "/C=SE/O=Example/CN=bob", "authority", "extendedKeyUsage=clientAuth");
        made.signed("stranger", "/C=SE/O=Example/CN=ann", "other-authority", "extendedKeyUsage=clientAuth");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn signed(&self, name: &str, subject: &str, authority: &str, extension: &str) {
        let (certificate, key) = (self.path(&format!("{authority}.pem")), self.path(&format!("{authority}-key.pem")));
        let signer = ["-CA", certificate.to_str().unwrap(), "-CAkey", key.to_str().unwrap()];
        self.request(
            name,
            subject,
            &[&signer[..], &["-addext", "basicConstraints=CA:FALSE", "-addext", extension]].concat(),
        );
    }

    fn request(&self, name: &str, subject: &str, more: &[&str]) {
        let mut command = openssl();
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-utf8", "-subj", subject]);
        command.arg("-out").arg(self.path(&format!("{name}.pem")));
        command.arg("-keyout").arg(self.path(&format!("{name}-key.pem"))).args(more);
        let output = command.output().expect("openssl");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The authority's list of those certificates, as `NAME.pem`.
    fn revoked(&self, name: &str, revoked: &[&str]) {
        let (settings, index) = (self.path(&format!("{name}.cnf")), self.path(&format!("{name}.index")));
        std::fs::write(&index, "").unwrap();
        std::fs::write(self.path(&format!("{name}.number")), "01\n").unwrap();
        let (database, number) = (index.display(), self.path(&format!("{name}.number")));
        let text = format!(
            "[ca]\ndefault_ca = d\n[d]\ndatabase = {database}\ncrlnumber = {}\ndefault_md = sha256\ndefault_crl_days = 2\n",
            number.display()
        );
        std::fs::write(&settings, text).unwrap();
        let run = |more: &[&str], file: PathBuf| {
            let mut command = openssl();
            command.args(["ca", "-config"]).arg(&settings).arg("-cert").arg(self.path("authority.pem"));
            command.arg("-keyfile").arg(self.path("authority-key.pem")).args(more).arg(file);
            let output = command.output().expect("openssl");
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        for certificate in revoked {
            run(&["-revoke"], self.path(&format!("{certificate}.pem")));
        }
        run(&["-gencrl", "-out"], self.path(&format!("{name}.pem")));
    }

    /// `subject` or `issuer` in the form that REQUIRE takes.
    fn name(&self, of: &str, which: &str) -> String {
        let mut command = openssl();
        command.args(["x509", "-noout", "-nameopt", "compat", &format!("-{which}"), "-in"]);
        let output = command.arg(self.path(&format!("{of}.pem"))).output().expect("openssl");
        let line = String::from_utf8(output.stdout).unwrap();
        line.trim_end().strip_prefix(&format!("{which}=")).expect("a name").to_owned()
    }
}

fn openssl() -> Command {
    let mut command = Command::new(tools::program("openssl", &["openssl"]));
    command.stdin(Stdio::null());
    command
}

/// What a client of this user gets: its account, or its error.
fn log_in(server: &Server, user: &str, options: &[String]) -> Result<String, String> {
    let mut command = Command::new(tools::program("mariadb", &["mariadb-client"]));
    let address = server.mysql();
    command.args(["--no-defaults", "--protocol=tcp", "--host=localhost", "--skip-column-names", "--password=p"]);
    command.arg(format!("--port={}", address.port())).arg(format!("--user={user}")).args(options);
    command.args(["--execute", "SELECT CURRENT_USER()"]).stdin(Stdio::null());
    let output = command.output().expect("mariadb");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()),
    }
}

fn shows(certificates: &Certificates, name: &str) -> Vec<String> {
    let file = |option: &str, name: String| format!("{option}={}", certificates.path(&name).display());
    vec![
        "--ssl".to_owned(),
        file("--ssl-ca", "authority.pem".to_owned()),
        "--ssl-verify-server-cert".to_owned(),
        file("--ssl-cert", format!("{name}.pem")),
        file("--ssl-key", format!("{name}-key.pem")),
    ]
}

#[tokio::test]
async fn accounts_ask_for_certificates() {
    let certificates = Certificates::make();
    let data = tempfile::tempdir().unwrap();
    let given = |launch: Launch, flag: &str, name: &str| {
        let path = certificates.path(name);
        launch.argument(flag).argument(path.to_str().unwrap())
    };
    let launch = given(Launch::new(data.path()), "--ssl-ca", "authority.pem");
    let launch = given(given(launch, "--ssl-cert", "server.pem"), "--ssl-key", "server-key.pem");
    let server = launch.start();
    let (subject, issuer) = (certificates.name("ann", "subject"), certificates.name("ann", "issuer"));
    assert!(subject.contains("/OU=\\xC3\\x85 & Co/"), "{subject}");
    // A backslash in a name is one in the statement's text.
    let (subject, issuer) = (subject.replace('\\', "\\\\"), issuer.replace('\\', "\\\\"));
    let cipher = "TLS_AES_256_GCM_SHA384";
    // The user, what it requires, and whether it comes in: plain, under TLS, with ann's certificate, with bob's.
    let users = [
        ("none", "NONE".to_owned(), [true, true, true, true]),
        ("any", "SSL".to_owned(), [false, true, true, true]),
        ("x509", "X509".to_owned(), [false, false, true, true]),
        ("subject", format!("SUBJECT '{subject}'"), [false, false, true, false]),
        ("issuer", format!("ISSUER '{issuer}'"), [false, false, true, true]),
        (
            "every",
            format!("ISSUER '{issuer}' AND SUBJECT '{subject}' AND CIPHER '{cipher}'"),
            [false, false, true, false],
        ),
        ("cipher", format!("CIPHER '{cipher}'"), [false, true, true, true]),
        ("other_cipher", "CIPHER 'TLS_CHACHA20_POLY1305_SHA256'".to_owned(), [false; 4]),
        ("other_issuer", "ISSUER '/CN=nobody'".to_owned(), [false; 4]),
    ];
    for (user, rule, _) in &users {
        let text = format!("CREATE USER {user} IDENTIFIED WITH mysql_native_password BY 'p' REQUIRE {rule}");
        server.run(&[&text]).await;
    }
    let tls: Vec<String> = shows(&certificates, "ann").drain(..3).collect();
    let ways = [
        ("plain", vec!["--skip-ssl".to_owned()]),
        ("TLS", tls),
        ("ann's certificate", shows(&certificates, "ann")),
        ("bob's certificate", shows(&certificates, "bob")),
    ];
    for (user, rule, comes_in) in &users {
        for ((way, options), comes_in) in ways.iter().zip(comes_in) {
            let answer = log_in(&server, user, options);
            let right = match &answer {
                Ok(account) => *comes_in && *account == format!("{user}@%"),
                Err(error) => {
                    let text = format!("Access denied for user '{user}'@'localhost' (using password: YES)");
                    !comes_in && error.contains("ERROR 1045 (28000)") && error.contains(&text)
                }
            };
            assert!(right, "REQUIRE {rule}, {way}: {answer:?}");
        }
    }
    // Nobody gets past TLS with a certificate of another authority, not even where none is asked for.
    let answer = log_in(&server, "none", &shows(&certificates, "stranger"));
    assert!(answer.is_err_and(|error| !error.contains("1045")), "a stranger's certificate");
    // A rule counts from the next login on.
    server.run(&["ALTER USER x509 REQUIRE NONE", "ALTER USER none REQUIRE X509"]).await;
    assert_eq!(log_in(&server, "x509", &ways[0].1).as_deref(), Ok("x509@%"));
    assert!(log_in(&server, "none", &ways[1].1).is_err_and(|error| error.contains("1045")));
    server.stop();
}

#[tokio::test]
async fn revoked_certificates_do_not_come_in() {
    let certificates = Certificates::make();
    certificates.revoked("list", &["bob"]);
    let directory = certificates.path("lists");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(certificates.path("list.pem"), directory.join("one.pem")).unwrap();
    let pem = |name: &str| certificates.path(name).display().to_string();
    for (flag, given) in [("--ssl-crl", pem("list.pem")), ("--ssl-crlpath", pem("lists"))] {
        let data = tempfile::tempdir().unwrap();
        let (authority, shown, key) = (pem("authority.pem"), pem("server.pem"), pem("server-key.pem"));
        let flags = ["--ssl-ca", &authority, "--ssl-cert", &shown, "--ssl-key", &key, flag, &given];
        let server = flags.into_iter().fold(Launch::new(data.path()), Launch::argument).start();
        server.run(&["CREATE USER u IDENTIFIED WITH mysql_native_password BY 'p'"]).await;
        assert_eq!(log_in(&server, "u", &shows(&certificates, "ann")).as_deref(), Ok("u@%"), "{flag}");
        let answer = log_in(&server, "u", &shows(&certificates, "bob"));
        assert!(answer.is_err_and(|error| !error.contains("1045")), "{flag}: a revoked certificate");
        server.stop();
    }
    let data = tempfile::tempdir().unwrap();
    let (authority, wrong) = (pem("authority.pem"), pem("server.pem"));
    let flags = ["--ssl-ca", &authority, "--ssl-crl", &wrong];
    let (code, line) = flags.into_iter().fold(Launch::new(data.path()), Launch::argument).fail();
    assert!(code == 3 && line.contains("server.pem is not a usable list of revoked certificates"), "{code}: {line}");
}

#[test]
fn files_that_are_no_certificates_are_told_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let refused = |file: &Path| {
        let launch = Launch::new(data.path()).argument("--ssl-ca").argument(file.to_str().unwrap());
        launch.fail()
    };
    let nonsense = data.path().join("nonsense.pem");
    std::fs::write(&nonsense, "nonsense").unwrap();
    let (code, line) = refused(&nonsense);
    assert_eq!(code, 3, "{line}");
    assert!(line.contains("nonsense.pem is not a usable certificate or key"), "{line}");
    let (code, line) = refused(&data.path().join("missing.pem"));
    assert_eq!(code, 3, "{line}");
    assert!(line.contains("missing.pem: No such file"), "{line}");
}
