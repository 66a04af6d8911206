/* A program for WASI with wasi-libc, and outgoing connections, datagrams and names by the calls of SOS,
 * since WASI preview 1 has none. Arguments: a host and a port; sends a line there and prints the answer. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sos.h"

static int fail(const char *what, int32_t code) {
    fprintf(stderr, "%s: error %d\n", what, (int)code);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: client HOST PORT\n");
        return 2;
    }
    sos_address address;
    int32_t found = sos_dns_lookup(argv[1], (uint32_t)strlen(argv[1]), &address, 1);
    if (found <= 0) {
        return fail(argv[1], found);
    }
    address.port = (uint16_t)atoi(argv[2]);
    int32_t stream = sos_tcp_connect(&address, 0);
    if (stream < 0) {
        return fail("connect", stream);
    }
    const char *line = "hello from C\n";
    int32_t count = sos_tcp_write(stream, line, (uint32_t)strlen(line), 0);
    if (count < 0) {
        return fail("write", count);
    }
    /* The service sees that nothing more comes, and ends the connection when it has answered. */
    sos_tcp_shutdown(stream, SOS_SHUTDOWN_WRITE);
    char answer[100];
    while ((count = sos_tcp_read(stream, answer, sizeof answer, 0)) > 0) {
        printf("answer: %.*s", (int)count, answer);
    }
    sos_close(stream);
    return count < 0 ? fail("read", count) : 0;
}
