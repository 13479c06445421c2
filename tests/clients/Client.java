// Java's driver (MariaDB Connector/J): speaks the line protocol of tests/clients/main.rs on standard input and output.

import java.io.*;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;

public final class Client {
    private static final class Absent extends RuntimeException {
        Absent(String why) { super(why); }
    }

    private final Map<String, Connection> connections = new HashMap<>();
    private final StringBuilder out = new StringBuilder();

    private void say(Object... fields) {
        StringJoiner line = new StringJoiner("\t");
        for (Object field : fields) line.add(String.valueOf(field));
        out.append(line).append('\n');
    }

    private static String escaped(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }

    private static String unescaped(String text) {
        StringBuilder out = new StringBuilder();
        for (int at = 0; at < text.length(); at++) {
            char character = text.charAt(at);
            if (character == '\\' && at + 1 < text.length()) {
                character = text.charAt(++at);
                character = character == 't' ? '\t' : character == 'n' ? '\n' : character == 'r' ? '\r' : character;
            }
            out.append(character);
        }
        return out.toString();
    }

    /** A value as every client's is shown: see checks.txt. */
    private static String shown(ResultSet rows, int column) throws SQLException {
        int type = rows.getMetaData().getColumnType(column);
        switch (type) {
            case Types.BINARY: case Types.VARBINARY: case Types.LONGVARBINARY: case Types.BLOB:
                byte[] bytes = rows.getBytes(column);
                return bytes == null ? "\\N" : "0x" + HexFormat.of().formatHex(bytes);
            case Types.DECIMAL: case Types.NUMERIC:
                BigDecimal decimal = rows.getBigDecimal(column);
                return decimal == null ? "\\N" : decimal.toPlainString();
            case Types.TIMESTAMP:
                // Without a calendar in between, which would move days before 1582.
                String moment = rows.getString(column);
                return moment == null ? "\\N" : moment.replaceFirst("\\.0+$", "");
            case Types.BIT: case Types.BOOLEAN:
                boolean truth = rows.getBoolean(column);
                return rows.wasNull() ? "\\N" : truth ? "1" : "0";
            default:
                String text = rows.getString(column);
                return text == null ? "\\N" : escaped(text);
        }
    }

    private static void bind(PreparedStatement statement, int at, String text) throws SQLException {
        String value = text.substring(2);
        switch (text.charAt(0)) {
            case 'i' -> statement.setLong(at, Long.parseLong(value));
            case 'd' -> statement.setDouble(at, Double.parseDouble(value));
            case 's' -> statement.setString(at, unescaped(value));
            case 'x' -> statement.setBytes(at, HexFormat.of().parseHex(value));
            default -> statement.setNull(at, Types.NULL);
        }
    }

    private void answer(Statement statement, boolean rows) throws SQLException {
        while (true) {
            if (rows) {
                try (ResultSet result = statement.getResultSet()) {
                    int count = result.getMetaData().getColumnCount();
                    List<Object> fields = new ArrayList<>(List.of("columns"));
                    for (int column = 1; column <= count; column++) fields.add(escaped(result.getMetaData().getColumnLabel(column)));
                    say(fields.toArray());
                    while (result.next()) {
                        fields = new ArrayList<>(List.of("row"));
                        for (int column = 1; column <= count; column++) fields.add(shown(result, column));
                        say(fields.toArray());
                    }
                }
            } else {
                long changed = statement.getLargeUpdateCount();
                if (changed < 0) return;
                String id = "-";
                try (ResultSet keys = statement.getGeneratedKeys()) {
                    if (keys.next()) id = keys.getString(1);
                } catch (SQLException none) {
                    id = "-";
                }
                say("done", changed, id);
            }
            rows = statement.getMoreResults();
            if (!rows && statement.getUpdateCount() == -1) return;
        }
    }

    private Connection connect(List<String> fields) throws SQLException {
        Set<String> words = Set.of(fields.get(5).trim().isEmpty() ? new String[0] : fields.get(5).trim().split(" "));
        Properties options = new Properties();
        options.setProperty("user", fields.get(2));
        options.setProperty("password", fields.get(3));
        options.setProperty("useAffectedRows", String.valueOf(!words.contains("found")));
        options.setProperty("allowMultiQueries", String.valueOf(words.contains("multi")));
        options.setProperty("allowLocalInfile", String.valueOf(words.contains("local")));
        options.setProperty("useCompression", String.valueOf(words.contains("compress")));
        options.setProperty("useServerPrepStmts", "true");
        options.setProperty("yearIsDateType", "false");
        options.setProperty("tinyInt1isBit", "false");
        options.setProperty("useSsl", String.valueOf(words.contains("tls")));
        options.setProperty("trustServerCertificate", "true");
        options.setProperty("allowPublicKeyRetrieval", "true");
        return DriverManager.getConnection("jdbc:mariadb://" + fields.get(0) + ":" + fields.get(1) + "/" + fields.get(4), options);
    }

    private void run(String operation, String name, List<String> fields) throws SQLException {
        if (operation.equals("connect")) {
            connections.put(name, connect(fields));
            say("ok");
            return;
        }
        Connection connection = connections.get(name);
        switch (operation) {
            case "query" -> {
                try (Statement statement = connection.createStatement()) {
                    answer(statement, statement.execute(unescaped(fields.get(0)), Statement.RETURN_GENERATED_KEYS));
                }
            }
            case "execute" -> {
                try (PreparedStatement statement = connection.prepareStatement(unescaped(fields.get(0)), Statement.RETURN_GENERATED_KEYS)) {
                    for (int at = 1; at < fields.size(); at++) bind(statement, at, fields.get(at));
                    answer(statement, statement.execute());
                }
            }
            case "blob" -> {
                byte[] sent = new byte[Integer.parseInt(fields.get(1))];
                for (int at = 0; at < sent.length; at++) sent[at] = (byte) at;
                try (PreparedStatement statement = connection.prepareStatement(fields.get(0))) {
                    statement.setBytes(1, sent);
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        byte[] got = rows.getBytes(1);
                        say("blob", Arrays.equals(got, sent) ? got.length : got.length + " other bytes");
                    }
                }
            }
            case "stream", "abandon" -> {
                int count = 0;
                try (Statement statement = connection.createStatement()) {
                    statement.setFetchSize(operation.equals("stream") ? 100 : 5);
                    ResultSet rows = statement.executeQuery(unescaped(fields.get(0)));
                    while (rows.next()) {
                        count++;
                        if (operation.equals("abandon") && count == 10) {
                            connection.abort(Runnable::run);
                            say("ok");
                            return;
                        }
                    }
                }
                say("count", count);
            }
            case "ping" -> {
                if (!connection.isValid(10)) throw new SQLException("no answer");
                say("ok");
            }
            case "close" -> {
                connections.remove(name).close();
                say("ok");
            }
            default -> throw new Absent(operation);
        }
    }

    private void serve() throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            List<String> fields = Arrays.asList(line.split("\t", -1));
            out.setLength(0);
            try {
                run(fields.get(0), fields.get(1), fields.subList(2, fields.size()));
            } catch (Absent absent) {
                say("absent", absent.getMessage());
            } catch (SQLException error) {
                say("error", error.getErrorCode(), Objects.requireNonNullElse(error.getSQLState(), "-"), escaped(String.valueOf(error.getMessage())));
            } catch (RuntimeException error) {
                say("error", 0, "-", escaped(error.toString()));
            }
            answers.print(out.append("end\n"));
            answers.flush();
        }
    }

    public static void main(String[] arguments) throws IOException {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        new Client().serve();
    }
}
