use super::*;
use std::net::IpAddr;

fn account(name: &str) -> AccountDef {
    AccountDef::new(AccountName::parse(name), password::SHA2_PLUGIN, 0)
}

fn accounts(all: Vec<AccountDef>) -> Accounts {
    let mut accounts = Accounts::default();
    for definition in all {
        accounts.put(definition.name.clone(), Some(definition));
    }
    accounts
}

#[test]
fn the_most_specific_host_wins() {
    let all = accounts(
        ["ann@%", "ann@10.%", "ann@10.1.2.3", "@localhost", "ann@192.168.0.0/255.255.0.0"].map(account).to_vec(),
    );
    let matched = |user: &str, host: &str, address: &str| {
        let address: IpAddr = address.parse().unwrap();
        all.matching(user, host, address).map(|account| account.name.to_string())
    };
    for (user, host, address, expected) in [
        ("ann", "10.1.2.3", "10.1.2.3", Some("ann@10.1.2.3")),
        ("ann", "10.1.2.4", "10.1.2.4", Some("ann@10.%")),
        ("ann", "192.168.7.7", "192.168.7.7", Some("ann@192.168.0.0/255.255.0.0")),
        ("ann", "1.2.3.4", "1.2.3.4", Some("ann@%")),
        ("ann", "localhost", "127.0.0.1", Some("ann@%")),
        ("bob", "localhost", "127.0.0.1", Some("@localhost")),
        ("bob", "1.2.3.4", "1.2.3.4", None),
    ] {
        assert_eq!(matched(user, host, address).as_deref(), expected, "{user}@{host}");
    }
}

#[test]
fn root_is_there_until_somebody_else_is() {
    let mut all = Accounts::default();
    let root = AccountName::new("root", "%");
    assert!(all.is_untouched() && all.get(&root).is_some_and(|root| root.global == Privileges::ALL));
    all.put(AccountName::new("ann", "%"), Some(account("ann@%")));
    assert!(all.get(&root).is_none());
}

#[test]
fn rights_come_from_every_level_and_from_roles() {
    let mut ann = account("ann@%");
    ann.databases.insert("sales\\_%".to_owned(), Privileges::SELECT);
    ann.databases.insert("sales_eu".to_owned(), Privileges::INSERT);
    ann.tables.insert(
        ("shop".to_owned(), "items".to_owned()),
        TableGrant { columns: [("Price".to_owned(), Privileges::SELECT)].into(), ..TableGrant::default() },
    );
    ann.roles.insert(AccountName::new("outer", "%"), false);
    let mut outer = account("outer@%");
    outer.roles.insert(AccountName::new("inner", "%"), false);
    let mut inner = account("inner@%");
    inner.databases.insert("logs".to_owned(), Privileges::DELETE);
    let all = accounts(vec![ann, outer, inner]);
    let name = AccountName::new("ann", "%");
    let plain = Rights::of(&name, "localhost", &[], &all);
    // The name itself comes before a pattern.
    assert_eq!(plain.database("sales_eu"), Privileges::INSERT);
    assert_eq!(plain.database("sales_us"), Privileges::SELECT);
    assert!(plain.database("salesXus").is_empty() && !plain.sees_database("logs"));
    assert!(plain.column("shop", "items", "price").has(Privileges::SELECT));
    assert!(plain.sees_table("shop", "items") && !plain.sees_table("shop", "other"));
    let limits = plain.reading("shop", "items").unwrap().unwrap();
    assert!(limits.check_read("PRICE").is_ok());
    assert_eq!(limits.check_read("name").unwrap_err().code.0, 1143);
    assert_eq!(plain.reading("shop", "other").unwrap_err().code.0, 1142);
    let with_role = Rights::of(&name, "localhost", &[AccountName::new("outer", "%")], &all);
    assert!(with_role.database("logs").has(Privileges::DELETE) && with_role.sees_database("logs"));
}

#[test]
fn grants_are_written_as_mysql_writes_them() {
    let mut ann = account("ann@localhost");
    ann.global = Privileges::RELOAD | Privileges::GRANT_OPTION;
    ann.dynamic.insert("ROLE_ADMIN".to_owned(), false);
    ann.databases.insert("shop".to_owned(), Privileges::OF_DATABASE.without(Privileges::GRANT_OPTION));
    ann.tables.insert(
        ("shop".to_owned(), "items".to_owned()),
        TableGrant {
            privileges: Privileges::INSERT,
            columns: [("a".to_owned(), Privileges::SELECT | Privileges::UPDATE), ("b".to_owned(), Privileges::SELECT)]
                .into(),
            grantor: String::new(),
        },
    );
    ann.roles.insert(AccountName::new("r", "%"), false);
    assert_eq!(
        grants(&ann, &[], &Accounts::default()),
        [
            "GRANT RELOAD ON *.* TO `ann`@`localhost` WITH GRANT OPTION",
            "GRANT ROLE_ADMIN ON *.* TO `ann`@`localhost`",
            "GRANT ALL PRIVILEGES ON `shop`.* TO `ann`@`localhost`",
            "GRANT SELECT (`a`, `b`), INSERT, UPDATE (`a`) ON `shop`.`items` TO `ann`@`localhost`",
            "GRANT `r`@`%` TO `ann`@`localhost`",
        ]
    );
    assert_eq!(
        create_user(&ann),
        "CREATE USER `ann`@`localhost` IDENTIFIED WITH 'caching_sha2_password' REQUIRE NONE PASSWORD EXPIRE DEFAULT \
         ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT PASSWORD REUSE INTERVAL DEFAULT PASSWORD REQUIRE CURRENT DEFAULT"
    );
}
