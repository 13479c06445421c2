<?php
// PHP's clients: `client.php mysqli|PDO` speaks the line protocol of tests/clients/main.rs on standard input and output.

declare(strict_types=1);
error_reporting(E_ALL & ~E_WARNING & ~E_DEPRECATED);
ini_set('memory_limit', '1G');
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

final class Absent extends Exception {}

function escaped(string $text): string { return strtr($text, ["\\" => "\\\\", "\t" => "\\t", "\n" => "\\n", "\r" => "\\r"]); }

function unescaped(string $text): string {
    return preg_replace_callback('/\\\\(.)/u', fn ($m) => ['t' => "\t", 'n' => "\n", 'r' => "\r"][$m[1]] ?? $m[1], $text);
}

/** A value as every client's is shown: see checks.txt. PHP does not tell bytes from text. */
function shown(mixed $value): string {
    if ($value === null) { return '\\N'; }
    if (is_float($value)) { return json_encode($value); }
    $text = (string) $value;
    return preg_match('//u', $text) ? escaped($text) : '0x' . bin2hex($text);
}

function parameter(string $text): mixed {
    $value = (string) substr($text, 2);
    return match ($text[0]) { 'i' => (int) $value, 'd' => (float) $value, 's' => unescaped($value), 'x' => hex2bin($value), default => null };
}

$out = [];
function say(string|int ...$fields): void { global $out; $out[] = implode("\t", $fields); }
function columns(array $names): void { say('columns', ...array_map('escaped', $names)); }
function row(array $values): void { say('row', ...array_map('shown', $values)); }

final class WithMysqli {
    public function connect(string $host, int $port, string $user, string $password, string $database, array $words): mysqli {
        $connection = mysqli_init();
        $flags = (in_array('found', $words) ? MYSQLI_CLIENT_FOUND_ROWS : 0) | (in_array('compress', $words) ? MYSQLI_CLIENT_COMPRESS : 0);
        if (in_array('tls', $words)) { $flags |= MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT; }
        $connection->options(MYSQLI_OPT_LOCAL_INFILE, in_array('local', $words) ? 1 : 0);
        $connection->real_connect($host, $user, $password, $database, $port, null, $flags);
        $connection->set_charset('utf8mb4');
        $connection->multi = in_array('multi', $words);
        return $connection;
    }
    private function result(mysqli $connection, mysqli_result|bool $result): void {
        if ($result instanceof mysqli_result) {
            columns(array_map(fn ($f) => $f->name, $result->fetch_fields()));
            while ($values = $result->fetch_row()) { row($values); }
            $result->free();
        } else {
            say('done', $connection->affected_rows, $connection->insert_id ?: '-');
        }
    }
    public function query(mysqli $connection, string $sql): void {
        if (!$connection->multi) { $this->result($connection, $connection->query($sql)); return; }
        $connection->multi_query($sql);
        do {
            $this->result($connection, $connection->field_count ? $connection->store_result() : true);
        } while ($connection->more_results() && $connection->next_result());
    }
    public function execute(mysqli $connection, string $sql, array $parameters): void {
        $statement = $connection->prepare($sql);
        if ($parameters) {
            $types = implode('', array_map(fn ($p) => is_int($p) ? 'i' : (is_float($p) ? 'd' : 's'), $parameters));
            $statement->bind_param($types, ...$parameters);
        }
        $statement->execute();
        $result = $statement->get_result();
        if ($result) { $this->result($connection, $result); } else { say('done', $statement->affected_rows, $statement->insert_id ?: '-'); }
        $statement->close();
    }
    public function blob(mysqli $connection, string $sql, string $sent): mixed {
        $statement = $connection->prepare($sql);
        $nothing = null;
        $statement->bind_param('b', $nothing);
        foreach (str_split($sent, 1 << 20) as $part) { $statement->send_long_data(0, $part); }
        $statement->execute();
        return $statement->get_result()->fetch_row()[0];
    }
    public function stream(mysqli $connection, string $sql): Generator {
        $result = $connection->query($sql, MYSQLI_USE_RESULT);
        while ($values = $result->fetch_row()) { yield $values; }
    }
    public function ping(mysqli $connection): void { $connection->query('DO 0'); $connection->stat(); }
    public function reset(mysqli $connection): void { throw new Absent('no COM_RESET_CONNECTION'); }
    public function user(mysqli $connection, array $fields): void { $connection->change_user(...$fields); }
    public function close(mysqli $connection): void { $connection->close(); }
    public function code(Throwable $error): array { return $error instanceof mysqli_sql_exception ? [$error->getCode(), $error->getSqlState()] : [0, '-']; }
}

final class WithPdo {
    public function connect(string $host, int $port, string $user, string $password, string $database, array $words): PDO {
        $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => in_array('multi', $words), PDO::MYSQL_ATTR_MULTI_STATEMENTS => in_array('multi', $words)];
        $options[PDO::MYSQL_ATTR_FOUND_ROWS] = in_array('found', $words);
        $options[PDO::MYSQL_ATTR_COMPRESS] = in_array('compress', $words);
        $options[PDO::MYSQL_ATTR_LOCAL_INFILE] = in_array('local', $words);
        if (in_array('tls', $words)) { $options += [PDO::MYSQL_ATTR_SSL_CA => '', PDO::MYSQL_ATTR_SSL_CIPHER => 'DEFAULT', PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false]; }
        return new PDO("mysql:host=$host;port=$port;dbname=$database;charset=utf8mb4", $user, $password, $options);
    }
    private function result(PDO $connection, PDOStatement $statement): void {
        if ($statement->columnCount() > 0) {
            columns(array_map(fn ($i) => $statement->getColumnMeta($i)['name'], range(0, $statement->columnCount() - 1)));
            while ($values = $statement->fetch(PDO::FETCH_NUM)) { row($values); }
        } else {
            say('done', $statement->rowCount(), $connection->lastInsertId() ?: '-');
        }
    }
    public function query(PDO $connection, string $sql): void {
        $statement = $connection->query($sql);
        do { $this->result($connection, $statement); } while ($statement->nextRowset());
    }
    public function execute(PDO $connection, string $sql, array $parameters): void {
        $statement = $connection->prepare($sql);
        foreach ($parameters as $at => $value) {
            $statement->bindValue($at + 1, $value, is_int($value) ? PDO::PARAM_INT : ($value === null ? PDO::PARAM_NULL : PDO::PARAM_STR));
        }
        $statement->execute();
        $this->result($connection, $statement);
    }
    public function blob(PDO $connection, string $sql, string $sent): mixed {
        $statement = $connection->prepare($sql);
        $statement->bindValue(1, $sent, PDO::PARAM_LOB);
        $statement->execute();
        return $statement->fetch(PDO::FETCH_NUM)[0];
    }
    public function stream(PDO $connection, string $sql): Generator {
        $connection->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
        $statement = $connection->query($sql);
        while ($values = $statement->fetch(PDO::FETCH_NUM)) { yield $values; }
        $statement->closeCursor();
        $connection->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
    }
    public function ping(PDO $connection): void { $connection->getAttribute(PDO::ATTR_SERVER_INFO); }
    public function reset(PDO $connection): void { throw new Absent('no COM_RESET_CONNECTION'); }
    public function close(PDO $connection): void {}
    public function code(Throwable $error): array {
        $info = $error instanceof PDOException ? $error->errorInfo : null;
        return [$info[1] ?? $error->getCode(), $info[0] ?? '-'];
    }
}

$client = $argv[1] === 'PDO' ? new WithPdo() : new WithMysqli();
$connections = [];
while (($line = fgets(STDIN)) !== false) {
    $fields = explode("\t", rtrim($line, "\n"));
    [$operation, $name] = array_splice($fields, 0, 2);
    $out = [];
    try {
        if ($operation === 'connect') {
            [$host, $port, $user, $password, $database, $words] = $fields;
            $connections[$name] = $client->connect($host, (int) $port, $user, $password, $database, explode(' ', $words));
            say('ok');
        } elseif ($operation === 'query') {
            $client->query($connections[$name], unescaped($fields[0]));
        } elseif ($operation === 'execute') {
            $client->execute($connections[$name], unescaped($fields[0]), array_map('parameter', array_slice($fields, 1)));
        } elseif ($operation === 'blob') {
            $sent = substr(str_repeat(implode('', array_map('chr', range(0, 255))), intdiv((int) $fields[1], 256) + 1), 0, (int) $fields[1]);
            $got = $client->blob($connections[$name], unescaped($fields[0]), $sent);
            say('blob', $got === $sent ? strlen($got) : strlen((string) $got) . ' other bytes');
        } elseif ($operation === 'stream' || $operation === 'abandon') {
            $count = 0;
            foreach ($client->stream($connections[$name], unescaped($fields[0])) as $_) {
                if (++$count === 10 && $operation === 'abandon') { unset($connections[$name]); break; }
            }
            $operation === 'stream' ? say('count', $count) : say('ok');
        } elseif ($operation === 'ping' || $operation === 'reset') {
            $client->$operation($connections[$name]);
            say('ok');
        } elseif ($operation === 'close') {
            $client->close($connections[$name]);
            unset($connections[$name]);
            say('ok');
        } else {
            throw new Absent($operation);
        }
    } catch (Absent $absent) {
        say('absent', $absent->getMessage());
    } catch (Throwable $error) {
        say('error', ...$client->code($error), ...[escaped($error->getMessage())]);
    }
    echo implode("\n", $out), ($out ? "\n" : ''), "end\n";
}
