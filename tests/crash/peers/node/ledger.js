'use strict';
// Lines that are only appended: the ledger of attempts and the log of clients. One write a line.
const fs = require('fs');

const now = () => process.hrtime.bigint();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function appender(path) {
  const file = fs.openSync(path, 'a', 0o600);
  return (line) => fs.writeSync(file, line + '\n');
}

// One run of a job: a line at its start and at its end, and time in between.
async function attempt(write, number, order) {
  const tail = `${order.n} ${number} ${process.pid}-${now()} ${process.pid}`;
  write(`start ${tail} ${now()}`);
  await sleep(order.ms);
  write(`end ${tail} ${now()}`);
}

module.exports = {now, sleep, appender, attempt};
