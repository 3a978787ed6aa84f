'use strict';
// bee-queue, BullMQ, graphile-worker and pg-boss for bench/. One argument, JSON:
//   peer, port, args; mode: prepare; load (connections, seconds or count, size: jobs at a time); work (tally, ahead,
//   answers: somebody waits for the result); call (count: one after the other, each until its result is here)
// load and call print what bench/client.c prints.
const fs = require('fs');

const what = JSON.parse(process.argv[2]);
const redis = {host: '127.0.0.1', port: what.port, maxRetriesPerRequest: null};
const connectionString = `postgres://postgres@127.0.0.1:${what.port}/torture`;
const QUEUE = 'bench';
const FAST_POLL_MS = 5, IN_BATCH = 100, LOCAL_QUEUE = 500;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const PEERS = {
  'bee-queue': () => {
    const Queue = require('bee-queue');
    const calls = what.mode === 'call';
    const queue = new Queue(QUEUE, {
      redis, isWorker: what.mode === 'work', getEvents: calls, storeJobs: calls, sendEvents: Boolean(what.answers),
      removeOnSuccess: true, removeOnFailure: true, activateDelayedJobs: false,
    });
    return {
      prepare: () => queue.ready(),
      one: (args) => queue.createJob(args).save(),
      many: async (all) => {
        const errors = await queue.saveAll(all.map((args) => queue.createJob(args)));
        if (errors.size > 0) throw new Error('bee-queue: saveAll');
      },
      work: (done) => queue.process(what.ahead, async (job) => { done(); return job.data; }),
      call: async (args) => {
        const job = queue.createJob(args);
        const ended = new Promise((resolve, reject) => { job.on('succeeded', resolve); job.on('failed', reject); });
        await job.save();
        return ended;
      },
    };
  },
  bullmq: () => {
    const {Queue, Worker, QueueEvents} = require('bullmq');
    const connection = redis;
    const queue = new Queue(QUEUE, {connection, defaultJobOptions: {removeOnComplete: true, removeOnFail: true}});
    let events;
    return {
      prepare: async () => {
        await queue.waitUntilReady();
        if (what.mode === 'call') await (events = new QueueEvents(QUEUE, {connection})).waitUntilReady();
      },
      one: (args) => queue.add('job', args),
      many: (all) => queue.addBulk(all.map((data) => ({name: 'job', data}))),
      work: (done) => new Worker(QUEUE, async (job) => { done(); return job.data; }, {connection, concurrency: what.ahead}),
      call: async (args) => (await queue.add('job', args, {removeOnComplete: 10000})).waitUntilFinished(events),
    };
  },
  'graphile-worker': () => {
    const {makeWorkerUtils, run, Logger} = require('graphile-worker');
    const {Pool} = require('pg');
    const pool = new Pool({connectionString, max: Math.min(20, what.connections || 1)});
    const logger = new Logger(() => () => {});
    let utils;
    return {
      prepare: async () => {
        utils = await makeWorkerUtils({pgPool: pool, logger});
        if (what.mode === 'prepare') await utils.migrate();
      },
      one: (args) => utils.addJob('job', args),
      many: (all) => pool.query(
        'SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(SELECT json_populate_record(NULL::graphile_worker.job_spec, ' +
        "json_build_object('identifier', 'job', 'payload', one)) FROM json_array_elements($1::json) one))", [JSON.stringify(all)]),
      work: (done) => run({
        preset: {worker: {
          connectionString, maxPoolSize: 12, concurrentJobs: what.ahead, pollInterval: 2000, preparedStatements: true,
          localQueue: {size: LOCAL_QUEUE}, completeJobBatchDelay: 0, failJobBatchDelay: 0,
        }},
        noHandleSignals: true, logger, taskList: {job: async () => { done(); }},
      }),
    };
  },
  'pg-boss': () => {
    const PgBoss = require('pg-boss');
    const boss = new PgBoss({connectionString, max: Math.min(20, what.connections || 4), supervise: false, schedule: false});
    boss.on('error', (error) => console.error(error.message));
    return {
      prepare: async () => {
        await boss.start();
        if (what.mode === 'prepare') await boss.createQueue(QUEUE);
      },
      one: (args) => boss.send(QUEUE, args),
      many: (all) => boss.insert(all.map((data) => ({name: QUEUE, data}))),
      work: async (done) => { // its own work() asks every half second at most
        for (;;) {
          const jobs = await boss.fetch(QUEUE, {batchSize: IN_BATCH});
          if (jobs.length === 0) {
            await sleep(FAST_POLL_MS);
            continue;
          }
          await boss.complete(QUEUE, jobs.map((job) => job.id));
          jobs.forEach(done);
        }
      },
    };
  },
};

function tally(path) {
  const file = fs.openSync(path, 'r+'), bytes = Buffer.alloc(8);
  let count = 0, written = 0;
  setInterval(() => {
    if (count === written) return;
    bytes.writeBigUInt64LE(BigInt(written = count));
    fs.writeSync(file, bytes, 0, 8, 0);
  }, 5);
  return () => { count += 1; };
}

async function load(peer) {
  const began = process.hrtime.bigint(), end = what.seconds ? began + BigInt(Math.round(what.seconds * 1e9)) : null;
  const size = what.size || 1;
  let asked = 0, answered = 0;
  const open = () => (end === null ? asked < what.count : process.hrtime.bigint() < end);
  const connection = async () => {
    while (open()) {
      asked += size;
      await (size === 1 ? peer.one(what.args) : peer.many(Array.from({length: size}, () => what.args)));
      answered += size;
    }
  };
  await Promise.all(Array.from({length: what.connections}, connection));
  return {answered, errors: 0, seconds: Number(process.hrtime.bigint() - began) / 1e9, times: []};
}

async function call(peer) {
  const times = [];
  for (let i = 0; i < what.count; i += 1) {
    const began = process.hrtime.bigint();
    await peer.call(what.args);
    times.push(Number(process.hrtime.bigint() - began) / 1e3);
  }
  times.sort((a, b) => a - b);
  return {answered: what.count, errors: 0, seconds: times.reduce((a, b) => a + b, 0) / 1e6, times: times.map((one) => [one, 1])};
}

async function main() {
  const peer = PEERS[what.peer]();
  await peer.prepare();
  if (what.mode === 'work') {
    process.on('SIGTERM', () => process.exit(0));
    await peer.work(tally(what.tally));
    return;
  }
  if (what.mode !== 'prepare') console.log(JSON.stringify(await (what.mode === 'load' ? load : call)(peer)));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
