// Sequelize, its whole documented surface: node sequelize.js HOST PORT DATABASE [mysql|mariadb] [PASSWORD]

const { run } = require('./checks');
const { Sequelize } = require('sequelize');

const [host, port, database, dialect = 'mysql', password = ''] = process.argv.slice(2);

/** A connection pool of its own, with the options over the usual ones. */
function connect(options = {}) {
  const usual = { host, port: Number(port), username: 'root', password, database, dialect, logging: false };
  return new Sequelize({ ...usual, ...options });
}

const groups = {
  types: require('./sequelize/types'),
  schema: require('./sequelize/schema'),
  models: require('./sequelize/models'),
  finders: require('./sequelize/finders'),
  associations: require('./sequelize/associations'),
  transactions: require('./sequelize/transactions'),
  raw: require('./sequelize/raw'),
  errors: require('./sequelize/errors'),
};

(async () => {
  const sequelize = connect();
  const failed = await run(groups, { connect, sequelize, dialect });
  await sequelize.close();
  process.exit(failed ? 1 : 0);
})();
