//! WordPress: installed by its form, a post written, found, edited, commented on.

use crate::harness::Launch;
use crate::php::{self, Web};

#[tokio::test]
async fn wordpress_is_installed_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let (data, packages, site) =
        (directory.path().join("data"), directory.path().join("packages"), directory.path().join("site"));
    std::fs::create_dir(&packages).unwrap();
    php::unpack(&["wordpress", "wordpress-theme-twentytwentythree", "libjs-underscore", "libjs-cropper"], &packages);
    php::copy(&packages.join("usr/share/wordpress"), &site);
    let server = Launch::new(&data).start();
    server.run(&["CREATE DATABASE wordpress"]).await;
    let log = directory.path().join("wordpress.log");
    // What its manual asks for, and no more.
    let settings = format!(
        "<?php define('DB_NAME', 'wordpress'); define('DB_USER', 'root'); define('DB_PASSWORD', ''); define('DB_HOST', '{}');
         define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', ''); define('WP_DEBUG', true); define('WP_DEBUG_DISPLAY', false);
         define('WP_DEBUG_LOG', '{}'); define('DISABLE_WP_CRON', true); define('WP_HTTP_BLOCK_EXTERNAL', true);
         foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $key) {{ define($key . '_KEY', $key); define($key . '_SALT', $key); }}
         $table_prefix = 'wp_'; if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/'); require_once ABSPATH . 'wp-settings.php';",
        server.mysql(),
        log.display()
    );
    std::fs::remove_file(site.join("wp-config.php")).ok();
    std::fs::write(site.join("wp-config.php"), settings).unwrap();
    let web = Web::start(&site, php::free_address(), &directory.path().join("cookies"));

    let password = "correct horse battery staple";
    let installed = web.post(
        "/wp-admin/install.php?step=2",
        &[
            ("weblog_title", "Auctions"),
            ("user_name", "admin"),
            ("admin_password", password),
            ("admin_password2", password),
            ("admin_email", "admin@example.com"),
            ("blog_public", "0"),
        ],
    );
    assert!(installed.contains("Success!"), "{installed}");
    web.get("/wp-login.php");
    let login = [("log", "admin"), ("pwd", password), ("wp-submit", "Log In"), ("testcookie", "1")];
    let dashboard = web.post("/wp-login.php", &login);
    assert!(dashboard.contains("Dashboard"), "{dashboard}");
    let editor = web.get("/wp-admin/post-new.php");
    let nonce = php::between(&editor, "createNonceMiddleware( \"", "\"");
    let nonce = format!("X-WP-Nonce: {nonce}");
    let rest = |route: &str, body: &str| web.visit(&format!("/?rest_route=/wp/v2{route}"), &[], &[&nonce], Some(body));

    let post = rest(
        "/posts",
        r#"{"title": "Going once 🔨", "content": "A quahog's shell, bidding begins", "status": "publish"}"#,
    );
    let id = php::between(&post, "\"id\":", ",").to_owned();
    assert!(web.get("/?s=quahog").contains("Going once 🔨"));
    assert!(!web.get("/?s=oyster").contains("Going once"));
    let edited = rest(&format!("/posts/{id}"), r#"{"title": "Going twice", "content": "An oyster's shell"}"#);
    assert!(edited.contains("Going twice"), "{edited}");
    assert!(web.get("/?s=oyster").contains("Going twice"));

    let comment = [
        ("comment", "I bid 7 euro"),
        ("author", "Bea"),
        ("email", "bea@example.com"),
        ("comment_post_ID", &id),
        ("comment_parent", "0"),
    ];
    web.post("/wp-comments-post.php", &comment);
    let page = web.get(&format!("/?p={id}"));
    assert!(page.contains("I bid 7 euro") && page.contains("Going twice"), "{page}");
    let revisions = web.visit(&format!("/?rest_route=/wp/v2/posts/{id}/revisions"), &[], &[&nonce], None);
    assert!(revisions.contains("quahog") || revisions.contains("oyster"), "{revisions}");

    drop(web);
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(!log.contains("database error"), "{log}");
    server.stop();
}
