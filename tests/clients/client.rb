# Ruby's mysql2: speaks the line protocol of tests/clients/main.rs on standard input and output.
# The library warns of what its own build lacks.
$VERBOSE = nil
require 'mysql2'
require 'bigdecimal'
require 'date'

ESCAPES = { '\\' => '\\\\', "\t" => '\\t', "\n" => '\\n', "\r" => '\\r' }.freeze
LETTERS = { 't' => "\t", 'n' => "\n", 'r' => "\r" }.freeze
Absent = Class.new(StandardError)

def escaped(text) = text.gsub(/[\\\t\n\r]/) { ESCAPES[_1] }
def unescaped(text) = text.gsub(/\\(.)/) { LETTERS.fetch(Regexp.last_match(1), Regexp.last_match(1)) }
def say(*fields) = ($out << fields.join("\t"))

# A value as every client's is shown: see checks.txt.
def shown(value)
  case value
  when nil then '\\N'
  when BigDecimal then value.to_s('F').sub(/\.0\z/, '')
  when Time, DateTime then value.strftime(value.strftime('%6N') == '000000' ? '%Y-%m-%d %H:%M:%S' : '%Y-%m-%d %H:%M:%S.%6N')
  when Date then value.strftime('%Y-%m-%d')
  when String
    value.encoding == Encoding::BINARY || !value.valid_encoding? ? "0x#{value.unpack1('H*')}" : escaped(value)
  else escaped(value.to_s)
  end
end

def parameter(text)
  value = text[2..]
  case text[0]
  when 'i' then value.to_i
  when 'd' then value.to_f
  when 's' then unescaped(value)
  when 'x' then [value].pack('H*')
  end
end

# Times of day are shown as they are sent: the library would make moments of them.
OPTIONS = { as: :array, database_timezone: :utc, application_timezone: :utc, cast_booleans: false }.freeze

def connect(host, port, user, password, database, words)
  flags = []
  flags << (words.include?('found') ? 'FOUND_ROWS' : '-FOUND_ROWS')
  flags << 'MULTI_STATEMENTS' if words.include?('multi')
  flags << 'COMPRESS' if words.include?('compress')
  tls = words.include?('tls') ? { ssl_mode: :required, sslverify: false } : {}
  Mysql2::Client.new(host:, port: port.to_i, username: user, password:, database:, flags:, encoding: 'utf8mb4',
                     local_infile: words.include?('local'), **OPTIONS, **tls)
end

def answer(connection, result)
  loop do
    if result
      say 'columns', *result.fields.map { escaped(_1) }
      result.each(**OPTIONS) { |row| say 'row', *row.map { |value| shown(value) } }
    else
      id = connection.last_id
      say 'done', connection.affected_rows, id.zero? ? '-' : id
    end
    break unless connection.next_result

    result = connection.store_result
  end
end

def run(operation, name, *fields)
  if operation == 'connect'
    $connections[name] = connect(*fields[0, 5], fields[5].split)
    return say('ok')
  end
  connection = $connections.fetch(name)
  case operation
  when 'query' then answer(connection, connection.query(unescaped(fields[0]), **OPTIONS, cast: fields[0] !~ /times/))
  when 'execute'
    statement = connection.prepare(unescaped(fields[0]))
    result = statement.execute(*fields[1..].map { parameter(_1) }, **OPTIONS)
    if result
      say 'columns', *result.fields.map { escaped(_1) }
      result.each { |row| say 'row', *row.map { |value| shown(value) } }
    else
      say 'done', statement.affected_rows, statement.last_id.zero? ? '-' : statement.last_id
    end
    statement.close
  when 'blob'
    length = fields[1].to_i
    sent = ((0..255).to_a.pack('C*') * (length / 256 + 1))[0, length]
    got = connection.prepare(fields[0]).execute(sent, **OPTIONS).first[0]
    say 'blob', got.b == sent.b ? got.bytesize : "#{got.bytesize} other bytes"
  when 'stream', 'abandon'
    count = 0
    connection.query(unescaped(fields[0]), **OPTIONS, stream: true, cache_rows: false).each do
      count += 1
      if operation == 'abandon' && count == 10
        connection.close
        break
      end
    end
    operation == 'stream' ? say('count', count) : say('ok')
  when 'ping'
    raise 'no answer' unless connection.ping

    say 'ok'
  when 'close'
    $connections.delete(name).close
    say 'ok'
  else say 'absent', operation
  end
end

$connections = {}
$stdout.sync = true
$stdin.set_encoding('UTF-8')
$stdin.each_line(chomp: true) do |line|
  $out = []
  begin
    run(*line.split("\t", -1))
  rescue Mysql2::Error => e
    say 'error', e.error_number || 0, e.sql_state || '-', escaped(e.message)
  rescue StandardError => e
    say 'error', 0, '-', escaped("#{e.class}: #{e.message}")
  end
  puts $out, 'end'
end
