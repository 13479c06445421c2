-- A marketplace: users sell items, others bid on them and watch them.
-- `drumlin demo auction` runs this file and fills the tables.

CREATE TABLE categories (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(40) NOT NULL
);

CREATE TABLE users (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(60) NOT NULL,
    email VARCHAR(120) NOT NULL,
    country CHAR(2) NOT NULL,
    rating DECIMAL(3,2) NOT NULL,
    joined_at DATETIME NOT NULL,
    UNIQUE KEY users_email (email),
    KEY users_country (country)
);

CREATE TABLE items (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    seller_id INT UNSIGNED NOT NULL,
    category_id INT UNSIGNED NOT NULL,
    title VARCHAR(120) NOT NULL,
    starting_cents INT UNSIGNED NOT NULL,
    high_bid_cents INT UNSIGNED NULL,
    high_bidder_id INT UNSIGNED NULL,
    bid_count INT UNSIGNED NOT NULL DEFAULT 0,
    status ENUM('open', 'sold', 'unsold') NOT NULL DEFAULT 'open',
    ends_at DATETIME NOT NULL,
    KEY items_category (category_id, ends_at),
    KEY items_seller (seller_id),
    FOREIGN KEY (seller_id) REFERENCES users (id),
    FOREIGN KEY (category_id) REFERENCES categories (id)
);

CREATE TABLE bids (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    item_id INT UNSIGNED NOT NULL,
    user_id INT UNSIGNED NOT NULL,
    amount_cents INT UNSIGNED NOT NULL,
    placed_at DATETIME NOT NULL,
    KEY bids_item (item_id, amount_cents),
    KEY bids_user (user_id),
    FOREIGN KEY (item_id) REFERENCES items (id),
    FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE watchlist (
    user_id INT UNSIGNED NOT NULL,
    item_id INT UNSIGNED NOT NULL,
    added_at DATETIME NOT NULL,
    PRIMARY KEY (user_id, item_id),
    KEY watchlist_item (item_id),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (item_id) REFERENCES items (id)
);
