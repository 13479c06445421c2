// Named checks of a program that uses an ORM: each passes or fails by itself, and one line says how it went.
//
// A check fails when it throws, or takes longer than a minute. Those of a group run in order and may build on each other.

const assert = require('node:assert/strict');

/** How long a check may take: an altered table on a debug build included. */
const PATIENCE_MS = 60_000;

/** Runs the groups, each an `async (check, context) => {}`, and prints `PASSED group name` or `FAILED group name: why` for each check. */
async function run(groups, context) {
  const only = process.env.ORM_GROUPS?.split(',');
  let [passed, failed] = [0, 0];
  for (const [group, body] of Object.entries(groups)) {
    if (only && !only.includes(group)) continue;
    const check = async (name, steps) => {
      let timer;
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error('took longer than a minute')), PATIENCE_MS);
      });
      try {
        await Promise.race([steps(), late]);
        passed += 1;
        console.log(`PASSED ${group}: ${name}`);
      } catch (error) {
        failed += 1;
        const lines = String(error?.message ?? error).split('\n').slice(0, 12);
        const cause = error?.original ? ` (${error.original.code}: ${error.original.message})` : '';
        console.log(`FAILED ${group}: ${name}\t${lines.join(' | ')}${cause}`);
        if (process.env.ORM_STACKS) console.log(error);
      } finally {
        clearTimeout(timer);
      }
    };
    try {
      await body(check, context);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${group}: its preparation\t${error?.stack ?? error}`);
    }
  }
  console.log(`checks: ${passed} passed, ${failed} failed`);
  return failed;
}

/** The error that a promise is rejected with, which must be of the class. */
async function rejected(promise, kind = Error) {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof kind)) {
      throw new Error(`rejected with ${error?.name}: ${error?.message}, expected ${kind.name}`);
    }
    return error;
  }
  throw new Error(`resolved, expected ${kind.name}`);
}

/** A promise and the function that resolves it. */
function signal() {
  let give;
  const given = new Promise((resolve) => (give = resolve));
  return { give, given };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

module.exports = { assert, run, rejected, signal, pause };
