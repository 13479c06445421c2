"""DuckDB as a peer: loads a CSV file of lineitem, then answers the query once for each line on standard input."""
import sys
import time

import duckdb

connection = duckdb.connect(sys.argv[2] if len(sys.argv) > 2 else ":memory:")
connection.execute("SET threads = 1")
connection.execute("SET preserve_insertion_order = true")
connection.execute(f"""
    CREATE TABLE lineitem AS SELECT * FROM read_csv('{sys.argv[1]}', delim='|', header=false, columns={{
        'l_orderkey': 'BIGINT', 'l_partkey': 'BIGINT', 'l_suppkey': 'BIGINT', 'l_linenumber': 'BIGINT',
        'l_quantity': 'DECIMAL(15,2)', 'l_extendedprice': 'DECIMAL(15,2)', 'l_discount': 'DECIMAL(15,2)',
        'l_tax': 'DECIMAL(15,2)', 'l_returnflag': 'VARCHAR', 'l_linestatus': 'VARCHAR', 'l_shipdate': 'DATE',
        'l_commitdate': 'DATE', 'l_receiptdate': 'DATE', 'l_shipinstruct': 'VARCHAR', 'l_shipmode': 'VARCHAR',
        'l_comment': 'VARCHAR'}})""")
connection.execute("CHECKPOINT")
print("ready", duckdb.__version__, flush=True)
for line in sys.stdin:
    low, high = line.split()
    query = f"""SELECT sum(l_extendedprice * l_discount), count(*) FROM lineitem
        WHERE l_shipdate >= DATE '{low}' AND l_shipdate < DATE '{high}'"""
    wall, cpu = time.perf_counter(), time.process_time()
    total, count = connection.execute(query).fetchone()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(int(total * 10000), count, int(wall * 1e9), int(cpu * 1e9), flush=True)
