import java.sql.*;
import java.util.*;

/** What JDBC's DatabaseMetaData says of one database, a line for each row, sorted: `java Metadata URL DATABASE`. */
public class Metadata {
    private static final Set<String> LINES = new TreeSet<>();

    /** The columns that do not tell one server from another. */
    private static void print(String what, ResultSet rows, String... columns) throws SQLException {
        while (rows.next()) {
            StringBuilder line = new StringBuilder(what);
            for (String column : columns) {
                line.append(' ').append(column).append('=').append(rows.getString(column));
            }
            LINES.add(line.toString());
        }
        rows.close();
    }

    public static void main(String[] arguments) throws Exception {
        String database = arguments[1];
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            DatabaseMetaData data = connection.getMetaData();
            print("table", data.getTables(database, null, "%", new String[] {"TABLE", "VIEW"}), "TABLE_CAT", "TABLE_NAME", "TABLE_TYPE", "REMARKS");
            print("column", data.getColumns(database, null, "%", "%"), "TABLE_NAME", "COLUMN_NAME", "DATA_TYPE", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "ORDINAL_POSITION", "IS_AUTOINCREMENT", "IS_GENERATEDCOLUMN");
            for (String table : new String[] {"parent", "child"}) {
                print("key", data.getPrimaryKeys(database, null, table), "TABLE_NAME", "COLUMN_NAME", "KEY_SEQ", "PK_NAME");
                print("imported", data.getImportedKeys(database, null, table), "PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "KEY_SEQ", "UPDATE_RULE", "DELETE_RULE", "FK_NAME");
                print("exported", data.getExportedKeys(database, null, table), "PKTABLE_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "FK_NAME");
                print("index", data.getIndexInfo(database, null, table, false, true), "TABLE_NAME", "NON_UNIQUE", "INDEX_NAME", "ORDINAL_POSITION", "COLUMN_NAME");
                print("best", data.getBestRowIdentifier(database, null, table, DatabaseMetaData.bestRowSession, true), "COLUMN_NAME", "DATA_TYPE");
            }
            print("routine", data.getProcedures(database, null, "%"), "PROCEDURE_NAME", "REMARKS", "PROCEDURE_TYPE");
            print("parameter", data.getProcedureColumns(database, null, "%", "%"), "PROCEDURE_NAME", "COLUMN_NAME", "COLUMN_TYPE", "DATA_TYPE", "ORDINAL_POSITION");
            print("function", data.getFunctions(database, null, "%"), "FUNCTION_NAME", "REMARKS");
            print("privilege", data.getTablePrivileges(database, null, "parent"), "TABLE_NAME");
            Set<String> catalogs = new TreeSet<>();
            ResultSet rows = data.getCatalogs();
            while (rows.next()) {
                catalogs.add(rows.getString(1));
            }
            LINES.add("in catalogs: " + catalogs.contains(database));
            LINES.add("batches, transactions, generated keys: " + data.supportsBatchUpdates() + data.supportsTransactions() + data.supportsGetGeneratedKeys());
        }
        System.out.println(String.join("\n", LINES));
    }
}
