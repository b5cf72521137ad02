/* main.c - the program tailrace-fake, for integration tests. */
#include "fake_sink.h"

int main(int argc, char **argv)
{
    return tr_runtime_main(&tr_fake_sink_ops, argc, argv);
}
