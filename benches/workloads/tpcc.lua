-- TPC-C's five transactions (standard specification, revision 5.11) without think times: sysbench's side of tpcc.py.

sysbench.cmdline.options = {
   warehouses = {"number of warehouses", 4},
   foreign_keys = {"declare the foreign keys", false},
}

local DISTRICTS, CUSTOMERS, ITEMS, ORDERS = 10, 3000, 100000, 3000
local FIRST_NEW_ORDER = 2101
local ROWS_PER_INSERT = 500
local SYLLABLES = {"BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"}

local TABLES = {
   warehouse = [[w_id SMALLINT NOT NULL, w_name VARCHAR(10), w_street_1 VARCHAR(20), w_street_2 VARCHAR(20), w_city VARCHAR(20),
      w_state CHAR(2), w_zip CHAR(9), w_tax DECIMAL(4,4), w_ytd DECIMAL(12,2), PRIMARY KEY (w_id)]],
   district = [[d_id TINYINT NOT NULL, d_w_id SMALLINT NOT NULL, d_name VARCHAR(10), d_street_1 VARCHAR(20), d_street_2 VARCHAR(20),
      d_city VARCHAR(20), d_state CHAR(2), d_zip CHAR(9), d_tax DECIMAL(4,4), d_ytd DECIMAL(12,2), d_next_o_id INT,
      PRIMARY KEY (d_w_id, d_id)]],
   customer = [[c_id INT NOT NULL, c_d_id TINYINT NOT NULL, c_w_id SMALLINT NOT NULL, c_first VARCHAR(16), c_middle CHAR(2),
      c_last VARCHAR(16), c_street_1 VARCHAR(20), c_street_2 VARCHAR(20), c_city VARCHAR(20), c_state CHAR(2), c_zip CHAR(9),
      c_phone CHAR(16), c_since DATETIME, c_credit CHAR(2), c_credit_lim DECIMAL(12,2), c_discount DECIMAL(4,4),
      c_balance DECIMAL(12,2), c_ytd_payment DECIMAL(12,2), c_payment_cnt INT, c_delivery_cnt INT, c_data TEXT,
      PRIMARY KEY (c_w_id, c_d_id, c_id), KEY customer_name (c_w_id, c_d_id, c_last, c_first)]],
   history = [[h_c_id INT, h_c_d_id TINYINT, h_c_w_id SMALLINT, h_d_id TINYINT, h_w_id SMALLINT, h_date DATETIME,
      h_amount DECIMAL(6,2), h_data VARCHAR(24)]],
   orders = [[o_id INT NOT NULL, o_d_id TINYINT NOT NULL, o_w_id SMALLINT NOT NULL, o_c_id INT, o_entry_d DATETIME,
      o_carrier_id TINYINT, o_ol_cnt TINYINT, o_all_local TINYINT, PRIMARY KEY (o_w_id, o_d_id, o_id),
      KEY orders_customer (o_w_id, o_d_id, o_c_id, o_id)]],
   new_orders = [[no_o_id INT NOT NULL, no_d_id TINYINT NOT NULL, no_w_id SMALLINT NOT NULL,
      PRIMARY KEY (no_w_id, no_d_id, no_o_id)]],
   order_line = [[ol_o_id INT NOT NULL, ol_d_id TINYINT NOT NULL, ol_w_id SMALLINT NOT NULL, ol_number TINYINT NOT NULL, ol_i_id INT,
      ol_supply_w_id SMALLINT, ol_delivery_d DATETIME, ol_quantity TINYINT, ol_amount DECIMAL(6,2), ol_dist_info CHAR(24),
      PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number)]],
   item = [[i_id INT NOT NULL, i_im_id INT, i_name VARCHAR(24), i_price DECIMAL(5,2), i_data VARCHAR(50), PRIMARY KEY (i_id)]],
   stock = [[s_i_id INT NOT NULL, s_w_id SMALLINT NOT NULL, s_quantity SMALLINT, s_dist_01 CHAR(24), s_dist_02 CHAR(24),
      s_dist_03 CHAR(24), s_dist_04 CHAR(24), s_dist_05 CHAR(24), s_dist_06 CHAR(24), s_dist_07 CHAR(24), s_dist_08 CHAR(24),
      s_dist_09 CHAR(24), s_dist_10 CHAR(24), s_ytd DECIMAL(8,0), s_order_cnt SMALLINT, s_remote_cnt SMALLINT, s_data VARCHAR(50),
      PRIMARY KEY (s_w_id, s_i_id)]],
}
local ORDER = {"warehouse", "district", "customer", "history", "orders", "new_orders", "item", "stock", "order_line"}
local FOREIGN_KEYS = {
   "ALTER TABLE district ADD FOREIGN KEY (d_w_id) REFERENCES warehouse (w_id)",
   "ALTER TABLE customer ADD FOREIGN KEY (c_w_id, c_d_id) REFERENCES district (d_w_id, d_id)",
   "ALTER TABLE orders ADD FOREIGN KEY (o_w_id, o_d_id, o_c_id) REFERENCES customer (c_w_id, c_d_id, c_id)",
   "ALTER TABLE new_orders ADD FOREIGN KEY (no_w_id, no_d_id, no_o_id) REFERENCES orders (o_w_id, o_d_id, o_id)",
   "ALTER TABLE order_line ADD FOREIGN KEY (ol_w_id, ol_d_id, ol_o_id) REFERENCES orders (o_w_id, o_d_id, o_id)",
   "ALTER TABLE stock ADD FOREIGN KEY (s_w_id) REFERENCES warehouse (w_id)",
}

local random = sysbench.rand.uniform

-- Clause 2.1.6.
local function skewed(a, low, high, constant)
   return (bit.bor(random(0, a), random(low, high)) + constant) % (high - low + 1) + low
end

local function a_customer()
   return skewed(1023, 1, CUSTOMERS, 259)
end

local function an_item()
   return skewed(8191, 1, ITEMS, 7911)
end

local function last_name(number)
   return SYLLABLES[math.floor(number / 100) + 1] .. SYLLABLES[math.floor(number / 10) % 10 + 1] .. SYLLABLES[number % 10 + 1]
end

local function a_last_name()
   return last_name(skewed(255, 0, 999, 223))
end

local function text(low, high)
   return sysbench.rand.string(string.rep("@", random(low, high)))
end

local function zip()
   return sysbench.rand.string("####") .. "11111"
end

local function address()
   return string.format("'%s', '%s', '%s', '%s', '%s'", text(10, 20), text(10, 20), text(10, 20), text(2, 2), zip())
end

-- Text that contains ORIGINAL in one of ten rows.
local function data(low, high)
   local made = text(low, high)
   if random(1, 10) == 1 then
      local at = random(1, #made - 8)
      made = made:sub(1, at) .. "ORIGINAL" .. made:sub(at + 9)
   end
   return made
end

-- Collects rows of one table into INSERTs.
local function inserter(connection, name)
   local rows = {}
   local function send()
      if #rows > 0 then
         connection:query("INSERT INTO " .. name .. " VALUES " .. table.concat(rows, ","))
         rows = {}
      end
   end
   return function(row)
      rows[#rows + 1] = "(" .. row .. ")"
      if #rows == ROWS_PER_INSERT then
         send()
      end
   end, send
end

local function load_warehouse(connection, w)
   local add, flush = inserter(connection, "warehouse")
   add(string.format("%d, '%s', %s, %.4f, 300000.00", w, text(6, 10), address(), random(0, 2000) / 10000))
   flush()
   add, flush = inserter(connection, "stock")
   for i = 1, ITEMS do
      local infos = {}
      for d = 1, DISTRICTS do
         infos[d] = "'" .. text(24, 24) .. "'"
      end
      add(string.format("%d, %d, %d, %s, 0, 0, 0, '%s'", i, w, random(10, 100), table.concat(infos, ","), data(26, 50)))
   end
   flush()
   add, flush = inserter(connection, "district")
   for d = 1, DISTRICTS do
      add(string.format("%d, %d, '%s', %s, %.4f, 30000.00, %d", d, w, text(6, 10), address(), random(0, 2000) / 10000, ORDERS + 1))
   end
   flush()
   for d = 1, DISTRICTS do
      add, flush = inserter(connection, "customer")
      local add_history, flush_history = inserter(connection, "history")
      for c = 1, CUSTOMERS do
         local last = c <= 1000 and last_name(c - 1) or a_last_name()
         local credit = random(1, 10) == 1 and "BC" or "GC"
         add(string.format("%d, %d, %d, '%s', 'OE', '%s', %s, '%s', NOW(), '%s', 50000.00, %.4f, -10.00, 10.00, 1, 0, '%s'", c, d, w,
            text(8, 16), last, address(), sysbench.rand.string("################"), credit, random(0, 5000) / 10000, text(300, 500)))
         add_history(string.format("%d, %d, %d, %d, %d, NOW(), 10.00, '%s'", c, d, w, d, w, text(12, 24)))
      end
      flush()
      flush_history()
      local customers = {}
      for c = 1, CUSTOMERS do
         customers[c] = c
      end
      for c = CUSTOMERS, 2, -1 do
         local other = random(1, c)
         customers[c], customers[other] = customers[other], customers[c]
      end
      add, flush = inserter(connection, "orders")
      local add_new, flush_new = inserter(connection, "new_orders")
      local add_line, flush_line = inserter(connection, "order_line")
      for o = 1, ORDERS do
         local lines, is_new = random(5, 15), o >= FIRST_NEW_ORDER
         add(string.format("%d, %d, %d, %d, NOW(), %s, %d, 1", o, d, w, customers[o], is_new and "NULL" or random(1, 10), lines))
         if is_new then
            add_new(string.format("%d, %d, %d", o, d, w))
         end
         for line = 1, lines do
            add_line(string.format("%d, %d, %d, %d, %d, %d, %s, 5, %.2f, '%s'", o, d, w, line, random(1, ITEMS), w,
               is_new and "NULL" or "NOW()", is_new and random(1, 999999) / 100 or 0, text(24, 24)))
         end
      end
      flush()
      flush_new()
      flush_line()
   end
end

function prepare()
   local connection = sysbench.sql.driver():connect()
   for _, name in ipairs(ORDER) do
      connection:query("CREATE TABLE " .. name .. " (" .. TABLES[name] .. ")")
   end
   local add, flush = inserter(connection, "item")
   for i = 1, ITEMS do
      add(string.format("%d, %d, '%s', %.2f, '%s'", i, random(1, 10000), text(14, 24), random(100, 10000) / 100, data(26, 50)))
   end
   flush()
   for w = 1, sysbench.opt.warehouses do
      load_warehouse(connection, w)
   end
   if sysbench.opt.foreign_keys then
      for _, statement in ipairs(FOREIGN_KEYS) do
         connection:query(statement)
      end
   end
   connection:disconnect()
end

function thread_init()
   connection = sysbench.sql.driver():connect()
   new_orders_done, retries = 0, 0
end

-- Rows of a query, each a table of texts.
local function rows(format, ...)
   local result = connection:query(string.format(format, ...))
   local all = {}
   for number = 1, result.nrows do
      local fetched, row = result:fetch_row(), {}
      for column = 1, result.nfields do
         row[column] = fetched[column]
      end
      all[number] = row
   end
   return all
end

local function one(format, ...)
   local all = rows(format, ...)
   if #all == 0 then
      error("no row: " .. string.format(format, ...))
   end
   return unpack(all[1])
end

local function change(format, ...)
   connection:query(string.format(format, ...))
end

-- Clause 2.4.
local function new_order()
   local w, d, c = random(1, sysbench.opt.warehouses), random(1, DISTRICTS), a_customer()
   local count, all_local = random(5, 15), 1
   local fails = random(1, 100) == 1
   local lines = {}
   for line = 1, count do
      local supply = w
      if sysbench.opt.warehouses > 1 and random(1, 100) == 1 then
         supply = random(1, sysbench.opt.warehouses - 1)
         supply = supply >= w and supply + 1 or supply
         all_local = 0
      end
      lines[line] = {item = an_item(), supply = supply, quantity = random(1, 10)}
   end
   -- Stock is taken in one order by all, or two of them wait for each other.
   table.sort(lines, function(a, b) return a.supply < b.supply or a.supply == b.supply and a.item < b.item end)
   if fails then
      lines[count].item = ITEMS + 1
   end
   connection:query("BEGIN")
   one("SELECT c_discount, c_last, c_credit, w_tax FROM customer, warehouse WHERE w_id = %d AND c_w_id = w_id AND c_d_id = %d AND c_id = %d", w, d, c)
   local o = tonumber((one("SELECT d_next_o_id, d_tax FROM district WHERE d_w_id = %d AND d_id = %d FOR UPDATE", w, d)))
   change("UPDATE district SET d_next_o_id = %d WHERE d_w_id = %d AND d_id = %d", o + 1, w, d)
   change("INSERT INTO orders (o_id, o_d_id, o_w_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local) VALUES (%d, %d, %d, %d, NOW(), %d, %d)", o, d, w, c, count, all_local)
   change("INSERT INTO new_orders (no_o_id, no_d_id, no_w_id) VALUES (%d, %d, %d)", o, d, w)
   for number, line in ipairs(lines) do
      local found = rows("SELECT i_price, i_name, i_data FROM item WHERE i_id = %d", line.item)
      if #found == 0 then
         connection:query("ROLLBACK")
         return
      end
      local quantity, info = one("SELECT s_quantity, s_dist_%02d, s_data FROM stock WHERE s_i_id = %d AND s_w_id = %d FOR UPDATE", d, line.item, line.supply)
      quantity = tonumber(quantity) - line.quantity
      if quantity < 10 then
         quantity = quantity + 91
      end
      change("UPDATE stock SET s_quantity = %d, s_ytd = s_ytd + %d, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + %d WHERE s_i_id = %d AND s_w_id = %d",
         quantity, line.quantity, line.supply == w and 0 or 1, line.item, line.supply)
      change("INSERT INTO order_line (ol_o_id, ol_d_id, ol_w_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_dist_info) VALUES (%d, %d, %d, %d, %d, %d, %d, %.2f, '%s')",
         o, d, w, number, line.item, line.supply, line.quantity, line.quantity * tonumber(found[1][1]), info)
   end
   connection:query("COMMIT")
   new_orders_done = new_orders_done + 1
end

-- The customer in the middle of those of one last name, by first name (clause 2.5.2.2).
local function by_name(w, d, last)
   local found = rows("SELECT c_id FROM customer WHERE c_w_id = %d AND c_d_id = %d AND c_last = '%s' ORDER BY c_first", w, d, last)
   return #found > 0 and tonumber(found[math.ceil(#found / 2)][1]) or nil
end

-- Clause 2.5.
local function payment()
   local w, d, amount = random(1, sysbench.opt.warehouses), random(1, DISTRICTS), random(100, 500000) / 100
   local cw, cd = w, d
   if sysbench.opt.warehouses > 1 and random(1, 100) > 85 then
      cw = random(1, sysbench.opt.warehouses - 1)
      cw = cw >= w and cw + 1 or cw
      cd = random(1, DISTRICTS)
   end
   connection:query("BEGIN")
   change("UPDATE warehouse SET w_ytd = w_ytd + %.2f WHERE w_id = %d", amount, w)
   local warehouse = one("SELECT w_name, w_street_1, w_street_2, w_city, w_state, w_zip FROM warehouse WHERE w_id = %d", w)
   change("UPDATE district SET d_ytd = d_ytd + %.2f WHERE d_w_id = %d AND d_id = %d", amount, w, d)
   local district = one("SELECT d_name, d_street_1, d_street_2, d_city, d_state, d_zip FROM district WHERE d_w_id = %d AND d_id = %d", w, d)
   local c = random(1, 100) <= 60 and by_name(cw, cd, a_last_name()) or a_customer()
   local _, _, _, credit = one("SELECT c_first, c_middle, c_last, c_credit, c_credit_lim, c_discount, c_balance, c_since FROM customer WHERE c_w_id = %d AND c_d_id = %d AND c_id = %d FOR UPDATE", cw, cd, c)
   local more = ""
   if credit == "BC" then
      local old = one("SELECT c_data FROM customer WHERE c_w_id = %d AND c_d_id = %d AND c_id = %d", cw, cd, c)
      more = string.format(", c_data = '%s'", (string.format("%d %d %d %d %d %.2f|", c, cd, cw, d, w, amount) .. old):sub(1, 500))
   end
   change("UPDATE customer SET c_balance = c_balance - %.2f, c_ytd_payment = c_ytd_payment + %.2f, c_payment_cnt = c_payment_cnt + 1%s WHERE c_w_id = %d AND c_d_id = %d AND c_id = %d",
      amount, amount, more, cw, cd, c)
   change("INSERT INTO history VALUES (%d, %d, %d, %d, %d, NOW(), %.2f, '%s    %s')", c, cd, cw, d, w, amount, warehouse, district)
   connection:query("COMMIT")
end

-- Clause 2.6.
local function order_status()
   local w, d = random(1, sysbench.opt.warehouses), random(1, DISTRICTS)
   connection:query("BEGIN")
   local c = random(1, 100) <= 60 and by_name(w, d, a_last_name()) or a_customer()
   one("SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_w_id = %d AND c_d_id = %d AND c_id = %d", w, d, c)
   local orders = rows("SELECT o_id, o_carrier_id, o_entry_d FROM orders WHERE o_w_id = %d AND o_d_id = %d AND o_c_id = %d ORDER BY o_id DESC LIMIT 1", w, d, c)
   if #orders > 0 then
      rows("SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line WHERE ol_w_id = %d AND ol_d_id = %d AND ol_o_id = %s", w, d, orders[1][1])
   end
   connection:query("COMMIT")
end

-- Clause 2.7.
local function delivery()
   local w, carrier = random(1, sysbench.opt.warehouses), random(1, 10)
   connection:query("BEGIN")
   for d = 1, DISTRICTS do
      local oldest = rows("SELECT no_o_id FROM new_orders WHERE no_w_id = %d AND no_d_id = %d ORDER BY no_o_id LIMIT 1 FOR UPDATE", w, d)
      if #oldest > 0 then
         local o = tonumber(oldest[1][1])
         change("DELETE FROM new_orders WHERE no_w_id = %d AND no_d_id = %d AND no_o_id = %d", w, d, o)
         local c = one("SELECT o_c_id FROM orders WHERE o_w_id = %d AND o_d_id = %d AND o_id = %d", w, d, o)
         change("UPDATE orders SET o_carrier_id = %d WHERE o_w_id = %d AND o_d_id = %d AND o_id = %d", carrier, w, d, o)
         change("UPDATE order_line SET ol_delivery_d = NOW() WHERE ol_w_id = %d AND ol_d_id = %d AND ol_o_id = %d", w, d, o)
         local total = one("SELECT SUM(ol_amount) FROM order_line WHERE ol_w_id = %d AND ol_d_id = %d AND ol_o_id = %d", w, d, o)
         change("UPDATE customer SET c_balance = c_balance + %s, c_delivery_cnt = c_delivery_cnt + 1 WHERE c_w_id = %d AND c_d_id = %d AND c_id = %s", total, w, d, c)
      end
   end
   connection:query("COMMIT")
end

-- Clause 2.8.
local function stock_level()
   local w, d = random(1, sysbench.opt.warehouses), random(1, DISTRICTS)
   connection:query("BEGIN")
   local next = tonumber((one("SELECT d_next_o_id FROM district WHERE d_w_id = %d AND d_id = %d", w, d)))
   one("SELECT COUNT(DISTINCT s_i_id) FROM order_line, stock WHERE ol_w_id = %d AND ol_d_id = %d AND ol_o_id < %d AND ol_o_id >= %d AND s_w_id = %d AND s_i_id = ol_i_id AND s_quantity < %d",
      w, d, next, next - 20, w, random(10, 20))
   connection:query("COMMIT")
end

local function any()
   local share = random(1, 100)
   if share <= 45 then
      new_order()
   elseif share <= 88 then
      payment()
   elseif share <= 92 then
      order_status()
   elseif share <= 96 then
      delivery()
   else
      stock_level()
   end
end

function event()
   local done, failure = pcall(any)
   if not done then
      -- After a lock that was waited for too long the transaction is still open.
      connection:query("ROLLBACK")
      retries = retries + 1
      error(failure, 0)
   end
end

function thread_done()
   io.write(string.format("done %d %d\n", new_orders_done, retries))
   connection:disconnect()
end
