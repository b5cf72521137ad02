/* main.c - the program tailrace-sqlite. */
#include "runtime.h"
#include "sqlite_sink.h"

int main(int argc, char **argv)
{
    return tr_runtime_main(&tr_sqlite_sink_ops, argc, argv);
}
