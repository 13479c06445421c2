-- Bids on items of which a few are hot: sysbench's side of auction.py.

sysbench.cmdline.options = {
   items = {"number of items", 100000},
   users = {"number of users", 100000},
   hot = {"items that get half of the bids", 20},
}

function thread_init()
   connection = sysbench.sql.driver():connect()
   bids = 0
end

function event()
   local low, high = 1, sysbench.opt.items
   if sysbench.rand.uniform(1, 2) == 1 then
      high = sysbench.opt.hot
   end
   local item, user = sysbench.rand.uniform(low, high), sysbench.rand.uniform(1, sysbench.opt.users)
   -- The page of the item, with its seller and its last bids.
   connection:query("SELECT i.title, i.high_cents, i.bid_count, u.name FROM item i JOIN user u ON u.id = i.seller_id WHERE i.id = " .. item)
   connection:query("SELECT amount_cents, user_id FROM bid WHERE item_id = " .. item .. " ORDER BY amount_cents DESC LIMIT 5")
   connection:query("BEGIN")
   local high_bid = tonumber(connection:query("SELECT high_cents FROM item WHERE id = " .. item .. " FOR UPDATE"):fetch_row()[1])
   local amount = high_bid + sysbench.rand.uniform(1, 100)
   connection:query(string.format("INSERT INTO bid (item_id, user_id, amount_cents, placed_at) VALUES (%d, %d, %d, NOW())", item, user, amount))
   connection:query(string.format("UPDATE item SET high_cents = %d, bid_count = bid_count + 1 WHERE id = %d", amount, item))
   connection:query("COMMIT")
   bids = bids + 1
end

function thread_done()
   io.write("done " .. bids .. "\n")
   connection:disconnect()
end
