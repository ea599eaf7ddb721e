// JDBC with the driver's defaults, as DBeaver, Metabase and Tableau use it.
import java.sql.Connection;
import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class Jdbc {
    interface Step {
        String run() throws Exception;
    }

    static final String SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1";

    public static void main(String[] args) throws Exception {
        String server = System.getenv("SERVER").replace("http://", "");
        String url = "jdbc:clickhouse://" + server + "/evometrics";
        try (Connection connection = connect(url)) {
            step("columns", () -> columns(connection));
            step("prepared", () -> prepared(connection));
            step("batch", () -> batch(connection));
            step("cancel", () -> cancel(connection));
        }
        System.exit(0);
    }

    /** jdbc-v2 0.10.0 by itself registers no driver; tools make one by its class's name. */
    static Connection connect(String url) throws Exception {
        try {
            return DriverManager.getConnection(url);
        } catch (SQLException none) {
            Driver driver = (Driver) Class.forName("com.clickhouse.jdbc.Driver").getConstructor().newInstance();
            return driver.connect(url, new Properties());
        }
    }

    static void step(String name, Step step) {
        try {
            System.out.println("ok\t" + name + "\t" + step.run());
        } catch (Throwable error) {
            System.out.println("failed\t" + name + "\t" + String.valueOf(error).split("\n")[0]);
            error.printStackTrace();
        }
    }

    static String columns(Connection connection) throws SQLException {
        List<String> names = new ArrayList<>();
        try (ResultSet tables = connection.getMetaData().getTables(null, "evometrics", "%", null)) {
            while (tables.next()) names.add(tables.getString("TABLE_NAME"));
        }
        List<String> wanted = List.of(System.getenv("TABLES").split(","));
        if (!names.containsAll(wanted)) throw new IllegalStateException("tables: " + names);
        names.retainAll(wanted);
        int columns = 0, rows = 0;
        for (String name : names) {
            try (Statement statement = connection.createStatement();
                    ResultSet found = statement.executeQuery("SELECT * FROM evometrics.`" + name + "`")) {
                int width = found.getMetaData().getColumnCount();
                columns += width;
                while (found.next()) {
                    rows++;
                    for (int i = 1; i <= width; i++) {
                        found.getObject(i);
                        found.getString(i);
                    }
                }
            }
        }
        if (rows == 0) throw new IllegalStateException("no rows");
        return names.size() + " tables, " + columns + " columns";
    }

    static String prepared(Connection connection) throws SQLException {
        String sql = "SELECT agent_id, count() FROM evolution_metrics WHERE agent_id = ? AND 1 = ? GROUP BY agent_id";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setString(1, "it's agent-1");
            statement.setInt(2, 1);
            try (ResultSet found = statement.executeQuery()) {
                if (!found.next() || !found.getString(1).equals("it's agent-1")) {
                    throw new IllegalStateException("the agent was not found");
                }
            }
        }
        return "";
    }

    static String batch(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE OR REPLACE TABLE clients.jdbc (n UInt32, s String, x Nullable(Float64)) ORDER BY n");
        }
        String sql = "INSERT INTO clients.jdbc (n, s, x) VALUES (?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int n = 0; n < 5000; n++) {
                statement.setInt(1, n);
                statement.setString(2, "it's \\ row " + n);
                statement.setObject(3, n % 2 == 0 ? null : n / 2.0);
                statement.addBatch();
            }
            statement.executeBatch();
        }
        try (Statement statement = connection.createStatement();
                ResultSet found = statement.executeQuery("SELECT count(), sum(n), countIf(x IS NULL) FROM clients.jdbc")) {
            found.next();
            if (found.getLong(1) != 5000 || found.getLong(2) != 12497500 || found.getLong(3) != 2500) {
                throw new IllegalStateException("rows: " + found.getLong(1));
            }
        }
        return "5000 rows";
    }

    static String cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread stopper = new Thread(() -> {
                try {
                    Thread.sleep(1000);
                    statement.cancel();
                } catch (Exception error) {
                    error.printStackTrace();
                }
            });
            stopper.start();
            long began = System.nanoTime();
            try (ResultSet found = statement.executeQuery(SLOW)) {
                throw new IllegalStateException("it had a result");
            } catch (SQLException error) {
                stopper.join();
                return String.format("after %.1f s", (System.nanoTime() - began) / 1e9);
            }
        }
    }
}
