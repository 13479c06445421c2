// Node's clients: `client.js LIBRARY` speaks the line protocol of tests/clients/main.rs on standard input and output.
'use strict';
const readline = require('node:readline');
const { createRequire } = require('node:module');
const path = require('node:path');

const library = process.argv[2];
const from = createRequire(path.join(process.env.CLIENT_HOME, 'none.js'));
const escaped = (text) => text.replace(/[\\\t\n\r]/g, (c) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[c]);
const unescaped = (text) => text.replace(/\\(.)/g, (_, c) => ({ t: '\t', n: '\n', r: '\r' })[c] ?? c);
const out = [];
const say = (...fields) => out.push(fields.join('\t'));

class Absent extends Error {}

// A value as every client's is shown: see checks.txt.
function shown(value) {
  if (value === null || value === undefined) return '\\N';
  if (Buffer.isBuffer(value)) return '0x' + value.toString('hex');
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'object') return escaped(JSON.stringify(value));
  return escaped(String(value));
}

function parameter(text) {
  const value = text.slice(2);
  switch (text[0]) {
    case 'i': return Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value);
    case 'd': return Number(value);
    case 's': return unescaped(value);
    case 'x': return Buffer.from(value, 'hex');
    default: return null;
  }
}

const mysql2 = {
  async connect(options, words) {
    if (words.includes('compress')) options.compress = true;
    const flags = words.includes('found') ? ['FOUND_ROWS'] : ['-FOUND_ROWS'];
    const tls = words.includes('tls') ? { ssl: { rejectUnauthorized: false } } : {};
    return from('mysql2/promise').createConnection({
      ...options, ...tls, flags, multipleStatements: words.includes('multi'), dateStrings: true, supportBigNumbers: true,
      bigNumberStrings: true, charset: 'utf8mb4', rowsAsArray: true,
      infileStreamFactory: words.includes('local') ? (file) => require('node:fs').createReadStream(file) : undefined,
    });
  },
  async query(connection, sql) {
    const [rows, fields] = await connection.query({ sql, rowsAsArray: true });
    return sets(rows, fields);
  },
  async execute(connection, sql, parameters) {
    const [rows, fields] = await connection.execute({ sql, rowsAsArray: true }, parameters.map((p) => typeof p === 'bigint' ? p.toString() : p));
    return sets(rows, fields);
  },
  stream: (connection, sql) => connection.connection.query({ sql, rowsAsArray: true }).stream(),
  ping: (connection) => connection.ping(),
  reset: (connection) => { if (!connection.reset) throw new Absent('no reset'); return connection.reset(); },
  close: (connection) => connection.end(),
  destroy: (connection) => connection.destroy(),
};

const mariadb = {
  async connect(options, words) {
    const tls = words.includes('tls') ? { ssl: { rejectUnauthorized: false } } : {};
    return from('mariadb').createConnection({
      ...options, ...tls, compress: words.includes('compress'), foundRows: words.includes('found'), allowPublicKeyRetrieval: true,
      multipleStatements: words.includes('multi'), permitLocalInfile: words.includes('local'), dateStrings: true, bigIntAsNumber: false,
      decimalAsNumber: false, insertIdAsNumber: true, checkDuplicate: false, autoJsonMap: false, bitOneIsBoolean: false,
    });
  },
  query: async (connection, sql) => sets(...mariadb.taken(await connection.query({ sql, rowsAsArray: true, metaAsArray: true }))),
  execute: async (connection, sql, parameters) =>
    sets(...mariadb.taken(await connection.execute({ sql, rowsAsArray: true, metaAsArray: true }, parameters))),
  taken(answer) {
    return Array.isArray(answer) ? answer : [answer, undefined];
  },
  stream: (connection, sql) => connection.queryStream({ sql, rowsAsArray: true }),
  ping: (connection) => connection.ping(),
  reset: (connection) => connection.reset(),
  close: (connection) => connection.end(),
  destroy: (connection) => connection.destroy(),
};

// Both libraries give one answer as [rows, fields], several as [[rows, ...], [fields, ...]].
function sets(rows, fields) {
  const several = Array.isArray(fields) && (fields.length === 0 ? false : fields.some((f) => f === undefined || Array.isArray(f)));
  return several ? rows.map((r, i) => ({ rows: r, fields: fields[i] })) : [{ rows, fields }];
}

function nameOf(field) {
  return typeof field.name === 'function' ? field.name() : field.name;
}

function answer(all) {
  for (const { rows, fields } of all) {
    if (Array.isArray(rows)) {
      say('columns', ...(fields ?? []).map((field) => escaped(nameOf(field))));
      for (const row of rows) say('row', ...row.map(shown));
    } else {
      say('done', rows.affectedRows, rows.insertId || '-');
    }
  }
}

const client = { mysql2, mariadb }[library];
const connections = {};

async function run(operation, name, fields) {
  if (operation === 'connect') {
    const [host, port, user, password, database, words] = fields;
    connections[name] = await client.connect({ host, port: Number(port), user, password, database }, words.split(' '));
    connections[name].on?.('error', () => {});
    return say('ok');
  }
  const connection = connections[name];
  if (operation === 'query') return answer(await client.query(connection, unescaped(fields[0])));
  if (operation === 'execute') return answer(await client.execute(connection, unescaped(fields[0]), fields.slice(1).map(parameter)));
  if (operation === 'blob') {
    const sent = Buffer.alloc(Number(fields[1]));
    for (let at = 0; at < sent.length; at++) sent[at] = at;
    const [{ rows }] = await client.execute(connection, unescaped(fields[0]), [sent]);
    const got = rows[0][0];
    return say('blob', Buffer.isBuffer(got) && got.equals(sent) ? got.length : `${got.length} other bytes`);
  }
  if (operation === 'stream' || operation === 'abandon') {
    let count = 0;
    for await (const _ of client.stream(connection, unescaped(fields[0]))) {
      count += 1;
      if (operation === 'abandon' && count === 10) {
        client.destroy(connection);
        return say('ok');
      }
    }
    return say('count', count);
  }
  if (!['ping', 'reset', 'close'].includes(operation)) throw new Absent(operation);
  await client[operation](connection);
  if (operation === 'close') delete connections[name];
  return say('ok');
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const [operation, name, ...fields] = line.split('\t');
    try {
      await run(operation, name, fields);
    } catch (error) {
      if (error instanceof Absent) say('absent', error.message);
      else say('error', error.errno ?? 0, error.sqlState ?? '-', escaped(String(error.sqlMessage ?? error.message)));
    }
    say('end');
    process.stdout.write(out.join('\n') + '\n');
    out.length = 0;
  }
  process.exit(0);
}

main();
