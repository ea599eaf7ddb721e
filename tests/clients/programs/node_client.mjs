// @clickhouse/client with its defaults.
import { createClient } from "@clickhouse/client";

const SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1";
const client = createClient({ url: process.env.SERVER, database: "evometrics" });
const packed = createClient({
  url: process.env.SERVER,
  database: "evometrics",
  compression: { request: true, response: true },
});

async function step(name, run) {
  try {
    console.log(`ok\t${name}\t${(await run()) ?? ""}`);
  } catch (error) {
    console.log(`failed\t${name}\t${String(error).split("\n")[0]}`);
    console.error(error);
  }
}

const rows = async (query, query_params, of = client) =>
  (await of.query({ query, query_params, format: "JSONEachRow" })).json();

await step("columns", async () => {
  const tables = process.env.TABLES.split(",");
  let columns = 0;
  for (const name of tables)
    for (const of of [client, packed]) {
      const found = await rows(`SELECT * FROM evometrics.\`${name}\``, undefined, of);
      if (of === client && found.length) columns += Object.keys(found[0]).length;
    }
  if (!columns) throw new Error("no rows");
  return `${tables.length} tables, ${columns} columns, plain and compressed`;
});
await step("prepared", async () => {
  const asked = "SELECT agent_id, count() AS n FROM evolution_metrics WHERE agent_id = {agent:String} GROUP BY agent_id";
  if ((await rows(asked, { agent: "it's agent-1" })).length !== 1) throw new Error("the agent was not found");
  const ids = Array.from({ length: 3000 }, (_, n) => `${n}`.padStart(36, "0"));
  const [{ n }] = await rows("SELECT length({ids:Array(String)}) AS n", { ids });
  if (Number(n) !== 3000) throw new Error(`${n} ids`);
  return "and 3000 ids in the URL";
});
await step("batch", async () => {
  await client.command({ query: "CREATE OR REPLACE TABLE clients.node (n UInt32, s String) ORDER BY n" });
  for (const of of [client, packed]) {
    const values = Array.from({ length: 2500 }, (_, n) => ({ n, s: `it's row ${n}` }));
    await of.insert({ table: "clients.node", values, format: "JSONEachRow" });
  }
  const [{ n }] = await rows("SELECT count() AS n FROM clients.node");
  if (Number(n) !== 5000) throw new Error(`${n} rows`);
  return "5000 rows";
});
await step("cancel", async () => {
  const began = Date.now();
  const query_id = `node-${began}`;
  const running = client.query({ query: SLOW, query_id }).then(
    () => new Error("it had a result"),
    () => undefined,
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await client.command({ query: `KILL QUERY WHERE query_id = '${query_id}'` });
  const error = await running;
  if (error) throw error;
  return `after ${(Date.now() - began) / 1000} s`;
});
await client.close();
await packed.close();
