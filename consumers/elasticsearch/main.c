/* main.c - tailrace-elasticsearch: keeps Elasticsearch indices equal to the source's tables. */
#include "elasticsearch_sink.h"
#include "runtime.h"

int main(int argc, char **argv)
{
    return tr_runtime_main(&tr_elasticsearch_sink_ops, argc, argv);
}
