// Go's driver: speaks the line protocol of tests/clients/main.rs on standard input and output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
)

var escapes = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r")
var output = bufio.NewWriter(os.Stdout)

func unescaped(text string) string {
	var out strings.Builder
	for at := 0; at < len(text); at++ {
		if text[at] != '\\' || at+1 == len(text) {
			out.WriteByte(text[at])
			continue
		}
		at++
		switch text[at] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		default:
			out.WriteByte(text[at])
		}
	}
	return out.String()
}

// A value as every client's is shown: see checks.txt. Bytes that are not text are shown in hexadecimal.
func shown(value any) string {
	switch value := value.(type) {
	case nil:
		return "\\N"
	case []byte:
		if !utf8.Valid(value) {
			return "0x" + hex.EncodeToString(value)
		}
		return escapes.Replace(string(value))
	case time.Time:
		return value.Format("2006-01-02 15:04:05.999999")
	case float32:
		return strconv.FormatFloat(float64(value), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	default:
		return escapes.Replace(fmt.Sprint(value))
	}
}

func parameter(text string) any {
	value := text[2:]
	switch text[0] {
	case 'i':
		number, _ := strconv.ParseInt(value, 10, 64)
		return number
	case 'd':
		number, _ := strconv.ParseFloat(value, 64)
		return number
	case 's':
		return unescaped(value)
	case 'x':
		decoded, _ := hex.DecodeString(value)
		return decoded
	}
	return nil
}

func say(fields ...string) {
	fmt.Fprintln(output, strings.Join(fields, "\t"))
}

type connection struct {
	pool *sql.DB
	*sql.Conn
}

var connections = map[string]connection{}

type absent string

func (text absent) Error() string { return string(text) }

func connect(fields []string) (connection, error) {
	words := " " + fields[5] + " "
	if strings.Contains(words, " compress ") {
		return connection{}, absent("no compression in this version")
	}
	options := mysql.NewConfig()
	options.Net, options.Addr = "tcp", fields[0]+":"+fields[1]
	options.User, options.Passwd, options.DBName = fields[2], fields[3], fields[4]
	options.ClientFoundRows = strings.Contains(words, " found ")
	options.MultiStatements = strings.Contains(words, " multi ")
	options.AllowAllFiles = strings.Contains(words, " local ")
	options.MaxAllowedPacket = 64 << 20
	if strings.Contains(words, " tls ") {
		options.TLSConfig = "any"
	}
	pool, err := sql.Open("mysql", options.FormatDSN())
	if err != nil {
		return connection{}, err
	}
	made, err := pool.Conn(context.Background())
	return connection{pool, made}, err
}

func returnsRows(text string) bool {
	first := strings.ToUpper(strings.Fields(strings.TrimLeft(text, "( "))[0])
	for _, word := range []string{"SELECT", "SHOW", "DESCRIBE", "WITH", "EXPLAIN", "VALUES", "TABLE", "/*"} {
		if first == word {
			return true
		}
	}
	return false
}

func answer(link connection, text string, parameters []any) error {
	if !returnsRows(text) {
		done, err := link.ExecContext(context.Background(), text, parameters...)
		if err != nil {
			return err
		}
		affected, _ := done.RowsAffected()
		id := "-"
		if last, _ := done.LastInsertId(); last != 0 {
			id = strconv.FormatInt(last, 10)
		}
		say("done", strconv.FormatInt(affected, 10), id)
		return nil
	}
	rows, err := link.QueryContext(context.Background(), text, parameters...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		names, _ := rows.Columns()
		quoted := []string{"columns"}
		for _, name := range names {
			quoted = append(quoted, escapes.Replace(name))
		}
		say(quoted...)
		for rows.Next() {
			values, pointers := make([]any, len(names)), make([]any, len(names))
			for at := range values {
				pointers[at] = &values[at]
			}
			if err := rows.Scan(pointers...); err != nil {
				return err
			}
			line := []string{"row"}
			for _, value := range values {
				line = append(line, shown(value))
			}
			say(line...)
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

func run(operation, name string, fields []string) error {
	if operation == "connect" {
		made, err := connect(fields)
		if err != nil {
			return err
		}
		connections[name] = made
		say("ok")
		return nil
	}
	link, known := connections[name]
	if !known {
		return errors.New("no such connection")
	}
	background := context.Background()
	switch operation {
	case "query":
		return answer(link, unescaped(fields[0]), nil)
	case "execute":
		var parameters []any
		for _, field := range fields[1:] {
			parameters = append(parameters, parameter(field))
		}
		return answer(link, unescaped(fields[0]), parameters)
	case "blob":
		length, _ := strconv.Atoi(fields[1])
		sent := make([]byte, length)
		for at := range sent {
			sent[at] = byte(at)
		}
		var got []byte
		if err := link.QueryRowContext(background, fields[0], sent).Scan(&got); err != nil {
			return err
		}
		if !bytes.Equal(got, sent) {
			return fmt.Errorf("%d other bytes", len(got))
		}
		say("blob", strconv.Itoa(len(got)))
	case "stream", "abandon":
		rows, err := link.QueryContext(background, unescaped(fields[0]))
		if err != nil {
			return err
		}
		count := 0
		for rows.Next() {
			count++
			if operation == "abandon" && count == 10 {
				rows.Close()
				say("ok")
				return nil
			}
		}
		say("count", strconv.Itoa(count))
		return rows.Err()
	case "ping":
		if err := link.PingContext(background); err != nil {
			return err
		}
		say("ok")
	case "close":
		link.Conn.Close()
		link.pool.Close()
		delete(connections, name)
		say("ok")
	default:
		return absent(operation)
	}
	return nil
}

func main() {
	_ = mysql.RegisterTLSConfig("any", &tls.Config{InsecureSkipVerify: true})
	_ = mysql.SetLogger(nothing{})
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		err = run(fields[0], fields[1], fields[2:])
		var known *mysql.MySQLError
		var cannot absent
		switch {
		case errors.As(err, &known):
			state := "-"
			// Newer versions of the driver have it.
			if field := reflect.ValueOf(*known).FieldByName("SQLState"); field.IsValid() {
				state = fmt.Sprintf("%s", field.Interface())
			}
			say("error", strconv.Itoa(int(known.Number)), state, escapes.Replace(known.Message))
		case errors.As(err, &cannot):
			say("absent", string(cannot))
		case err != nil:
			say("error", "0", "-", escapes.Replace(err.Error()))
		}
		say("end")
		output.Flush()
	}
}

// The driver's own log is of no use here.
type nothing struct{}

func (nothing) Print(...any) {}
