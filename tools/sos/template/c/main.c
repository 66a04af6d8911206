/* The service {{name}}: greets whoever connects to port 7. It needs no C library; a source with a
 * `main` instead of `_start` is linked with wasi-libc. */

#include "sos.h"

static const char GREETING[] = "hello from {{name}}\n";
static const char FAILURE[] = "port 7 cannot be listened on";

void _start(void) {
    sos_address any = sos_ipv4(0, 0, 0, 0, 7);
    int32_t listener = sos_tcp_listen(&any, 16);
    if (listener < 0) {
        sos_log(SOS_LOG_ERROR, FAILURE, sizeof FAILURE - 1);
        sos_exit(1);
    }
    for (;;) {
        int32_t client = sos_tcp_accept(listener, 0, 0);
        if (client >= 0) {
            sos_tcp_write(client, GREETING, sizeof GREETING - 1, 0);
            sos_close(client);
        }
    }
}
