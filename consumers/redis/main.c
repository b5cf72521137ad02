/* main.c - the program tailrace-redis. */
#include "redis_sink.h"
#include "runtime.h"

int main(int argc, char **argv)
{
    return tr_runtime_main(&tr_redis_sink_ops, argc, argv);
}
