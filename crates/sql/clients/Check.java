import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What PostgreSQL's JDBC driver does with a server: {@code java -cp DRIVER.jar Check.java HOST:PORT}. */
public class Check {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", "tester");
        properties.setProperty("password", "secret of the tester");
        properties.setProperty("sslmode", "require");
        try (Connection connection = DriverManager.getConnection("jdbc:postgresql://" + arguments[0] + "/dayfold", properties)) {
            metadata(connection.getMetaData());
            prepared(connection);
            batches(connection);
            refused(connection);
        }
        System.out.println("JDBC: metadata, prepared statements, batches of rows, errors");
    }

    static void metadata(DatabaseMetaData metadata) throws SQLException {
        List<String> tables = new ArrayList<>();
        try (ResultSet rows = metadata.getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (rows.next()) tables.add(rows.getString("TABLE_NAME"));
        }
        expect(tables.containsAll(List.of("by_carrier", "by_route", "hourly")), tables);
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = metadata.getColumns(null, "public", "by_route", "%")) {
            while (rows.next()) columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
        }
        expect(columns.subList(0, 5).equals(List.of("day date", "origin text", "dest text", "carrier text", "flights int8")), columns);
    }

    static void prepared(Connection connection) throws SQLException {
        String text = "SELECT carrier, sum(flights), sum(delay_sum) FROM by_carrier WHERE day = ? AND carrier = ? GROUP BY carrier";
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            // From the fifth time on, the driver asks for binary values.
            for (int time = 0; time < 8; time++) {
                statement.setDate(1, Date.valueOf("2013-02-09"));
                statement.setString(2, "UA");
                try (ResultSet row = statement.executeQuery()) {
                    expect(row.next() && row.getString(1).equals("UA"), "a row");
                    expect(row.getLong(2) == 43 && row.getBigDecimal(3).compareTo(new BigDecimal(974)) == 0, row.getBigDecimal(3));
                    expect(!row.next(), "one row");
                }
            }
        }
    }

    static void batches(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(100);
            long flights = 0;
            try (ResultSet rows = statement.executeQuery("SELECT flights FROM by_carrier")) {
                while (rows.next()) flights += rows.getLong(1);
            }
            expect(flights == 328_521, flights);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void refused(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("DELETE FROM by_carrier");
            throw new AssertionError("it was let through");
        } catch (SQLException error) {
            expect("25006".equals(error.getSQLState()), error);
        }
    }

    static void expect(boolean is, Object found) {
        if (!is) throw new AssertionError("found " + found);
    }
}
