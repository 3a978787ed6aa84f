'use strict';
// Clients of the systems that are used from Node; load.py says what the argument is.
const {now, sleep, appender} = require('./ledger');
const what = JSON.parse(process.argv[2]);
const write = appender(what.log);
const say = (...words) => write([now(), ...words].join(' '));
const RETRY_MS = 50, LONG = 0.05;
let stopping = false;

// xorshift32: the same choices in each run with that seed
function chance(seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state / 4294967296;
  };
}

async function ask(client, order) {
  say('ask', order.n);
  for (;;) {
    try {
      return say('ack', order.n, await client.submit(order));
    } catch (error) {
      say(client.refused(error) ? 'refused' : 'unanswered', order.n);
    }
    await sleep(RETRY_MS);
  }
}

async function connection(client, number) {
  const random = chance(what.seed * 100 + number);
  const between = (low, high) => low + Math.floor(random() * (high - low + 1));
  const end = what.count === undefined ? Infinity : what.first + what.count;
  for (let n = (what.first || 0) + number; !stopping && n < end; n += what.connections) {
    const ms = random() < LONG ? between(300, 800) : between(5, 40);
    await ask(client, {n, ms: what.ms === undefined ? ms : what.ms});
    await sleep(random() * 2 * what.every_ms);
  }
}

process.on('SIGTERM', () => { stopping = true; });
(async () => {
  const client = await require(`./${what.peer}`).client(what.port, what.connections);
  await Promise.all(Array.from({length: what.connections}, (_, number) => connection(client, number)));
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
