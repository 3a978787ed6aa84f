'use strict';
const {Queue, Worker} = require('bullmq');
const QUEUE = 'torture', RECONNECT_MS = 100;

// A producer hears at once that Redis is gone, and repeats by itself: with the same jobId, which makes that safe as long as
// completed jobs are kept (and they are, unless removeOnComplete says otherwise).
async function client(port) {
  const connection = {host: '127.0.0.1', port, enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => RECONNECT_MS};
  const queue = new Queue(QUEUE, {connection});
  queue.on('error', () => {});
  await queue.waitUntilReady();
  return {
    submit: async (order) => (await queue.add('job', order, {jobId: `job-${order.n}`, attempts: 5})).id,
    refused: (error) => /isn't writeable|ECONNREFUSED|LOADING/.test(error.message),
  };
}

// Defaults but for the reconnect (1 s and more) and the number of stalls (1, then the job fails).
async function work(port, run) {
  const connection = {host: '127.0.0.1', port, maxRetriesPerRequest: null, retryStrategy: () => RECONNECT_MS};
  const worker = new Worker(QUEUE, (job) => run(job.attemptsStarted, job.data), {connection, concurrency: 1, maxStalledCount: 20});
  worker.on('error', (error) => console.error(error.message));
  await worker.waitUntilReady();
}

module.exports = {client, work};
