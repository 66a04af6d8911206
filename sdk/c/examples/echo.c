/* A TCP service without a C library: sends back what its clients send, one client after the other.
 * The manifest needs no more than `module = "./echo.c"`. */

#include "sos.h"

static void log_text(const char *text) {
    uint32_t length = 0;
    while (text[length] != 0) {
        length += 1;
    }
    sos_log(SOS_LOG_INFORMATION, text, length);
}

/* Sends all bytes; below zero when the connection failed. */
static int32_t write_all(int32_t stream, const char *bytes, uint32_t length) {
    while (length > 0) {
        int32_t written = sos_tcp_write(stream, bytes, length, 0);
        if (written < 0) {
            return written;
        }
        bytes += written;
        length -= (uint32_t)written;
    }
    return 0;
}

static void serve(int32_t stream) {
    static char buffer[4096];
    int32_t count;
    while ((count = sos_tcp_read(stream, buffer, sizeof buffer, 0)) > 0) {
        if (write_all(stream, buffer, (uint32_t)count) < 0) {
            break;
        }
    }
    sos_close(stream);
}

void _start(void) {
    sos_address any = sos_ipv4(0, 0, 0, 0, 7);
    int32_t listener = sos_tcp_listen(&any, 16);
    if (listener < 0) {
        log_text("port 7 cannot be listened on");
        sos_exit(1);
    }
    log_text("echoing on port 7");
    for (;;) {
        int32_t stream = sos_tcp_accept(listener, 0, 0);
        if (stream >= 0) {
            serve(stream);
        }
    }
}
