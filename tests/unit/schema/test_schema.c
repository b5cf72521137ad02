/* Shapes, keys, topics and table ids, with table maps made by hand and a catalogue that says what
 * the test wants. */
#include "schema.h"

#include "cmocka_all.h"
#include "wire.h"

#define COLUMNS_MAX 8

static struct tr_error err;

/* ---- the catalogue -----------------------------------------------------------------------------
 */

static struct {
    int calls;
    int code; /* what the look-up returns */
    bool same;
    uint32_t key[COLUMNS_MAX];
    uint32_t key_count;
    enum tr_refine refine; /* of column 1 */
    bool against;          /* when ahead: the older key is no longer one */
} catalogue;

int tr_source_refine(struct tr_source *source, struct tr_binlog_table *table,
                     const struct tr_source_key *older, bool *same, struct tr_source_key *key,
                     struct tr_error *error)
{
    (void)source;
    catalogue.calls++;
    *same = catalogue.same;
    key->count = 0;
    if (catalogue.code != 0)
        return tr_error_set(error, catalogue.code, "the catalogue does not answer");
    if (table->column_count > 1)
        table->columns[1].shape.refine = catalogue.refine;
    if (!catalogue.same) {
        if (!catalogue.against)
            *key = *older;
        return 0;
    }
    memcpy(key->columns, catalogue.key, catalogue.key_count * sizeof *key->columns);
    key->count = catalogue.key_count;
    return 0;
}

/* ---- table maps --------------------------------------------------------------------------------
 */

struct table_spec {
    uint64_t id;
    const char *database, *table;
    const char *columns[COLUMNS_MAX]; /* INT NOT NULL each; NULL ends */
    int primary;                      /* index, -1 = none */
    bool bare;                        /* without metadata */
};

static void put_name(struct wire *wire, const char *name)
{
    wire_uint(wire, strlen(name), 1);
    wire_bytes(wire, name, strlen(name) + 1);
}

static uint8_t name_bytes(const struct table_spec *spec, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += 1 + strlen(spec->columns[i]);
    return (uint8_t)bytes;
}

static void put_metadata(struct wire *wire, const struct table_spec *spec, unsigned count)
{
    wire_hex(wire, "010100"); /* all signed */
    wire_uint(wire, 4, 1);
    wire_uint(wire, name_bytes(spec, count), 1);
    for (unsigned i = 0; i < count; i++) {
        wire_uint(wire, strlen(spec->columns[i]), 1);
        wire_bytes(wire, spec->columns[i], strlen(spec->columns[i]));
    }
    if (spec->primary >= 0) {
        wire_uint(wire, 8, 1);
        wire_uint(wire, 1, 1);
        wire_uint(wire, (uint64_t)spec->primary, 1);
    }
}

static struct tr_binlog_event make_map(struct wire *wire, const struct table_spec *spec)
{
    unsigned count = 0;
    while (count < COLUMNS_MAX && spec->columns[count] != NULL)
        count++;
    wire_begin(wire, TR_BINLOG_TABLE_MAP);
    wire_uint(wire, spec->id, 6);
    wire_uint(wire, 1, 2);
    put_name(wire, spec->database);
    put_name(wire, spec->table);
    wire_uint(wire, count, 1);
    for (unsigned i = 0; i < count; i++)
        wire_uint(wire, 3, 1); /* INT */
    wire_uint(wire, 0, 1);     /* no metadata of types */
    wire_uint(wire, 0, 1);     /* nothing nullable */
    if (!spec->bare)
        put_metadata(wire, spec, count);
    wire_end(wire);
    return wire_event(wire);
}

/* ---- a schema with rules -----------------------------------------------------------------------
 */

struct fixture {
    struct tr_control *control;
    struct tr_rules *rules;
    struct tr_schema *schema;
    struct wire wire;
};

static struct fixture fixture;

static void open_schema(const char *topic, bool skip)
{
    struct tr_schema_config config = {
        .rules = fixture.rules, .topic_template = topic, .skip_without_key = skip};
    assert_int_equal(tr_schema_new(&fixture.schema, &config, fixture.control, NULL, &err), 0);
}

static void open_with(const struct tr_node *rules, const char *topic, bool skip)
{
    assert_int_equal(tr_rules_parse(&fixture.rules, rules, &err), 0);
    assert_int_equal(tr_control_new(&fixture.control, &err), 0);
    open_schema(topic, skip);
}

static int set_up(void **state)
{
    (void)state;
    tr_error_reset(&err);
    memset(&catalogue, 0, sizeof catalogue);
    catalogue.same = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tr_schema_free(fixture.schema);
    tr_rules_free(fixture.rules);
    tr_control_free(fixture.control);
    fixture = (struct fixture){0};
    return 0;
}

/* As after a restart: what is known comes from the control topic alone. */
static void restart(void)
{
    tr_schema_free(fixture.schema);
    open_schema("db.{database}", false);
}

static int try_map(const struct table_spec *spec, int64_t version, struct tr_schema_table **table)
{
    struct tr_binlog_event event = make_map(&fixture.wire, spec);
    tr_error_reset(&err);
    return tr_schema_map(fixture.schema, &event, version, table, &err);
}

static struct tr_schema_table *map(const struct table_spec *spec, int64_t version)
{
    struct tr_schema_table *table = NULL;
    int rc = try_map(spec, version, &table);
    if (rc != 0)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return table;
}

static struct table_spec orders(void)
{
    return (struct table_spec){
        .id = 18, .database = "shop", .table = "orders", .columns = {"id", "price"}, .primary = 0};
}

/* ---- shapes ------------------------------------------------------------------------------------
 */

static void test_a_new_table_gets_a_shape_of_its_place(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table = map(&spec, 1000);
    assert_true(table->is_new);
    assert_non_null(table->encoder);
    assert_int_equal(table->shape->schema_id, 1000);
    assert_int_equal(table->shape->column_count, 2);
    assert_int_equal(table->shape->key_count, 1);
    assert_int_equal(table->shape->key[0], 0);
    assert_true(table->shape->columns[0].key);
    assert_false(table->shape->columns[1].key);
    assert_string_equal(table->shape->topic, "db.shop");
    assert_true(tr_slice_equal(table->shape->table_json, TR_SLICE("\"orders\"")));
    assert_ptr_equal(tr_schema_by_id(fixture.schema, 18), table);
    assert_int_equal(catalogue.calls, 1);
}

static void test_the_same_map_again_costs_no_look_up(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table = map(&spec, 1000);
    const struct tr_shape *shape = table->shape;
    assert_true(table->looked_at);
    table->looked_at = table->is_new = false;
    assert_ptr_equal(map(&spec, 2000), table);
    spec.id = 77; /* the server has opened the table again */
    assert_ptr_equal(map(&spec, 3000), table);
    tr_schema_forget_ids(fixture.schema);
    assert_null(tr_schema_by_id(fixture.schema, 18));
    assert_ptr_equal(map(&spec, 4000), table);
    assert_ptr_equal(table->shape, shape);
    assert_false(table->is_new);
    assert_false(table->looked_at);
    assert_int_equal(catalogue.calls, 1);
}

static void test_another_column_makes_another_shape(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    map(&spec, 1000)->is_new = false;
    spec.columns[2] = "added";
    struct tr_schema_table *table = map(&spec, 2000);
    assert_true(table->is_new);
    assert_int_equal(table->shape->schema_id, 2000);
    assert_int_equal(table->shape->column_count, 3);
    assert_int_equal(catalogue.calls, 2);
}

static void test_reading_again_finds_the_numbers_of_the_first_time(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct table_spec wide = orders();
    wide.columns[2] = "added";
    catalogue.refine = TR_REFINE_NONE;
    (void)map(&spec, 1000);
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE("orders"), 1900);
    (void)map(&wide, 2000);
    restart();
    catalogue.refine = TR_REFINE_JSON; /* the catalogue is far ahead by now: nobody asks it */
    catalogue.calls = 0;
    struct tr_schema_table *table = map(&spec, 1500);
    assert_int_equal(table->shape->schema_id, 1000);
    assert_false(table->is_new);
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE("orders"), 1900);
    table = map(&wide, 2000);
    assert_int_equal(table->shape->schema_id, 2000);
    assert_false(table->is_new);
    assert_int_equal(catalogue.calls, 0);
}

static void test_ddl_makes_it_look_again(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    (void)map(&spec, 1000);
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE("orders"), 1500);
    struct tr_schema_table *table = map(&spec, 2000);
    assert_int_equal(catalogue.calls, 2);
    assert_int_equal(table->shape->schema_id, 1000); /* nothing has changed */
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE("orders"), 2500);
    catalogue.refine = TR_REFINE_JSON;
    table = map(&spec, 3000);
    assert_int_equal(table->shape->schema_id, 3000);
    assert_int_equal(table->shape->columns[1].refine, TR_REFINE_JSON);
}

static void test_ddl_on_the_database_and_before_the_first_row(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    (void)map(&spec, 1000);
    restart();
    catalogue.calls = 0;
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE(""), 1500);
    (void)map(&spec, 2000);
    assert_int_equal(catalogue.calls, 1);
    tr_schema_ddl(fixture.schema, TR_SLICE("other"), TR_SLICE(""), 2500);
    tr_schema_ddl(fixture.schema, TR_SLICE("shop"), TR_SLICE("another"), 2500);
    (void)map(&spec, 3000);
    assert_int_equal(catalogue.calls, 1);
}

static void test_a_catalogue_that_does_not_answer_is_asked_again(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table;
    catalogue.code = TR_ESOURCE_RETRY;
    assert_int_equal(try_map(&spec, 1000, &table), TR_ESOURCE_RETRY);
    catalogue.code = 0;
    table = map(&spec, 1000);
    assert_true(table->is_new);
    assert_int_equal(table->shape->schema_id, 1000);
}

static void test_without_metadata_it_stops_with_the_statement(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table;
    spec.bare = true;
    assert_int_equal(try_map(&spec, 1000, &table), TR_ESOURCE);
    assert_non_null(strstr(err.text, "SET GLOBAL binlog_row_metadata='FULL'"));
    assert_string_equal(err.frames[0], "table shop.orders");
}

static void test_a_damaged_map_is_refused(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_binlog_event event = make_map(&fixture.wire, &spec);
    struct tr_schema_table *table;
    for (size_t length = 0; length < event.body_length; length++) {
        struct tr_binlog_event cut = event;
        cut.body_length = length;
        tr_error_reset(&err);
        int rc = tr_schema_map(fixture.schema, &cut, 1000, &table, &err);
        /* Cut off between two of its optional fields, it may just have no key. */
        assert_true(rc == TR_ESOURCE || rc == TR_ECONFIG);
    }
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static void test_the_catalogues_key_comes_before_the_servers_choice(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    catalogue.key[0] = 1;
    catalogue.key_count = 1;
    struct tr_schema_table *table = map(&spec, 1000);
    assert_int_equal(table->shape->key_count, 1);
    assert_int_equal(table->shape->key[0], 1);
    assert_true(table->shape->columns[1].key);
    assert_false(table->shape->columns[0].key);
}

static void test_a_table_without_a_key_stops_or_is_skipped(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table;
    spec.primary = -1;
    assert_int_equal(try_map(&spec, 1000, &table), TR_ECONFIG);
    assert_non_null(strstr(err.text, "ADD PRIMARY KEY"));
    assert_non_null(strstr(err.text, "on_no_key: skip"));
    assert_string_equal(err.frames[0], "table shop.orders");
    tr_schema_free(fixture.schema);
    open_schema("db.{database}", true);
    table = map(&spec, 1000);
    assert_null(table->encoder);
    assert_ptr_equal(tr_schema_by_id(fixture.schema, 18), table);
}

/* A backlog: the catalogue has a column that the log adds later. The server prefers another unique
 * key than ours, and names it in the map; rows must not change their key for that. */
static void test_a_catalogue_that_is_ahead_leaves_the_key(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    catalogue.key[0] = 1;
    catalogue.key_count = 1;
    (void)map(&spec, 1000);
    restart();
    catalogue.same = false;
    spec.columns[2] = "added";
    struct tr_schema_table *table = map(&spec, 2000);
    assert_int_equal(table->shape->schema_id, 2000);
    assert_int_equal(table->shape->key_count, 1);
    assert_int_equal(table->shape->key[0], 1);
    assert_false(table->key_changed);
    catalogue.against = true;
    spec.columns[3] = "another";
    table = map(&spec, 3000);
    assert_int_equal(table->shape->key[0], 0);
    assert_true(table->key_changed);
    catalogue.against = false;
    spec.columns[0] = "renamed"; /* it has lost the older key's column */
    table = map(&spec, 4000);
    assert_int_equal(table->shape->key[0], 0);
}

/* What the catalogue still says of one column counts, whatever it says of the others. */
static void test_a_catalogue_that_is_ahead_still_refines(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    catalogue.same = false;
    catalogue.refine = TR_REFINE_JSON;
    struct tr_schema_table *table = map(&spec, 1000);
    assert_int_equal(table->shape->columns[1].refine, TR_REFINE_JSON);
    catalogue.refine = TR_REFINE_NONE;
    spec.columns[2] = "added";
    table = map(&spec, 2000);
    assert_int_equal(table->shape->columns[1].refine, TR_REFINE_JSON);
}

/* A rule {table: shop.orders, key: [price, id]}, made of nodes. */
static struct tr_node key_items[2] = {
    {.type = TR_NODE_SCALAR, .text = "price", .next = &key_items[1]},
    {.type = TR_NODE_SCALAR, .text = "id"},
};
static struct tr_node key_settings[2] = {
    {.type = TR_NODE_SCALAR, .key = "table", .text = "shop.orders", .next = &key_settings[1]},
    {.type = TR_NODE_LIST, .key = "key", .child = key_items},
};
static struct tr_node key_rule = {.type = TR_NODE_MAP, .child = key_settings};
static struct tr_node key_rules = {.type = TR_NODE_LIST, .child = &key_rule};

static void test_the_rules_key_stands_in_where_there_is_none(void **state)
{
    (void)state;
    open_with(&key_rules, "db.{database}", false);
    struct table_spec spec = orders();
    spec.primary = -1;
    struct tr_schema_table *table = map(&spec, 1000);
    assert_int_equal(table->shape->key_count, 2);
    assert_int_equal(table->shape->key[0], 1);
    assert_int_equal(table->shape->key[1], 0);
    spec.columns[1] = "cost";
    assert_int_equal(try_map(&spec, 2000, &table), TR_ECONFIG);
    assert_non_null(strstr(err.text, "price"));
}

/* ---- what is not captured ----------------------------------------------------------------------
 */

#define MANY 200001

/* Jobs make tables and drop them again: what was seen of them must not add up. */
static void test_tables_that_come_and_go_do_not_add_up(void **state)
{
    (void)state;
    char name[32];
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    (void)map(&spec, 1000);
    for (int64_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "job%d", (int)i);
        tr_schema_ddl(fixture.schema, TR_SLICE("mysql"), tr_slice_of(name), 2000 + i);
        tr_schema_emptied(fixture.schema, TR_SLICE("shop"), tr_slice_of(name), 2000 + i);
    }
    struct table_spec outside = orders();
    outside.id = 19;
    outside.database = "mysql";
    struct tr_schema_table *table = map(&outside, 3000000);
    assert_null(table->encoder);
    /* The table that is there was kept. */
    catalogue.calls = 0;
    table = map(&spec, 3000000);
    assert_int_equal(table->shape->schema_id, 1000);
    assert_int_equal(catalogue.calls, 0);
    /* One that is made again is looked at anew, as after every DROP. */
    spec.id = 20;
    spec.table = "job7";
    (void)map(&spec, 3000100);
    assert_int_equal(catalogue.calls, 1);
    restart();
    tr_schema_emptied(fixture.schema, TR_SLICE("shop"), TR_SLICE("job7"), 3000200);
    for (int64_t i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "job%d", (int)(i + 100));
        tr_schema_emptied(fixture.schema, TR_SLICE("shop"), tr_slice_of(name), 3000300 + i);
    }
    (void)map(&spec, 4000000);
    assert_int_equal(catalogue.calls, 2);
}

static void test_excluded_tables_ask_nobody(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    spec.database = "mysql";
    spec.bare = true; /* nor does it matter what they look like */
    struct tr_schema_table *table = map(&spec, 1000);
    assert_null(table->encoder);
    assert_null(table->shape);
    assert_int_equal(catalogue.calls, 0);
    assert_ptr_equal(tr_schema_by_id(fixture.schema, 18), table);
    assert_ptr_equal(map(&spec, 2000), table);
}

static void test_a_sequence_is_no_table(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = {.id = 5,
                              .database = "shop",
                              .table = "sq",
                              .columns = {"next_not_cached_value", "minimum_value", "maximum_value",
                                          "start_value", "increment", "cache_size", "cycle_option",
                                          "cycle_count"},
                              .primary = -1};
    struct tr_schema_table *table = map(&spec, 1000);
    assert_null(table->encoder);
    assert_int_equal(catalogue.calls, 0);
}

static void test_many_ids_of_one_table(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table = map(&spec, 1000);
    for (uint64_t id = 100; id < 60000; id++) {
        spec.id = id;
        assert_ptr_equal(map(&spec, 1000), table);
    }
    for (uint64_t id = 59000; id < 60000; id++)
        assert_ptr_equal(tr_schema_by_id(fixture.schema, id), table);
    assert_null(tr_schema_by_id(fixture.schema, 60000));
    assert_int_equal(catalogue.calls, 1);
}

/* ---- topics ------------------------------------------------------------------------------------
 */

static void test_topic_names(void **state)
{
    char out[TR_TOPIC_NAME_MAX + 1];
    (void)state;
    assert_int_equal(
        tr_schema_topic("{database}.{table}", TR_SLICE("shop"), TR_SLICE("t1"), out, &err), 0);
    assert_string_equal(out, "shop.t1");
    assert_int_equal(tr_schema_topic("all", TR_SLICE("shop"), TR_SLICE("t1"), out, &err), 0);
    assert_string_equal(out, "all");
    assert_int_equal(
        tr_schema_topic("db.{database}", TR_SLICE("caf\xc3\xa9"), TR_SLICE("t"), out, &err),
        TR_ECONFIG);
    assert_non_null(strstr(err.text, "topic:"));
    tr_error_reset(&err);
    assert_int_equal(tr_schema_topic("{table}", TR_SLICE("d"), TR_SLICE(".."), out, &err),
                     TR_ECONFIG);
    tr_error_reset(&err);
    assert_int_equal(tr_schema_topic("{table}", TR_SLICE("d"), TR_SLICE("a b"), out, &err),
                     TR_ECONFIG);
}

static void test_topics_that_meet_or_differ_by_a_dot_only(void **state)
{
    (void)state;
    open_with(NULL, "{database}.{table}", false);
    struct table_spec a = orders(), b = orders(), c = orders();
    struct tr_schema_table *table;
    a.database = "shop";
    a.table = "x.y";
    b.id = 2;
    b.database = "shop.x";
    b.table = "y";
    c.id = 3;
    c.database = "shop";
    c.table = "x_y";
    (void)map(&a, 1000);
    assert_int_equal(try_map(&b, 2000, &table), TR_ECONFIG);
    assert_non_null(strstr(err.text, "share the topic 'shop.x.y'"));
    assert_int_equal(try_map(&c, 3000, &table), TR_ECONFIG);
    assert_non_null(strstr(err.text, "'.' and '_'"));
}

static void test_tables_of_a_database_share_its_topic(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec a = orders(), b = orders(), c = orders();
    struct tr_schema_table *table;
    b.id = 2;
    b.table = "items";
    assert_string_equal(map(&a, 1000)->shape->topic, "db.shop");
    assert_string_equal(map(&b, 2000)->shape->topic, "db.shop");
    a.id = 3;
    a.database = "a.b";
    c.id = 4;
    c.database = "a_b";
    (void)map(&a, 3000);
    assert_int_equal(try_map(&c, 4000, &table), TR_ECONFIG);
}

static struct tr_node topic_settings[2] = {
    {.type = TR_NODE_SCALAR, .key = "table", .text = "shop.*", .next = &topic_settings[1]},
    {.type = TR_NODE_SCALAR, .key = "topic", .text = "everything"},
};
static struct tr_node topic_rule = {.type = TR_NODE_MAP, .child = topic_settings};
static struct tr_node topic_rules = {.type = TR_NODE_LIST, .child = &topic_rule};

static void test_a_rules_topic_puts_tables_together(void **state)
{
    (void)state;
    open_with(&topic_rules, "{database}.{table}", false);
    struct table_spec a = orders(), b = orders();
    b.id = 2;
    b.table = "items";
    assert_string_equal(map(&a, 1000)->shape->topic, "everything");
    assert_string_equal(map(&b, 2000)->shape->topic, "everything");
}

static void test_moving_a_table_to_another_topic_is_refused(void **state)
{
    (void)state;
    open_with(NULL, "db.{database}", false);
    struct table_spec spec = orders();
    struct tr_schema_table *table;
    (void)map(&spec, 1000);
    tr_schema_free(fixture.schema);
    open_schema("{database}.{table}", false);
    assert_int_equal(try_map(&spec, 2000, &table), TR_ECONFIG);
    assert_non_null(strstr(err.text, "'db.shop'"));
    assert_non_null(strstr(err.text, "'shop.orders'"));
}

/* ---- settings ----------------------------------------------------------------------------------
 */

static void assert_settings_refused(const char *key, const char *word)
{
    struct tr_node settings[2] = {
        {.type = TR_NODE_SCALAR, .key = "table", .text = "shop.orders", .next = &settings[1]},
        {.type = TR_NODE_SCALAR, .key = key, .text = "x"},
    };
    struct tr_node rule = {.type = TR_NODE_MAP, .child = settings};
    struct tr_node rules = {.type = TR_NODE_LIST, .child = &rule};
    struct tr_rules *parsed;
    struct tr_schema *schema;
    tr_error_reset(&err);
    assert_int_equal(tr_rules_parse(&parsed, &rules, &err), 0);
    struct tr_schema_config config = {.rules = parsed, .topic_template = "db.{database}"};
    assert_int_equal(tr_schema_new(&schema, &config, NULL, NULL, &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, word));
    tr_rules_free(parsed);
}

static void test_settings_that_are_not_supported_are_named(void **state)
{
    (void)state;
    assert_settings_refused("exclude_columns", "exclude_columns is not supported");
    assert_settings_refused("topics", "topic");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_table_gets_a_shape_of_its_place),
        TEST(test_the_same_map_again_costs_no_look_up),
        TEST(test_another_column_makes_another_shape),
        TEST(test_reading_again_finds_the_numbers_of_the_first_time),
        TEST(test_ddl_makes_it_look_again),
        TEST(test_ddl_on_the_database_and_before_the_first_row),
        TEST(test_a_catalogue_that_does_not_answer_is_asked_again),
        TEST(test_without_metadata_it_stops_with_the_statement),
        TEST(test_a_damaged_map_is_refused),
        TEST(test_the_catalogues_key_comes_before_the_servers_choice),
        TEST(test_a_table_without_a_key_stops_or_is_skipped),
        TEST(test_the_rules_key_stands_in_where_there_is_none),
        TEST(test_tables_that_come_and_go_do_not_add_up),
        TEST(test_a_catalogue_that_is_ahead_leaves_the_key),
        TEST(test_a_catalogue_that_is_ahead_still_refines),
        TEST(test_excluded_tables_ask_nobody),
        TEST(test_a_sequence_is_no_table),
        TEST(test_many_ids_of_one_table),
        TEST(test_topic_names),
        TEST(test_topics_that_meet_or_differ_by_a_dot_only),
        TEST(test_tables_of_a_database_share_its_topic),
        TEST(test_a_rules_topic_puts_tables_together),
        TEST(test_moving_a_table_to_another_topic_is_refused),
        TEST(test_settings_that_are_not_supported_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
