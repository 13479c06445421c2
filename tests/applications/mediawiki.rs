//! MediaWiki: installed by its script, pages written, searched and discussed through its API.

use crate::harness::Launch;
use crate::php::{self, Web};

#[tokio::test]
async fn mediawiki_is_installed_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let (data, packages, site) =
        (directory.path().join("data"), directory.path().join("packages"), directory.path().join("site"));
    std::fs::create_dir(&packages).unwrap();
    php::unpack(&["mediawiki", "mediawiki-classes"], &packages);
    php::copy(&packages.join("var/lib/mediawiki"), &site);
    std::fs::remove_file(site.join("LocalSettings.php")).ok();
    let server = Launch::new(&data).start();
    let (address, database, home) = (php::free_address(), server.mysql().to_string(), site.to_str().unwrap());
    let password = "correct horse battery staple";
    let url = format!("http://{address}");
    let installed = php::run(
        &site,
        &[
            "maintenance/install.php",
            "--dbtype",
            "mysql",
            "--dbserver",
            &database,
            "--dbname",
            "wiki",
            "--dbuser",
            "root",
            "--dbpass",
            "",
            "--installdbuser",
            "root",
            "--installdbpass",
            "",
            "--confpath",
            home,
            "--scriptpath",
            "",
            "--server",
            &url,
            "--pass",
            password,
            "Auctions",
            "Admin",
        ],
    );
    assert!(installed.contains("successfully installed"), "{installed}");
    let web = Web::start(&site, address, &directory.path().join("cookies"));
    let api = |fields: &[(&str, &str)]| web.post("/api.php?format=json&formatversion=2", fields);
    let token = |kind: &str| {
        let answer = api(&[("action", "query"), ("meta", "tokens"), ("type", kind)]);
        php::between(&answer, "token\":\"", "\"").replace("\\\\", "\\")
    };

    let login = [("action", "login"), ("lgname", "Admin"), ("lgpassword", password), ("lgtoken", &*token("login"))];
    let answer = api(&login);
    assert!(answer.contains("\"Success\""), "{answer}");
    let edit = |title: &str, text: &str| {
        let answer = api(&[("action", "edit"), ("title", title), ("text", text), ("token", &*token("csrf"))]);
        assert!(answer.contains("\"Success\""), "{title}: {answer}");
    };
    edit("Quahog", "A '''quahog''' is a hard clam. 🐚 [[Oyster]]");
    edit("Oyster", "An oyster is no clam.");
    edit("Talk:Quahog", "Is it edible? --~~~~");
    edit("Quahog", "A '''quahog''' is a hard round clam. 🐚 [[Oyster]]");
    php::run(&site, &["maintenance/runJobs.php"]);

    let page = web.get("/index.php?title=Quahog");
    assert!(page.contains("hard round clam") && page.contains("🐚"), "{page}");
    let search = |words: &str| api(&[("action", "query"), ("list", "search"), ("srwhat", "text"), ("srsearch", words)]);
    let (round, clam) = (search("clam hard"), search("clam"));
    assert!(round.contains("\"title\":\"Quahog\"") && !round.contains("\"title\":\"Oyster\""), "{round}");
    assert!(clam.contains("\"title\":\"Quahog\"") && clam.contains("\"title\":\"Oyster\""), "{clam}");
    let history = api(&[("action", "query"), ("prop", "revisions"), ("titles", "Quahog"), ("rvlimit", "10")]);
    assert_eq!(history.matches("\"revid\"").count(), 2, "{history}");
    let linking = api(&[("action", "query"), ("list", "backlinks"), ("bltitle", "Oyster")]);
    assert!(linking.contains("Quahog"), "{linking}");
    let talk = web.get("/index.php?title=Talk:Quahog");
    assert!(talk.contains("Is it edible?"), "{talk}");
    drop(web);
    server.stop();
}
