/* The pure parts of the source: hosts, server id, TLS settings, grants, what errors mean. */
#include "../../../capture/source/internal.h"
#include "cmocka_all.h"

static struct tr_error err;

static int set_up(void **state)
{
    (void)state;
    tr_error_reset(&err);
    return 0;
}

/* ---- hosts -------------------------------------------------------------------------------------
 */

static void assert_host(const char *text, const char *name, unsigned port)
{
    struct tr_source_host host;
    assert_int_equal(tr_source_parse_host(text, 3306, &host, &err), 0);
    assert_string_equal(host.name, name);
    assert_int_equal(host.port, port);
}

static void test_hosts_with_and_without_port(void **state)
{
    (void)state;
    assert_host("db1", "db1", 3306);
    assert_host("db1.example.org:3307", "db1.example.org", 3307);
    assert_host("10.0.0.1:1", "10.0.0.1", 1);
    assert_host("[::1]:3310", "::1", 3310);
    assert_host("[fe80::2]", "fe80::2", 3306);
    assert_host("fe80::2", "fe80::2", 3306);
}

static void test_hosts_that_are_none(void **state)
{
    static const char *const bad[] = {"",          ":3306",    "db1:",      "db1:0",
                                      "db1:65536", "db1:33x6", "db1:-3306", "db1: 3306",
                                      "[::1",      "[::1]x",   "[]:3306"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tr_source_host host;
        tr_error_reset(&err);
        assert_int_equal(tr_source_parse_host(bad[i], 3306, &host, &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, "source.hosts"));
    }
}

static void test_a_long_host_name_is_refused(void **state)
{
    char text[400];
    struct tr_source_host host;
    (void)state;
    memset(text, 'h', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(tr_source_parse_host(text, 3306, &host, &err), TR_ECONFIG);
}

static void test_hosts_come_before_host(void **state)
{
    static const char *const items[] = {"a", "b:99"};
    struct tr_source_settings settings = {.host = "c", .port = 3309, .hosts = {items, 2}};
    struct tr_source_host hosts[2];
    size_t count;
    (void)state;
    assert_int_equal(tr_source_parse_hosts(&settings, hosts, 2, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(hosts[0].name, "a");
    assert_int_equal(hosts[0].port, 3309);
    assert_int_equal(hosts[1].port, 99);
    settings.hosts.count = 0;
    assert_int_equal(tr_source_parse_hosts(&settings, hosts, 2, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_string_equal(hosts[0].name, "c");
}

static void test_too_many_hosts(void **state)
{
    static const char *const items[] = {"a", "b", "c"};
    struct tr_source_settings settings = {.hosts = {items, 3}};
    struct tr_source_host hosts[2];
    size_t count;
    (void)state;
    assert_int_equal(tr_source_parse_hosts(&settings, hosts, 2, &count, &err), TR_ECONFIG);
}

/* ---- server id ---------------------------------------------------------------------------------
 */

static void test_derived_ids_are_stable_and_apart(void **state)
{
    (void)state;
    uint32_t id = tr_source_derive_server_id("shop", "host1");
    assert_int_equal(id, tr_source_derive_server_id("shop", "host1"));
    assert_int_not_equal(id, tr_source_derive_server_id("shop", "host2"));
    assert_int_not_equal(id, tr_source_derive_server_id("crm", "host1"));
    assert_int_not_equal(tr_source_derive_server_id("a", "bc"),
                         tr_source_derive_server_id("ab", "c"));
    assert_true(id >= 0x80000000U);
}

/* ---- TLS ---------------------------------------------------------------------------------------
 */

static void test_tls_settings_that_cannot_do_what_they_say(void **state)
{
    struct tr_source_settings settings = {.tls_mode = TR_TLS_VERIFY_CA};
    (void)state;
    assert_int_equal(tr_source_check_tls(&settings, &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "source.tls.ca"));
    tr_error_reset(&err);
    settings = (struct tr_source_settings){.tls_mode = TR_TLS_DISABLED, .tls_ca = "ca.pem"};
    assert_int_equal(tr_source_check_tls(&settings, &err), TR_ECONFIG);
    tr_error_reset(&err);
    settings = (struct tr_source_settings){.tls_mode = TR_TLS_REQUIRED, .tls_key = "key.pem"};
    assert_int_equal(tr_source_check_tls(&settings, &err), TR_ECONFIG);
    tr_error_reset(&err);
    settings = (struct tr_source_settings){.tls_mode = TR_TLS_VERIFY_IDENTITY};
    assert_int_equal(tr_source_check_tls(&settings, &err), 0); /* the system's authorities */
    settings = (struct tr_source_settings){.tls_mode = TR_TLS_VERIFY_CA, .tls_ca = "ca.pem"};
    assert_int_equal(tr_source_check_tls(&settings, &err), 0);
    settings = (struct tr_source_settings){.tls_ca = "", .tls_cert = "", .tls_key = ""};
    assert_int_equal(tr_source_check_tls(&settings, &err), 0);
}

/* ---- grants ------------------------------------------------------------------------------------
 */

static bool has(const char *grant, const char *privilege)
{
    return tr_source_grant_has(tr_slice_of(grant), privilege);
}

static void test_grants_by_whole_names(void **state)
{
    static const char some[] = "GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `t`@`%`";
    static const char admin[] = "GRANT REPLICATION SLAVE ADMIN ON *.* TO `t`@`%`";
    (void)state;
    assert_true(has(some, "SELECT"));
    assert_true(has(some, "REPLICATION SLAVE"));
    assert_true(has(some, "BINLOG MONITOR"));
    assert_false(has(some, "REPLICATION"));
    assert_false(has(some, "MONITOR ON"));
    assert_false(has(admin, "REPLICATION SLAVE"));
    assert_false(has("GRANT REPLICATION SLAVE ADMIN, SUPER ON *.* TO x", "REPLICATION SLAVE"));
    assert_false(has("GRANT USAGE ON *.* TO `SELECT`@`%`", "SELECT"));
}

static void test_grants_of_everything_and_of_parts(void **state)
{
    (void)state;
    assert_true(has("GRANT ALL PRIVILEGES ON *.* TO `root`@`%`", "REPLICATION SLAVE"));
    assert_false(has("GRANT ALL PRIVILEGES ON `shop`.* TO `t`@`%`", "REPLICATION SLAVE"));
    assert_true(has("GRANT ALL PRIVILEGES ON `shop`.* TO `t`@`%`", "SELECT"));
    assert_true(has("GRANT SELECT (`id`), INSERT ON `shop`.`t` TO `t`@`%`", "SELECT"));
    assert_false(has("GRANT `reader` TO `t`@`%`", "SELECT"));
    assert_false(has("GRANT PROXY ON ''@'%' TO 'root'@'localhost'", "SELECT"));
    assert_false(has("SET DEFAULT ROLE reader FOR `t`@`%`", "SELECT"));
    assert_false(has("", "SELECT"));
}

/* ---- errors ------------------------------------------------------------------------------------
 */

struct expectation {
    unsigned native;
    const char *text;
    int code;
    bool truncated;
};

/* Texts as the servers send them. */
static const struct expectation expectations[] = {
    {1236, "Could not find first log file name in binary log index file", TR_ESTATE, false},
    {1236,
     "Client requested master to start replication from impossible position; the first event "
     "'bin.000001' at 900000000, the last event read from 'bin.000001' at 4",
     TR_ESTATE, false},
    {1236, "Client requested source to start replication from position > file size", TR_ESTATE,
     false},
    {1236,
     "binlog truncated in the middle of event; consider out of disk space on master; the first "
     "event 'bin.000033' at 4, the last event read from 'bin.000033' at 20047772",
     TR_ESOURCE_RETRY, true},
    {1236,
     "Could not find GTID state requested by slave in any binlog files. Probably the slave state "
     "is too old and required binlog files have been purged.",
     TR_ESTATE, false},
    {1236,
     "Cannot replicate because the source purged required binary logs. Replicate the missing "
     "transactions from elsewhere",
     TR_ESTATE, false},
    {1236, "Replica has more GTIDs than the source has, using the source's SERVER_UUID", TR_ESTATE,
     false},
    {1236,
     "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's "
     "binlog",
     TR_ESTATE, false},
    {1236, "A replica with the same server_uuid/server_id as this replica has connected",
     TR_ESOURCE, false},
    {1236, "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on master",
     TR_ESOURCE, false},
    {1236, "event read from binlog did not pass checksum algorithm check", TR_ESOURCE, false},
    {1236, "something that no server has said yet", TR_ESOURCE, false},
    {4052, "A slave with the same server_uuid/server_id as this slave has connected to the master",
     TR_ESOURCE, false},
    {2002, "Can't connect to server on '127.0.0.1' (115)", TR_ESOURCE_RETRY, false},
    {2003, "Can't connect", TR_ESOURCE_RETRY, false},
    {2005, "Unknown server host 'db1'", TR_ESOURCE_RETRY, false},
    {2006, "Server has gone away", TR_ESOURCE_RETRY, false},
    {2013, "Lost connection to server during query", TR_ESOURCE_RETRY, false},
    {1040, "Too many connections", TR_ESOURCE_RETRY, false},
    {1053, "Server shutdown in progress", TR_ESOURCE_RETRY, false},
    {1927, "Connection was killed", TR_ESOURCE_RETRY, false},
    {1045, "Access denied for user 'tailrace'@'localhost'", TR_ESOURCE, false},
    {1227, "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)",
     TR_ESOURCE, false},
    {2026, "TLS/SSL error: self-signed certificate in certificate chain", TR_ESOURCE, false},
    {2026, "TLS/SSL error: Validation of SSL server certificate failed", TR_ESOURCE, false},
    {2026, "SSL connection error: SSL is required, but the server does not support it", TR_ESOURCE,
     false},
    {2026, "TLS/SSL error: unexpected eof while reading", TR_ESOURCE_RETRY, false},
    {2026, "TLS/SSL error: Connection reset by peer (104)", TR_ESOURCE_RETRY, false},
    {1064, "You have an error in your SQL syntax", TR_ESOURCE, false},
};

static void test_what_errors_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *want = &expectations[i];
        bool truncated;
        const char *hint;
        int code = tr_source_classify(want->native, want->text, &truncated, &hint);
        if (code != want->code)
            print_error("%u %s\n", want->native, want->text);
        assert_int_equal(code, want->code);
        assert_int_equal(truncated, want->truncated);
        assert_non_null(hint);
        if (code == TR_ESTATE)
            assert_non_null(strstr(hint, TR_PLACE_GIVE_UP));
    }
}

static void test_hints_name_the_statement(void **state)
{
    bool truncated;
    const char *hint;
    (void)state;
    tr_source_classify(1045, "Access denied", &truncated, &hint);
    assert_non_null(strstr(hint, "ALTER USER {user}"));
    tr_source_classify(1227, "Access denied", &truncated, &hint);
    assert_non_null(strstr(hint, "GRANT REPLICATION SLAVE"));
    tr_source_classify(1236, "Could not find first log file name in binary log index file",
                       &truncated, &hint);
    assert_non_null(strstr(hint, "--start latest --force-start"));
    assert_non_null(strstr(hint, "rebuild the stores"));
}

/* ---- quoting -----------------------------------------------------------------------------------
 */

static void test_names_are_quoted_for_sql(void **state)
{
    struct tr_buf sql;
    (void)state;
    tr_buf_init(&sql, 1024);
    tr_source_quote(&sql, TR_SLICE("it's a \\ `name`"));
    assert_int_equal(sql.length, strlen("'it\\'s a \\\\ `name`'"));
    assert_memory_equal(sql.data, "'it\\'s a \\\\ `name`'", sql.length);
    tr_buf_done(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hosts_with_and_without_port, set_up),
        cmocka_unit_test_setup(test_hosts_that_are_none, set_up),
        cmocka_unit_test_setup(test_a_long_host_name_is_refused, set_up),
        cmocka_unit_test_setup(test_hosts_come_before_host, set_up),
        cmocka_unit_test_setup(test_too_many_hosts, set_up),
        cmocka_unit_test_setup(test_derived_ids_are_stable_and_apart, set_up),
        cmocka_unit_test_setup(test_tls_settings_that_cannot_do_what_they_say, set_up),
        cmocka_unit_test_setup(test_grants_by_whole_names, set_up),
        cmocka_unit_test_setup(test_grants_of_everything_and_of_parts, set_up),
        cmocka_unit_test_setup(test_what_errors_mean, set_up),
        cmocka_unit_test_setup(test_hints_name_the_statement, set_up),
        cmocka_unit_test_setup(test_names_are_quoted_for_sql, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
