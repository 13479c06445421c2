-- Queries of a marketplace, to run after `drumlin demo auction`:
--     mariadb --host 127.0.0.1 --user root auction < examples/auction/queries.sql

-- Browse: what ends next in a category.
SELECT id, title, COALESCE(high_bid_cents, starting_cents) / 100 AS price, ends_at
  FROM items WHERE category_id = 3 AND status = 'open' ORDER BY ends_at LIMIT 10;

-- One item, with its seller.
SELECT i.title, i.bid_count, i.high_bid_cents / 100 AS price, u.name AS seller, u.rating
  FROM items i JOIN users u ON u.id = i.seller_id WHERE i.id = 1;

-- The history of a hot item.
SELECT b.placed_at, u.name, b.amount_cents / 100 AS amount
  FROM bids b JOIN users u ON u.id = b.user_id WHERE b.item_id = 1 ORDER BY b.amount_cents DESC LIMIT 10;

-- What a user watches, and whether they are winning.
SELECT i.title, i.high_bid_cents / 100 AS price, i.high_bidder_id = w.user_id AS winning
  FROM watchlist w JOIN items i ON i.id = w.item_id WHERE w.user_id = 7 ORDER BY i.ends_at LIMIT 10;

-- Report: how each category does.
SELECT c.name, COUNT(*) AS bids, COUNT(DISTINCT b.user_id) AS bidders, MAX(b.amount_cents) / 100 AS highest,
       AVG(b.amount_cents) / 100 AS average
  FROM bids b JOIN items i ON i.id = b.item_id JOIN categories c ON c.id = i.category_id
 GROUP BY c.name ORDER BY bids DESC;

-- Report: bids by hour of the day.
SELECT HOUR(placed_at) AS hour, COUNT(*) AS bids FROM bids GROUP BY HOUR(placed_at) ORDER BY hour;

-- Report: sellers whose items draw the most bids.
SELECT u.name, u.country, COUNT(*) AS items, SUM(i.bid_count) AS bids
  FROM items i JOIN users u ON u.id = i.seller_id
 GROUP BY u.id, u.name, u.country HAVING SUM(i.bid_count) > 0 ORDER BY bids DESC, u.name LIMIT 10;

-- Every item's price is its highest bid: none should be listed.
SELECT i.id, i.high_bid_cents, MAX(b.amount_cents) AS highest
  FROM items i JOIN bids b ON b.item_id = i.id
 GROUP BY i.id, i.high_bid_cents HAVING i.high_bid_cents <> MAX(b.amount_cents);
