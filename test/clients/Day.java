import java.sql.*;
import java.util.*;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** A day with JDBC; java Day.java runs it. */
public class Day {
    static Connection connection;

    static void ok(boolean seen, String name, Object what) {
        System.out.println((seen ? "ok" : "not ok") + " - " + name);
        if (!seen)
            System.out.println("# " + what);
    }

    static void same(Object seen, Object expected, String name) {
        ok(Objects.equals(seen, expected), name, seen + ", expected " + expected);
    }

    static void execute(String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++)
                statement.setObject(i + 1, values[i]);
            statement.execute();
        }
    }

    static String status(String table, String email) throws SQLException {
        String sql = "SELECT marketing_contact_status, marketing_contact_until_next_update FROM " + table + " WHERE email = ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setString(1, email + "@example.com");
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                return result.getString(1) + (result.getBoolean(2) ? ", flagged" : "");
            }
        }
    }

    /** The source of this transaction. */
    static void setSource(String type, String name) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT set_config('contacts_tier.source_type', ?, true), set_config('contacts_tier.source_name', ?, true)")) {
            statement.setString(1, type);
            statement.setString(2, name);
            statement.execute();
        }
    }

    static void create() throws SQLException {
        connection.setAutoCommit(false);
        setSource("FORM", "signup");
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO contacts (account_id, email, marketing_contact_status) VALUES (?, ?, ?) "
                + "RETURNING marketing_contact_status_source_type")) {
            statement.setLong(1, 1);
            statement.setString(2, "ada@example.com");
            statement.setString(3, "marketing");
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                same(result.getString(1), "FORM", "create: RETURNING has the source of SET LOCAL");
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void bulkCreate() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO contacts (account_id, email, marketing_contact_status, "
                + "marketing_contact_status_source_type, marketing_contact_status_source_name) VALUES (1, ?, ?, ?, ?)")) {
            for (int n = 1; n <= 6; n++) {
                statement.setString(1, "b" + n + "@example.com");
                statement.setString(2, n <= 3 ? "marketing" : null);
                statement.setString(3, "IMPORT");
                statement.setString(4, "list.csv");
                statement.addBatch();
            }
            same(statement.executeBatch().length, 6, "bulk create: a batch");
        }
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT count(*) FROM contacts WHERE marketing_contact_status = ?::contacts_tier.marketing_status")) {
            statement.setString(1, "non_marketing");
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                same(result.getInt(1), 4, "a condition on the status, with a cast");
            }
        }
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT count(*) FROM contacts WHERE marketing_contact_status = ?")) {
            statement.setObject(1, "non_marketing", Types.OTHER);
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                same(result.getInt(1), 4, "a condition on the status, with Types.OTHER");
            }
        }
        same(status("contacts", "b4"), "non_marketing", "bulk create: null is the default of the source type");
    }

    static void upsert() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO contacts (account_id, email, name, marketing_contact_status, "
                + "marketing_contact_status_source_type, marketing_contact_status_source_name) "
                + "VALUES (1, ?, 'upserted', ?, 'IMPORT', 'again.csv') ON CONFLICT (account_id, email) DO UPDATE SET "
                + "name = EXCLUDED.name, marketing_contact_status = EXCLUDED.marketing_contact_status, "
                + "marketing_contact_status_source_type = EXCLUDED.marketing_contact_status_source_type, "
                + "marketing_contact_status_source_name = EXCLUDED.marketing_contact_status_source_name")) {
            for (String email : List.of("b4", "b5", "c1")) {
                statement.setString(1, email + "@example.com");
                statement.setString(2, email.equals("b4") ? "marketing" : null);
                statement.addBatch();
            }
            statement.executeBatch();
        }
        same(status("contacts", "b4"), "marketing", "upsert: with a status");
        same(status("contacts", "b5"), "non_marketing", "upsert: without a status");
    }

    static void update() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "UPDATE contacts SET marketing_contact_status = ? WHERE email = ?")) {
            statement.setString(1, "marketing");
            statement.setString(2, "b5@example.com");
            same(statement.executeUpdate(), 1, "update with setString()");
        }
    }

    /** Write all columns of a row, as a mapper does. */
    static void save(String table, Map<String, Object> row) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "UPDATE " + table + " SET account_id = ?, email = ?, name = ?, marketing_contact_status = ?, "
                + "marketing_contact_until_next_update = ?, marketing_contact_status_source_type = ?, "
                + "marketing_contact_status_source_name = ?, marketing_contact_status_updated_at = ? WHERE id = ?")) {
            statement.setObject(1, row.get("account_id"));
            statement.setString(2, (String) row.get("email"));
            statement.setString(3, (String) row.get("name"));
            statement.setString(4, (String) row.get("marketing_contact_status"));
            statement.setObject(5, row.get("marketing_contact_until_next_update"), Types.BOOLEAN);
            statement.setString(6, (String) row.get("marketing_contact_status_source_type"));
            statement.setString(7, (String) row.get("marketing_contact_status_source_name"));
            statement.setTimestamp(8, (Timestamp) row.get("marketing_contact_status_updated_at"));
            statement.setObject(9, row.get("id"));
            statement.executeUpdate();
        }
    }

    static List<Map<String, Object>> rows(String table) throws SQLException {
        List<Map<String, Object>> rows = new ArrayList<>();
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("SELECT * FROM " + table + " WHERE account_id = 3 ORDER BY id")) {
            ResultSetMetaData columns = result.getMetaData();
            while (result.next()) {
                Map<String, Object> row = new LinkedHashMap<>();
                for (int i = 1; i <= columns.getColumnCount(); i++)
                    row.put(columns.getColumnName(i), result.getObject(i));
                rows.add(row);
            }
        }
        return rows;
    }

    static void saveRows(String table) throws SQLException {
        List<Map<String, Object>> rows = rows(table);
        for (Map<String, Object> row : rows) {
            row.put("name", "typo");
            save(table, row);
        }
        same(rows(table), rows, "save: only names change in " + table);
        rows.get(2).put("marketing_contact_status", "marketing");
        connection.setAutoCommit(false);
        setSource("WORKFLOW", "welcome");
        save(table, rows.get(2));
        connection.commit();
        connection.setAutoCommit(true);
        same(status(table, "plain"), "marketing", "save: promotes in " + table);
    }

    static void bulkUpdate() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "UPDATE contacts SET marketing_contact_status = CASE WHEN email = ? THEN ? ELSE ? END WHERE email = ANY (?)")) {
            statement.setString(1, "b6@example.com");
            statement.setString(2, "marketing");
            statement.setString(3, "non_marketing");
            statement.setArray(4, connection.createArrayOf("text",
                    new String[] {"b1@example.com", "b2@example.com", "b6@example.com"}));
            same(statement.executeUpdate(), 3, "bulk update with CASE");
        }
        same(status("contacts", "b1"), "marketing, flagged", "bulk update: flagged");
        execute("UPDATE contacts SET marketing_contact_status = ? WHERE email = ?", "marketing", "b2@example.com");
        same(status("contacts", "b2"), "marketing", "back to marketing");
    }

    static void transaction() throws SQLException {
        connection.setAutoCommit(false);
        setSource("WORKFLOW", "welcome");
        execute("UPDATE contacts SET marketing_contact_status = ? WHERE email = ?", "marketing", "c1@example.com");
        Savepoint savepoint = connection.setSavepoint();
        try {
            execute("INSERT INTO contacts (account_id, email, marketing_contact_status) "
                    + "SELECT 1, 'd' || n || '@example.com', 'marketing' FROM generate_series(1, 10) AS n");
            ok(false, "MC001", "not refused");
        } catch (PSQLException e) {
            ServerErrorMessage fields = e.getServerErrorMessage();
            same(List.of(e.getSQLState(), fields.getSchema(), fields.getTable(), fields.getConstraint(),
                         fields.getDetail()),
                 List.of("MC001", "public", "contacts", "contact_tier",
                         "The account has 7 of 10 marketing contacts; the statement adds 10, but there is room for 3."),
                 "MC001 and its fields");
            connection.rollback(savepoint);
        }
        connection.commit();
        connection.setAutoCommit(true);
        same(status("contacts", "c1"), "marketing", "what was before the savepoint stays");
    }

    static void cap() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(
                "INSERT INTO contacts (account_id, email, marketing_contact_status) "
                + "SELECT 2, 'e' || n || '@example.com', ? FROM generate_series(1, 7) AS n")) {
            statement.setString(1, "marketing");
            statement.executeUpdate();
            SQLWarning warning = statement.getWarnings();
            ok(warning != null && warning.getMessage().startsWith("2 contacts of account \"2\" were stored as "),
               "cap: a warning", warning);
        }
    }

    public static void main(String[] arguments) throws SQLException {
        connection = DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
                + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), System.getenv("PGUSER"), null);
        create();
        bulkCreate();
        upsert();
        update();
        saveRows("contacts");
        saveRows("leads");
        bulkUpdate();
        execute("DELETE FROM contacts WHERE email = ?", "b3@example.com");
        transaction();
        cap();
        connection.close();
        System.out.println("done");
    }
}
