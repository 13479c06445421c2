/* MariaDB Connector/C: speaks the line protocol of tests/clients/main.rs on standard input and output. */

#include <mysql.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 8
#define PARAMETERS 32

struct link {
    char name[16];
    MYSQL *mysql;
};

static struct link links[CONNECTIONS];

static MYSQL **find(const char *name) {
    for (int at = 0; at < CONNECTIONS; at++) {
        if (links[at].mysql && strcmp(links[at].name, name) == 0) return &links[at].mysql;
    }
    return NULL;
}

static void keep(const char *name, MYSQL *mysql) {
    MYSQL **old = find(name);
    if (old) {
        mysql_close(*old);
        *old = NULL;
    }
    for (int at = 0; at < CONNECTIONS; at++) {
        if (links[at].mysql == NULL) {
            snprintf(links[at].name, sizeof links[at].name, "%s", name);
            links[at].mysql = mysql;
            return;
        }
    }
    abort();
}

static void put_escaped(const char *text, size_t length) {
    for (size_t at = 0; at < length; at++) {
        switch (text[at]) {
        case '\\': fputs("\\\\", stdout); break;
        case '\t': fputs("\\t", stdout); break;
        case '\n': fputs("\\n", stdout); break;
        case '\r': fputs("\\r", stdout); break;
        default: putchar(text[at]);
        }
    }
}

static size_t unescape(char *text) {
    char *out = text;
    for (char *in = text; *in; in++) {
        if (*in == '\\' && in[1]) {
            in++;
            *out++ = *in == 't' ? '\t' : *in == 'n' ? '\n' : *in == 'r' ? '\r' : *in;
        } else {
            *out++ = *in;
        }
    }
    *out = 0;
    return (size_t)(out - text);
}

/* A value as every client's is shown: see checks.txt. */
static void put_value(const MYSQL_FIELD *field, const char *value, size_t length) {
    putchar('\t');
    if (value == NULL) {
        fputs("\\N", stdout);
    } else if (field->charsetnr == 63 && IS_NUM(field->type) == 0 && field->type >= MYSQL_TYPE_TINY_BLOB) {
        fputs("0x", stdout);
        for (size_t at = 0; at < length; at++) printf("%02x", (unsigned char)value[at]);
    } else {
        put_escaped(value, length);
    }
}

static void put_columns(const MYSQL_FIELD *fields, unsigned count) {
    fputs("columns", stdout);
    for (unsigned at = 0; at < count; at++) {
        putchar('\t');
        put_escaped(fields[at].name, fields[at].name_length);
    }
    putchar('\n');
}

static void put_error(unsigned code, const char *state, const char *text) {
    printf("error\t%u\t%s\t", code, state);
    put_escaped(text, strlen(text));
    putchar('\n');
}

static void put_done(uint64_t affected, uint64_t id) {
    printf("done\t%llu\t", (unsigned long long)affected);
    if (id) printf("%llu\n", (unsigned long long)id);
    else puts("-");
}

static void query(MYSQL *mysql, const char *sql, size_t length) {
    int status = mysql_real_query(mysql, sql, length);
    while (status == 0) {
        MYSQL_RES *result = mysql_store_result(mysql);
        if (result) {
            unsigned count = mysql_num_fields(result);
            MYSQL_FIELD *fields = mysql_fetch_fields(result);
            put_columns(fields, count);
            for (MYSQL_ROW row = mysql_fetch_row(result); row; row = mysql_fetch_row(result)) {
                unsigned long *lengths = mysql_fetch_lengths(result);
                fputs("row", stdout);
                for (unsigned at = 0; at < count; at++) put_value(&fields[at], row[at], lengths[at]);
                putchar('\n');
            }
            mysql_free_result(result);
        } else if (mysql_field_count(mysql) == 0) {
            put_done(mysql_affected_rows(mysql), mysql_insert_id(mysql));
        } else {
            break;
        }
        status = mysql_next_result(mysql);
    }
    if (mysql_errno(mysql)) put_error(mysql_errno(mysql), mysql_sqlstate(mysql), mysql_error(mysql));
}

struct parameter {
    long long number;
    double real;
    unsigned long length;
};

static void bind(MYSQL_BIND *bind, struct parameter *value, char *text) {
    char kind = text[0];
    text += 2;
    bind->length = &value->length;
    bind->buffer = text;
    if (kind == 'i') {
        value->number = strtoll(text, NULL, 10);
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->buffer = &value->number;
    } else if (kind == 'd') {
        value->real = strtod(text, NULL);
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        bind->buffer = &value->real;
    } else if (kind == 's') {
        bind->buffer_type = MYSQL_TYPE_STRING;
        value->length = unescape(text);
    } else if (kind == 'x') {
        bind->buffer_type = MYSQL_TYPE_BLOB;
        value->length = strlen(text) / 2;
        for (unsigned long at = 0; at < value->length; at++) {
            unsigned byte;
            sscanf(text + 2 * at, "%2x", &byte);
            text[at] = (char)byte;
        }
    } else {
        bind->buffer_type = MYSQL_TYPE_NULL;
    }
}

static void put_rows(MYSQL_STMT *statement, MYSQL_RES *meta) {
    unsigned count = mysql_num_fields(meta);
    MYSQL_FIELD *fields = mysql_fetch_fields(meta);
    put_columns(fields, count);
    MYSQL_BIND *results = calloc(count, sizeof *results);
    unsigned long *lengths = calloc(count, sizeof *lengths);
    my_bool *nulls = calloc(count, sizeof *nulls);
    for (unsigned at = 0; at < count; at++) {
        results[at].buffer_type = MYSQL_TYPE_STRING;
        results[at].buffer = malloc(1 << 20);
        results[at].buffer_length = 1 << 20;
        results[at].length = &lengths[at];
        results[at].is_null = &nulls[at];
    }
    if (mysql_stmt_bind_result(statement, results) == 0) {
        while (mysql_stmt_fetch(statement) == 0) {
            fputs("row", stdout);
            for (unsigned at = 0; at < count; at++) {
                put_value(&fields[at], nulls[at] ? NULL : results[at].buffer, lengths[at]);
            }
            putchar('\n');
        }
    }
    for (unsigned at = 0; at < count; at++) free(results[at].buffer);
    free(results);
    free(lengths);
    free(nulls);
}

static void execute(MYSQL *mysql, char **fields, int count) {
    MYSQL_STMT *statement = mysql_stmt_init(mysql);
    MYSQL_BIND binds[PARAMETERS];
    struct parameter values[PARAMETERS];
    memset(binds, 0, sizeof binds);
    memset(values, 0, sizeof values);
    size_t length = unescape(fields[0]);
    if (mysql_stmt_prepare(statement, fields[0], length) == 0) {
        for (int at = 1; at < count && at <= PARAMETERS; at++) bind(&binds[at - 1], &values[at - 1], fields[at]);
        if ((count == 1 || mysql_stmt_bind_param(statement, binds) == 0) && mysql_stmt_execute(statement) == 0) {
            MYSQL_RES *meta = mysql_stmt_result_metadata(statement);
            if (meta) {
                put_rows(statement, meta);
                mysql_free_result(meta);
            } else {
                put_done(mysql_stmt_affected_rows(statement), mysql_stmt_insert_id(statement));
            }
        }
    }
    if (mysql_stmt_errno(statement)) {
        put_error(mysql_stmt_errno(statement), mysql_stmt_sqlstate(statement), mysql_stmt_error(statement));
    }
    mysql_stmt_close(statement);
}

static void blob(MYSQL *mysql, const char *sql, unsigned long length) {
    unsigned char *sent = malloc(length), *got = malloc(length);
    for (unsigned long at = 0; at < length; at++) sent[at] = (unsigned char)at;
    MYSQL_STMT *statement = mysql_stmt_init(mysql);
    MYSQL_BIND parameter = {0}, result = {0};
    unsigned long got_length = 0;
    parameter.buffer_type = MYSQL_TYPE_LONG_BLOB;
    result.buffer_type = MYSQL_TYPE_LONG_BLOB;
    result.buffer = got;
    result.buffer_length = length;
    result.length = &got_length;
    int failed = mysql_stmt_prepare(statement, sql, strlen(sql)) || mysql_stmt_bind_param(statement, &parameter);
    for (unsigned long at = 0; !failed && at < length; at += 1 << 20) {
        unsigned long part = length - at < 1 << 20 ? length - at : 1 << 20;
        failed = mysql_stmt_send_long_data(statement, 0, (char *)sent + at, part);
    }
    failed = failed || mysql_stmt_execute(statement) || mysql_stmt_bind_result(statement, &result) || mysql_stmt_fetch(statement);
    if (failed) put_error(mysql_stmt_errno(statement), mysql_stmt_sqlstate(statement), mysql_stmt_error(statement));
    else printf("blob\t%lu%s\n", got_length, got_length == length && memcmp(sent, got, length) == 0 ? "" : " other bytes");
    mysql_stmt_close(statement);
    free(sent);
    free(got);
}

static void stream(MYSQL **mysql, const char *sql, int abandon) {
    unsigned long count = 0;
    MYSQL_RES *result = mysql_query(*mysql, sql) ? NULL : mysql_use_result(*mysql);
    while (result && mysql_fetch_row(result)) {
        count++;
        if (abandon && count == 10) {
            /* The socket goes while rows are on their way. */
            mysql_close(*mysql);
            *mysql = NULL;
            puts("ok");
            return;
        }
    }
    if (mysql_errno(*mysql)) put_error(mysql_errno(*mysql), mysql_sqlstate(*mysql), mysql_error(*mysql));
    else printf("count\t%lu\n", count);
    if (result) mysql_free_result(result);
}

static void open_link(const char *name, char **fields) {
    MYSQL *mysql = mysql_init(NULL);
    const char *words = fields[5];
    unsigned long flags = 0;
    my_bool no = 0, yes = 1;
    unsigned local = strstr(words, "local") != NULL;
    if (strstr(words, "found")) flags |= CLIENT_FOUND_ROWS;
    if (strstr(words, "multi")) flags |= CLIENT_MULTI_STATEMENTS;
    if (strstr(words, "compress")) mysql_options(mysql, MYSQL_OPT_COMPRESS, NULL);
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &local);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &no);
    if (strstr(words, "tls")) mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
    if (mysql_real_connect(mysql, fields[0], fields[2], fields[3], fields[4], (unsigned)atoi(fields[1]), NULL, flags)) {
        keep(name, mysql);
        puts("ok");
    } else {
        put_error(mysql_errno(mysql), mysql_sqlstate(mysql), mysql_error(mysql));
        mysql_close(mysql);
    }
}

static void run(const char *operation, const char *name, char **fields, int count) {
    MYSQL **mysql = find(name);
    if (strcmp(operation, "connect") == 0) {
        open_link(name, fields);
    } else if (mysql == NULL) {
        put_error(0, "-", "no such connection");
    } else if (strcmp(operation, "query") == 0) {
        query(*mysql, fields[0], unescape(fields[0]));
    } else if (strcmp(operation, "execute") == 0) {
        execute(*mysql, fields, count);
    } else if (strcmp(operation, "blob") == 0) {
        blob(*mysql, fields[0], strtoul(fields[1], NULL, 10));
    } else if (strcmp(operation, "stream") == 0 || strcmp(operation, "abandon") == 0) {
        unescape(fields[0]);
        stream(mysql, fields[0], operation[0] == 'a');
    } else if (strcmp(operation, "ping") == 0) {
        if (mysql_ping(*mysql)) put_error(mysql_errno(*mysql), mysql_sqlstate(*mysql), mysql_error(*mysql));
        else puts("ok");
    } else if (strcmp(operation, "reset") == 0) {
        if (mysql_reset_connection(*mysql)) put_error(mysql_errno(*mysql), mysql_sqlstate(*mysql), mysql_error(*mysql));
        else puts("ok");
    } else if (strcmp(operation, "close") == 0) {
        mysql_close(*mysql);
        *mysql = NULL;
        puts("ok");
    } else {
        printf("absent\t%s\n", operation);
    }
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    for (ssize_t length = getline(&line, &room, stdin); length > 0; length = getline(&line, &room, stdin)) {
        char *fields[PARAMETERS + 4];
        int count = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *rest = line; rest && count < PARAMETERS + 4;) fields[count++] = strsep(&rest, "\t");
        run(fields[0], fields[1], fields + 2, count - 2);
        puts("end");
        fflush(stdout);
    }
    free(line);
    return 0;
}
