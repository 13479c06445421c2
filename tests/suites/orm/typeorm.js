// TypeORM, its whole documented surface: node typeorm.js HOST PORT DATABASE [mysql|mariadb] [PASSWORD]

require('reflect-metadata');
const { run } = require('./checks');
const { DataSource } = require('typeorm');

const [host, port, database, type = 'mysql', password = ''] = process.argv.slice(2);

/** A data source with these entities, whose tables are made anew in an empty database unless the options say otherwise. */
async function open(entities, options = {}) {
  const usual = { type, host, port: Number(port), username: 'root', password, database, entities, synchronize: true, dropSchema: true, charset: 'utf8mb4', timezone: 'Z' };
  return new DataSource({ ...usual, ...options }).initialize();
}

/** The statements with which a schema would be made what the entities say. */
async function pending(source) {
  const statements = await source.driver.createSchemaBuilder().log();
  return statements.upQueries.map((one) => one.query);
}

const groups = {
  types: require('./typeorm/types'),
  schema: require('./typeorm/schema'),
  migrations: require('./typeorm/migrations'),
  entities: require('./typeorm/entities'),
  relations: require('./typeorm/relations'),
  finders: require('./typeorm/finders'),
  builder: require('./typeorm/builder'),
  transactions: require('./typeorm/transactions'),
};

(async () => {
  const failed = await run(groups, { open, pending, type, database });
  process.exit(failed ? 1 : 0);
})();
