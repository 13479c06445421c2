//! phpMyAdmin: every page about the server, a database and a table; a table made by a form, a row changed, an export.

use crate::harness::Launch;
use crate::php::{self, Web};
use mysql_async::prelude::Queryable;
use std::process::Command;

/// Pages that look at the server's tables and figures.
const PAGES: &[&str] = &[
    "/server/databases",
    "/server/status",
    "/server/status/processes",
    "/server/status/queries",
    "/server/status/variables",
    "/server/status/monitor",
    "/server/variables",
    "/server/collations",
    "/server/engines",
    "/server/plugins",
    "/server/privileges",
    "/server/export",
    "/database/structure&db=shop",
    "/database/routines&db=shop",
    "/database/triggers&db=shop",
    "/database/events&db=shop",
    "/database/search&db=shop",
    "/database/designer&db=shop",
    "/database/operations&db=shop",
    "/database/data-dictionary&db=shop",
    "/database/export&db=shop",
    "/table/structure&db=shop&table=item",
    "/table/indexes&db=shop&table=item",
    "/table/relation&db=shop&table=bid",
    "/table/search&db=shop&table=item",
    "/table/change&db=shop&table=item",
    "/table/operations&db=shop&table=item",
    "/sql&db=shop&table=item&pos=0",
];

/// The package and what it needs, by what apt would install.
fn packages() -> Vec<String> {
    let mut command = Command::new("apt-get");
    let output = command
        .args(["install", "--simulate", "--reinstall", "--no-install-recommends", "phpmyadmin"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    names.filter(|name| !name.starts_with("dbconfig")).map(str::to_owned).collect()
}

#[tokio::test]
async fn phpmyadmin_shows_and_changes_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let (unpacked, temporary) = (directory.path().join("packages"), directory.path().join("tmp"));
    for made in [&unpacked, &temporary] {
        std::fs::create_dir(made).unwrap();
    }
    let packages = packages();
    php::unpack(&packages.iter().map(String::as_str).collect::<Vec<_>>(), &unpacked);
    let site = unpacked.join("usr/share/phpmyadmin");
    // Where its files are, which the package has in /etc and /var.
    let places = site.join("libraries/vendor_config.php");
    let text = std::fs::read_to_string(&places).unwrap();
    let text = text.replace("'/var/lib/phpmyadmin/tmp/'", &format!("'{}/'", temporary.display()));
    std::fs::write(&places, text.replace("'/etc/phpmyadmin/config.inc.php'", "ROOT_PATH . 'config.inc.php'")).unwrap();
    let server = Launch::new(&directory.path().join("data")).start();
    let settings = format!(
        "<?php $cfg['blowfish_secret'] = '{}'; $cfg['Servers'][1]['auth_type'] = 'config'; $cfg['Servers'][1]['host'] = '127.0.0.1';
         $cfg['Servers'][1]['port'] = '{}'; $cfg['Servers'][1]['user'] = 'root'; $cfg['Servers'][1]['AllowNoPassword'] = true;
         $cfg['SendErrorReports'] = 'never';",
        "s".repeat(32),
        server.mysql().port()
    );
    std::fs::write(site.join("config.inc.php"), settings).unwrap();
    server
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2), KEY by_name (name))",
            "CREATE TABLE shop.bid (id INT PRIMARY KEY, item INT, FOREIGN KEY (item) REFERENCES shop.item (id))",
            "INSERT INTO shop.item (name, price) VALUES ('lamp', 12.5), ('chair', 40)",
            "CREATE PROCEDURE shop.p () SELECT 1",
        ])
        .await;
    let path = format!("include_path={}:/usr/share/php", unpacked.join("usr/share/php").display());
    let web = Web::start_with(&site, php::free_address(), &directory.path().join("cookies"), &["-d", &path]);

    // What it shows by the hour it divides by that.
    let mut connection = server.connect().await;
    let up = "SELECT variable_value FROM performance_schema.global_status WHERE variable_name = 'Uptime'";
    while connection.query_first::<u64, _>(up).await.unwrap() == Some(0) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for page in PAGES {
        let body = web.get(&format!("/index.php?route={page}&lang=en"));
        let wrong = ["Internal error", "Fatal error", "MySQL said", "Error 404", "error_report"];
        let found = wrong.iter().find(|text| body.contains(**text) && !body.contains("error_report_modal"));
        assert!(body.len() > 10_000 && found.is_none(), "{page}: {found:?} in {} bytes: {body:.1500}", body.len());
    }
    let home = web.get("/index.php?route=/&lang=en");
    let token = php::between(&home, "name=\"token\" value=\"", "\"");
    let query = |sql: &str| {
        let fields =
            [("db", "shop"), ("sql_query", sql), ("token", token), ("ajax_request", "1"), ("is_js_confirmed", "1")];
        web.post("/index.php?route=/import", &fields)
    };
    for (sql, shown) in [
        ("CREATE TABLE made (a INT PRIMARY KEY, b TEXT)", "\"success\":true"),
        ("INSERT INTO made VALUES (1, 'x')", "1 row inserted"),
        ("SELECT b FROM made WHERE a = 1", "\"success\":true"),
        ("SELECT wrong FROM made", "#1054"),
    ] {
        let answer = query(sql);
        assert!(answer.contains(shown), "{sql}: {answer:.3000}");
    }
    let export = [
        ("db", "shop"),
        ("token", token),
        ("export_type", "database"),
        ("export_method", "quick"),
        ("quick_or_custom", "quick"),
        ("what", "sql"),
        ("structure_or_data_forced", "0"),
        ("aliases_new", ""),
        ("output_format", "sendit"),
        ("filename_template", "@DATABASE@"),
        ("compression", "none"),
        ("charset", "utf-8"),
        ("sql_structure_or_data", "structure_and_data"),
        ("table_select[]", "item"),
        ("table_structure[]", "item"),
        ("table_data[]", "item"),
    ];
    let dump = web.post("/index.php?route=/export", &export);
    assert!(dump.contains("VALUES(1, 'lamp', 12.50)"), "{dump:.3000}");
    let text: Option<String> = connection.query_first("SELECT b FROM shop.made").await.unwrap();
    assert_eq!(text.as_deref(), Some("x"));
}
