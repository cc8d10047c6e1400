// Queries and purges by filter.
"use strict";

const assert = require("node:assert/strict");
const { PurgeInstanceCriteria } = require("@microsoft/durabletask-js");
const { Status } = require("../hub");

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};

module.exports = {
  async queries(hub) {
    const query = async (filter) => {
      const ids = [];
      for await (const state of hub.client.getAllInstances(filter)) ids.push(state.instanceId);
      return ids;
    };
    const all = [...Array(23).keys()].map((i) => `${i % 2 ? "odd" : "even"}-${String(i).padStart(2, "0")}`);
    const half = all.slice(0, 10);
    for (const instanceId of half) await hub.start(waits, { n: instanceId }, { instanceId });
    // Dates have milliseconds here: the two halves must not share one.
    const between = (await hub.state(half[9])).createdAt;
    while (Date.now() <= between.getTime() + 5) await new Promise(setImmediate);
    for (const instanceId of all.slice(10)) await hub.start(waits, { n: instanceId }, { instanceId });
    const after = new Date(between.getTime() + 2);
    const odd = all.filter((id) => id.startsWith("odd"));
    assert.deepEqual(await query(), all);
    for (const pageSize of [1, 5, 23]) assert.deepEqual(await query({ pageSize }), all, `pages of ${pageSize}`);
    assert.deepEqual(await query({ instanceIdPrefix: "odd-", pageSize: 4 }), odd);
    assert.deepEqual(await query({ instanceIdPrefix: "none-" }), []);
    assert.deepEqual(await query({ createdTo: after, pageSize: 3 }), half);
    assert.deepEqual(await query({ createdFrom: after, pageSize: 3 }), all.slice(10));
    assert.deepEqual(await query({ createdFrom: new Date(Date.now() + 3_600_000) }), []);
    for (const id of odd.slice(0, 4)) await hub.client.terminateOrchestration(id);
    for (const id of odd.slice(4, 7)) await hub.client.suspendOrchestration(id);
    assert.deepEqual(await query({ statuses: [Status.TERMINATED], pageSize: 3 }), odd.slice(0, 4));
    const both = { statuses: [Status.SUSPENDED, Status.TERMINATED], pageSize: 2 };
    assert.deepEqual(await query(both), odd.slice(0, 7));
    assert.deepEqual(await query({ statuses: [Status.COMPLETED] }), []);
    const together = { statuses: [Status.PENDING], instanceIdPrefix: "odd", createdFrom: after };
    assert.deepEqual(await query(together), odd.slice(7).filter((id) => !half.includes(id)));
    // A token is a position, whatever the size of the next page.
    let first;
    for await (first of hub.client.getAllInstances({ pageSize: 5 }).asPages()) break;
    assert.deepEqual(first.values.map(({ instanceId }) => instanceId), all.slice(0, 5));
    const rest = await query({ continuationToken: first.continuationToken, pageSize: 4 });
    assert.deepEqual(rest, all.slice(5));
  },

  async payloadsOfQueries(hub) {
    await hub.withWorker([waits], [], async () => {
      const id = await hub.start(waits, "in", { tags: { team: "blue" } });
      await hub.raise(id, "go", "out");
      await hub.output(id);
    });
    for (const fetchInputsAndOutputs of [false, true]) {
      for await (const state of hub.client.getAllInstances({ fetchInputsAndOutputs })) {
        const expected = fetchInputsAndOutputs ? ['"in"', '"out"'] : [undefined, undefined];
        assert.deepEqual([state.serializedInput, state.serializedOutput], expected);
        assert.deepEqual([state.name, state.tags], ["waits", { team: "blue" }]);
      }
    }
  },

  async idsOfWhatHasEnded(hub) {
    const ended = [];
    for (let i = 0; i < 7; i++) ended.push(await hub.start(waits, null, { instanceId: `ended-${i}` }));
    await hub.start(waits, null, { instanceId: "lives" });
    for (const id of ended) await hub.client.terminateOrchestration(id);
    const found = [];
    let page = await hub.client.listInstanceIds({ pageSize: 3 });
    found.push(...page.values);
    while (page.hasMoreResults) {
      page = await hub.client.listInstanceIds({ pageSize: 3, lastInstanceKey: page.continuationToken });
      found.push(...page.values);
    }
    assert.deepEqual(found, ended);
    const none = await hub.client.listInstanceIds({ runtimeStatus: [Status.COMPLETED] });
    assert.deepEqual([...none.values], []);
    const future = await hub.client.listInstanceIds({ completedTimeFrom: new Date(Date.now() + 3_600_000) });
    assert.deepEqual([...future.values], []);
  },

  async purgeByFilter(hub) {
    const fails = async function* fails() {
      throw new Error("no");
    };
    const { client } = hub;
    const purge = async (statuses) => {
      const criteria = new PurgeInstanceCriteria();
      criteria.setCreatedTimeFrom(new Date(0));
      criteria.setRuntimeStatusList(statuses);
      return (await client.purgeOrchestration(criteria)).deletedInstanceCount;
    };
    await hub.withWorker([waits, fails], [], async () => {
      const ids = [];
      for (let i = 0; i < 3; i++) {
        const completed = await hub.start(waits);
        await hub.raise(completed, "go");
        const terminated = await hub.start(waits);
        await client.terminateOrchestration(terminated);
        ids.push(completed, terminated, await hub.start(fails));
      }
      const live = await hub.start(waits);
      for (const id of ids) await hub.ended(id);
      assert.equal(await purge([Status.FAILED]), 3);
      assert.equal(await purge([Status.COMPLETED, Status.TERMINATED]), 6);
      assert.equal(await purge([]), 0);
      assert.equal((await client.purgeOrchestration(live)).deletedInstanceCount, 0);
      assert.ok(await hub.state(live));
    });
  },
};
