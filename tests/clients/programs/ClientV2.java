// The Java client of ClickHouse (client-v2) with its defaults.
import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.insert.InsertResponse;
import com.clickhouse.client.api.query.GenericRecord;
import com.clickhouse.client.api.query.QuerySettings;
import com.clickhouse.data.ClickHouseFormat;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

public class ClientV2 {
    interface Step {
        String run() throws Exception;
    }

    static final String SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1";

    public static void main(String[] args) throws Exception {
        try (Client client = new Client.Builder()
                .addEndpoint(System.getenv("SERVER"))
                .setUsername("default")
                .setPassword("")
                .setDefaultDatabase("evometrics")
                .build()) {
            step("columns", () -> columns(client));
            step("prepared", () -> prepared(client));
            step("batch", () -> batch(client));
            step("cancel", () -> cancel(client));
        }
        System.exit(0);
    }

    static void step(String name, Step step) {
        try {
            System.out.println("ok\t" + name + "\t" + step.run());
        } catch (Throwable error) {
            System.out.println("failed\t" + name + "\t" + String.valueOf(error).split("\n")[0]);
            error.printStackTrace();
        }
    }

    static String columns(Client client) throws Exception {
        int columns = 0, rows = 0, tables = 0;
        for (String table : System.getenv("TABLES").split(",")) {
            List<GenericRecord> found = client.queryAll("SELECT * FROM evometrics.`" + table + "`");
            tables++;
            rows += found.size();
            for (GenericRecord row : found) columns = Math.max(columns, row.getValues().size());
        }
        if (rows == 0) throw new IllegalStateException("no rows");
        return tables + " tables, up to " + columns + " columns";
    }

    static String prepared(Client client) throws Exception {
        List<GenericRecord> found = client.queryAll(
                "SELECT agent_id, count() AS n FROM evolution_metrics WHERE agent_id = {agent:String} GROUP BY agent_id",
                Map.of("agent", "it's agent-1"));
        if (found.size() != 1) throw new IllegalStateException("the agent was not found");
        return "";
    }

    static String batch(Client client) throws Exception {
        client.execute("CREATE OR REPLACE TABLE clients.client_v2 (n UInt32, s String) ORDER BY n").get();
        StringBuilder rows = new StringBuilder();
        for (int n = 0; n < 5000; n++) rows.append(n).append("\trow ").append(n).append('\n');
        byte[] body = rows.toString().getBytes(StandardCharsets.UTF_8);
        try (InsertResponse done = client.insert(
                "clients.client_v2", new ByteArrayInputStream(body), ClickHouseFormat.TabSeparated)
                .get(30, TimeUnit.SECONDS)) {
            if (done.getWrittenRows() != 5000) throw new IllegalStateException("rows: " + done.getWrittenRows());
        }
        long sum = client.queryAll("SELECT sum(n) AS s FROM clients.client_v2").get(0).getLong("s");
        if (sum != 12497500) throw new IllegalStateException("sum: " + sum);
        return "5000 rows";
    }

    static String cancel(Client client) throws Exception {
        String id = "client-v2-" + System.nanoTime();
        long began = System.nanoTime();
        var running = java.util.concurrent.CompletableFuture.runAsync(() -> {
            try {
                client.query(SLOW, new QuerySettings().setQueryId(id)).get();
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        });
        Thread.sleep(1000);
        client.execute("KILL QUERY WHERE query_id = '" + id + "'").get();
        try {
            running.get(20, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException error) {
            return String.format("after %.1f s", (System.nanoTime() - began) / 1e9);
        }
        throw new IllegalStateException("it had a result");
    }
}
