-- One row that everybody updates: sysbench's side of hot_row.py and commit_latency.py.

sysbench.cmdline.options = {
   locked = {"BEGIN, SELECT ... FOR UPDATE, UPDATE, COMMIT instead of the UPDATE alone", false},
   own = {"each thread has a row of its own", false},
}

function thread_init()
   connection = sysbench.sql.driver():connect()
   done = 0
   row = 1
   if sysbench.opt.own then
      row = sysbench.tid + 1
   end
   update = "UPDATE auction SET bids = bids + 1, price = price + 0.01 WHERE id = " .. row
   lock = "SELECT bids FROM auction WHERE id = " .. row .. " FOR UPDATE"
end

function event()
   if sysbench.opt.locked then
      connection:query("BEGIN")
      connection:query(lock)
      connection:query(update)
      connection:query("COMMIT")
   else
      connection:query(update)
   end
   done = done + 1
end

function thread_done()
   io.write("done " .. done .. "\n")
   connection:disconnect()
end
