'use strict';
const {makeWorkerUtils, run: start, Logger} = require('graphile-worker');
const {Pool} = require('pg');
const {sleep} = require('./ledger');
const POLL_MS = 200, RECONNECT_MS = 100;
const address = (port) => `postgres://postgres@127.0.0.1:${port}/torture`;

// A request is repeated with the same job_key. unsafe_dedupe is the mode that leaves a job alone that stands already, also
// when it runs; what is done is deleted, and its key with it.
async function client(port, connections) {
  const pgPool = new Pool({connectionString: address(port), max: connections});
  pgPool.on('error', () => {});
  pgPool.on('connect', (one) => one.on('error', () => {}));
  const utils = await makeWorkerUtils({pgPool, logger: new Logger(() => () => {})});
  await utils.migrate();
  return {
    submit: async (order) => (await utils.addJob('job', order, {jobKey: `job-${order.n}`, jobKeyMode: 'unsafe_dedupe'})).id,
    refused: (error) => error.code === 'ECONNREFUSED' || error.code === '57P03',
  };
}

// completeJobBatchDelay 0: the end of a job is written at once, and a failure to write it does not end the process as it does
// with the default of -1. Jobs are looked for every POLL_MS (2 s by default). A runner that gave up is started again, as a process
// manager would, but without the time that a new process takes.
async function work(port, run) {
  const worker = {connectionString: address(port), concurrentJobs: 1, pollInterval: POLL_MS, completeJobBatchDelay: 0,
    failJobBatchDelay: 0};
  const logger = new Logger(() => (level, message) => {
    if (level === 'error') console.error(message);
  });
  const taskList = {job: (order, helpers) => run(helpers.job.attempts, order)};
  for (;;) {
    try {
      await (await start({preset: {worker}, noHandleSignals: true, logger, taskList})).promise;
    } catch (error) {
      console.error(`the runner ended: ${error.message}`);
    }
    await sleep(RECONNECT_MS);
  }
}

module.exports = {client, work};
