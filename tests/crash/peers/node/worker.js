'use strict';
// One worker process. One argument, JSON: peer, port, ledger.
const {appender, attempt} = require('./ledger');
const what = JSON.parse(process.argv[2]);
const write = appender(what.ledger);

require(`./${what.peer}`).work(what.port, (number, order) => attempt(write, number, order)).catch((error) => {
  console.error(error);
  process.exit(1);
});
